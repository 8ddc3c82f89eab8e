"""One epoch of random images, to time a device without data.

python main.py --dataset=fake --model=efficientnet-b0 --mode=train

Data: one random batch, repeated.
Hardware: the device to time.
Measured: B0 trains 7,150 images/s on an NVIDIA H200 (bfloat16, batch 256); docs/gpu.md.
"""

from typing import Any

from efficientnet_tf.recipes import paper


def recipe(model: str, dataset: str, images: int | None) -> dict[str, Any]:
    """Returns the paper's values without augmentation, for one epoch."""
    return paper.recipe(model, dataset, images) | {
        "augment": "none",
        "train_epochs": 1.0,
    }
