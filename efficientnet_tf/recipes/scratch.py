"""Training from random weights on some thousand images; none of it is the paper's data.

python main.py --model=efficientnet-b0 --data_dir=FOLDER

Data: fewer than 200,000 images, in folders by class or in a data set of tfds.
Hardware: one GPU; a CPU at --image_size=96 --train_image_size=84 --eval_crop=fixed (of
96 pixels the recipe's crop would keep three quarters of the side).
Measured: B0 reaches 78.7% on the 736 validation photos of flowers160 (2,934 to train
on, 5 classes) in 38 epochs of 84 pixels, 56 minutes on one core of an AMD EPYC (Zen 3).

The paper's 350 epochs in batches of 2,048 are 500 steps of 3,000 images. Here an epoch
has about 90 steps, as many as the size of the batch allows. Warm-up is a twentieth of
the run, and so is the time between two checkpoints or evaluations.
"""

import math
from typing import Any

from efficientnet_tf.recipes import paper


def recipe(model: str, dataset: str, images: int | None) -> dict[str, Any]:
    """Returns the paper's values, changed where few images need others."""
    batch = batch_size(images, least=16)
    epochs = _epochs(images)
    twentieth = float(round(epochs / 20))
    return paper.recipe(model, dataset, images) | {
        # The rate ends at zero, so the last weights are the ones to keep: no images
        # have to be held out to choose between them.
        "minival_shards": 0.0,
        # The paper's range of initial weights is 1 / sqrt(classes): for 5 classes the
        # loss then begins at 3.7, where chance has 1.6, and B0 needs 6 epochs to fall
        # below that.
        "classifier_init": "zero",
        "augment": "none",
        "crop_area_min": 0.25,
        # 4 epochs of 2,934 photos: validation loss 1.40 with 1.0, 1.59 with 0.8.
        "survival_prob": 0.9,
        "train_batch_size": batch,
        "train_epochs": epochs,
        "optimizer": "adamw",
        # 1e-3 for a batch of any size: Adam's steps do not grow with the batch's noise.
        "learning_rate": 1e-3 * 256 / batch,
        "lr_schedule": "cosine",
        "warmup_epochs": twentieth,
        "weight_decay": 0.05,
        "moving_average_decay": 0.99,  # the last 100 steps
        "eval_batch_size": 64,
        "steps_per_loop": 20,
        "checkpoint_epochs": twentieth,
        "eval_epochs": twentieth,
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
    """Returns 100 epochs, or up to 1,000, as many as 300,000 images make."""
    return min(1000.0, max(100.0, 300_000 / images)) if images else 100.0
