"""What main.py refuses, asked in this process: another takes 10 s to start."""

import contextlib
from unittest import mock

import tensorflow as tf
from absl.testing import flagsaver

import main
from efficientnet_tf.hardware import devices


def refusal(*arguments) -> str:
    """The one line that main.py ends with."""
    with flagsaver.flagsaver(), _devices_as_they_are():
        try:
            main.main(main.parse(["main.py", *map(str, arguments)]))
        except SystemExit as ended:
            (line,) = str(ended.code).splitlines()
            assert line.startswith("error: ")
            return line
    raise AssertionError(f"{arguments} were not refused")


@contextlib.contextmanager
def _devices_as_they_are():
    """Devices and determinism are of the whole process, and so of the tests after."""
    strategy = tf.distribute.get_strategy()
    with (
        mock.patch.object(devices, "make_strategy", return_value=strategy),
        mock.patch.object(devices, "configure_numerics", return_value="float32"),
    ):
        yield
