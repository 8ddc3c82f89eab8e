"""Fine-tuning: from pretrained weights to a data set of your own (section 5.3).

python main.py --recipe=finetune --weights=imagenet --dataset=folder --data_dir=DIR

Data: folders of images by class, or a data set of tfds.
Hardware: one GPU, or a CPU for small images.
Measured: efficientnet-test, pretrained on CIFAR-10, reaches 58% on five kinds of
flowers in 108 steps, at learning rate 0.016.

The paper refers to Kornblith et al. (arXiv 1805.08974), who train with SGD, search the
learning rate for each data set, and augment with crops and flips only. This recipe
keeps RMSProp; the drops by 0.97 lower its learning rate to 5% within the run.
"""

from typing import Any

from efficientnet_tf.recipes import digits, paper


def recipe(model: str, dataset: str) -> dict[str, Any]:
    """Returns the values for training from scratch with a shorter, gentler schedule."""
    from_scratch = digits if dataset == "digits" else paper
    return from_scratch.recipe(model, dataset) | {
        "weights_skip": "predictions",
        "augment": "none",
        "train_batch_size": 256,
        "train_epochs": 50.0,
        # At 0.016 B0's accuracy on the digits falls. efficientnet-test, from CIFAR-10
        # to five kinds of flowers, reached 58% in 108 steps at 0.016, 53% at 0.004.
        "learning_rate": 0.004,
        "lr_decay_epochs": 0.5,
        "warmup_epochs": 1.0,
        "eval_batch_size": 256,
        "checkpoint_epochs": 5.0,
        "eval_epochs": 5.0,
    }
