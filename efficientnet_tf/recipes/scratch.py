"""Training from random weights on some thousand images; none of it is the paper's data.

python main.py --model=efficientnet-b0 --data_dir=FOLDER

Data: fewer than 200,000 images, in folders by class or in a data set of tfds.
Hardware: one GPU; two CPU cores at --image_size=128 --train_image_size=96.

The paper's 350 epochs in batches of 2,048 are 500 steps of 3,000 images. Here an epoch
has about 90 steps, as many as the size of the batch allows. Of fewer than 1,440 images
an epoch has fewer steps; warm-up, checkpoints and evaluations then are as many steps
apart as those of 1,440.
"""

import math
from typing import Any

from efficientnet_tf.recipes import paper

_FULL_EPOCH = 90 * 16  # images of 90 of the smallest batches


def recipe(model: str, dataset: str, images: int | None) -> dict[str, Any]:
    """Returns the paper's values, changed where few images need others."""
    batch = batch_size(images, least=16)
    few = max(1.0, _FULL_EPOCH / images) if images else 1.0
    return paper.recipe(model, dataset, images) | {
        # The rate ends at zero, so the last weights are the ones to keep: no images
        # have to be held out to choose between them.
        "minival_shards": 0.0,
        "augment": "none",
        "crop_area_min": 0.25,
        "train_batch_size": batch,
        "train_epochs": _epochs(images),
        "optimizer": "adamw",
        # 1e-3 for a batch of any size: Adam's steps do not grow with the batch's noise.
        "learning_rate": 1e-3 * 256 / batch,
        "lr_schedule": "cosine",
        "warmup_epochs": 5.0 * few,
        "weight_decay": 0.05,
        "moving_average_decay": 0.99,  # the last 100 steps
        "eval_batch_size": 64,
        "steps_per_loop": 20,
        "checkpoint_epochs": 5.0 * few,
        "eval_epochs": 5.0 * few,
    }


def batch_size(images: int | None, *, least: int) -> int:
    """Returns a power of two up to 256, with which an epoch has about 90 steps.

    Args:
        images: int, the data set's training images; None takes 256 in a batch.
        least: int, the smallest batch.
    """
    if images is None:
        return 256
    return 2 ** round(math.log2(min(256, max(least, images / 90))))


def _epochs(images: int | None) -> float:
    """Returns 100 epochs, or as many as 300,000 images make."""
    return max(100.0, 300_000 / images) if images else 100.0
