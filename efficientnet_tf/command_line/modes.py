"""What `--mode` chooses."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Mode:
    """One value of `--mode`.

    Args:
        command: the module of `efficientnet_tf.commands` whose `run` performs it.
        arguments: checks the mode's flags and returns the keyword arguments of `run`.
        on_devices: whether `run` takes a strategy and its hosts first.
        keeps_files: whether the hosts of a remote TPU read data and write files for it.
        takes_images: whether images may be named on the command line.
        needs_images: whether they have to be, where they may.
    """

    command: str
    arguments: Callable[[], dict]
    on_devices: bool = False
    keeps_files: bool = False
    takes_images: bool = False
    needs_images: bool = True
