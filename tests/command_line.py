"""main.py, called in this process: another one takes 10 s to start."""

import contextlib
import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Iterator
from unittest import mock

import conftest
import tensorflow as tf
from absl.testing import flagsaver

import main
from efficientnet_tf.hardware import devices

ROOT = pathlib.Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command printed, and the status that it ended with."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict:
        """What --json prints last."""
        return json.loads(self.stdout.splitlines()[-1])

    def checked(self) -> "Result":
        assert self.returncode == 0, self.stderr
        return self


def run(*arguments) -> Result:
    """Does what `python main.py ARGUMENT ...` does."""
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with (
        _as_in_a_new_process(),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            main.main(main.parse(["main.py", *map(str, arguments)]))
        except SystemExit as ended:
            code = 1  # main.py exits with a line of text alone
            print(ended.code, file=stderr)
    return Result(code, stdout.getvalue(), stderr.getvalue())


def succeed(*arguments) -> Result:
    """The same, of a command that has no reason to fail."""
    return run(*arguments).checked()


def refusal(*arguments) -> str:
    """The one line that main.py ends with."""
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    # A process keeps the devices that it began with.
    with mock.patch.object(devices, "make_strategy", return_value=strategy):
        result = run(*arguments)
    assert result.returncode == 1, f"{arguments} were not refused"
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@contextlib.contextmanager
def _as_in_a_new_process() -> Iterator[None]:
    """Nothing that tests did before shows, and nothing that the command sets stays."""
    environment = dict(os.environ)
    conftest.begin_alike()
    try:
        with flagsaver.flagsaver(), contextlib.chdir(ROOT):
            yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        conftest.begin_alike()
