"""Fine-tuning: from pretrained weights to photos of your own (paper section 5.3).

python main.py --recipe=finetune --weights=imagenet --model=efficientnet-lite0 \
    --data_dir=FOLDER

Data: folders of images by class, or a data set of tfds.
Hardware: two CPU cores for some thousand photos, one GPU for more.
Measured: Lite0 reaches 94.4%, 94.3% and 93.9% (three seeds) on the 736 validation
photos of flowers160 (2,934 to train on, 5 classes) in 7.9 minutes on two cores of an
AMD EPYC (Zen 3), in 4.0 on Zen 4; docs/finetune.md.

The classifier is fitted to the features of the pretrained network before training, so
that training begins near its best. Batch norm keeps the statistics of the pretraining:
those of a small batch are noise, and moving averages lag behind some hundred steps.
"""

import string
from typing import Any

from efficientnet_tf import expansion
from efficientnet_tf.recipes import digits, paper, scratch


def recipe(model: str, dataset: str, images: int | None) -> dict[str, Any]:
    """Returns the paper's values, changed for a short run from pretrained weights."""
    from_scratch = digits if dataset == "digits" else paper
    batch = scratch.batch_size(images, least=8)
    return from_scratch.recipe(model, dataset, images) | {
        "weights_skip": "predictions",
        "classifier_init": "fitted",
        "batch_norm": "frozen",
        "freeze": _early(model),
        # The rate ends at zero, so the last weights are the ones to keep: no images
        # have to be held out to choose between them.
        "minival_shards": 0.0,
        "augment": "none",
        "crop_area_min": 0.25,
        "train_batch_size": batch,
        "train_epochs": 4.0,
        "optimizer": "adamw",
        # 3e-4 for a batch of any size: Adam's steps do not grow with the batch's noise.
        "learning_rate": 3e-4 * 256 / batch,
        "lr_schedule": "cosine",
        "layer_decay": 1.0,
        "warmup_epochs": 0.4,
        "weight_decay": 0.01,
        "moving_average_decay": 0.98,  # the last 50 steps
        "eval_batch_size": 32,
        "steps_per_loop": 20,
        "checkpoint_epochs": 1.0,
        "eval_epochs": 2.0,
    }


def _early(model: str) -> str:
    """Returns the last stage whose maps have an eighth of the image's side.

    Stages up to it see edges, colours and textures. Without their gradients Lite0 takes
    half the time a step on a CPU, and loses no accuracy (docs/finetune.md).
    """
    last = expansion.expand(model).reductions()["reduction_3"]
    return last.rstrip(string.ascii_lowercase)
