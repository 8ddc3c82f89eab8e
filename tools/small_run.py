"""A training of 84 steps of a network of two blocks, which tools and tests break."""

import pathlib
import sys

from efficientnet_tf import config
from efficientnet_tf.experiments import interruptions

MAIN = str(pathlib.Path(__file__).parents[1] / "main.py")
# Everything that a resumed run could lose is on: dropout, stochastic depth, averages,
# random crops, MixUp, held-out evaluations, checkpoints that coincide with evaluations
# and checkpoints that do not. RandAugment would take 5 s to trace.
_SETTINGS = {
    "dataset": "digits",
    "blocks": "r2_k3_s22_e1_i8_o8_se0.25",
    "augment": "none",
    "mixup_alpha": 0.2,
    "train_batch_size": 16,
    "train_epochs": 1.0,
    "steps_per_loop": 3,
    "checkpoint_epochs": 0.0625,
    "eval_epochs": 0.125,
    "seed": 7,
}


def settings(data_dir: str) -> config.Config:
    """Returns the configuration of the training.

    Args:
        data_dir: folder of the digits.
    """
    return config.create(data_dir=data_dir, **_SETTINGS)


def flags(data_dir: str) -> list[str]:
    """Returns the training's flags of main.py, without its folder.

    Args:
        data_dir: folder of the digits.
    """
    given = _SETTINGS | {"data_dir": data_dir}
    return [f"--{name}={value}" for name, value in given.items()]


def command(data_dir: str) -> interruptions.Command:
    """Returns a function from a run's folder to the command that trains in it.

    Args:
        data_dir: folder of the digits.
    """
    given = ("--mode=train", "--device=cpu", *flags(data_dir))
    return lambda folder: [sys.executable, MAIN, f"--model_dir={folder}", *given]
