"""main.py and the tools, called in this process: another one takes 10 s to start."""

import contextlib
import dataclasses
import io
import json
import pathlib
import runpy
import signal
import sys
from collections.abc import Iterator
from unittest import mock

import alike
import tensorflow as tf
from absl import flags as absl_flags
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
    argv = ["main.py", *map(str, arguments)]
    return _result(lambda: sys.exit(main.main(main.parse(argv))))


def tool(name, *arguments) -> Result:
    """Does what `python tools/NAME.py ARGUMENT ...` does."""
    path = str(ROOT / "tools" / f"{name}.py")
    argv = [path, *map(str, arguments)]
    with (
        mock.patch.object(sys, "path", [str(ROOT / "tools"), *sys.path]),
        mock.patch.object(sys, "argv", argv),
        _flags_of_a_tool(),
    ):
        return _result(lambda: runpy.run_path(path, run_name="__main__"))


def _result(command) -> Result:
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with (
        _as_in_a_new_process(),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            command()
        except SystemExit as ended:
            code = ended.code or 0
            if isinstance(ended.code, str):
                code = 1
                print(ended.code, file=stderr)
    return Result(code, stdout.getvalue(), stderr.getvalue())


def succeed(*arguments) -> Result:
    """Runs a command that must succeed."""
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
    """Hides what earlier tests changed, and undoes what the command changes."""
    alike.begin_alike()
    ctrl_c = signal.getsignal(signal.SIGINT)
    try:
        with (
            alike.environment_kept(),
            flagsaver.flagsaver(),
            contextlib.chdir(ROOT),
        ):
            yield
    finally:
        alike.begin_alike()
        signal.signal(signal.SIGINT, ctrl_c)  # a tool takes it as it is imported


@contextlib.contextmanager
def _flags_of_a_tool() -> Iterator[None]:
    """Takes main.py's flags away: a tool defines its own, some by the same names."""
    flags = absl_flags.FLAGS
    of_main = list(flags.flags_by_module_dict()["flags"])
    flags.remove_flag_values([flag.name for flag in of_main])
    before = set(flags)
    module = sys.modules.pop("flags")
    try:
        yield
    finally:
        sys.modules["flags"] = module
        sys.modules.pop("tool", None)
        flags.remove_flag_values(set(flags) - before)
        for flag in of_main:
            flags[flag.name] = flag
            flags.register_flag_by_module("flags", flag)
            flags.register_key_flag_for_module("flags", flag)
