"""Runs of main.py."""

import pathlib
import subprocess
import sys

from command_line import Result

ROOT = pathlib.Path(__file__).parents[2]


def new_process(*arguments) -> Result:
    """What a user sees; and nothing but a new process has other devices."""
    done = subprocess.run(
        [sys.executable, "main.py", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return Result(done.returncode, done.stdout, done.stderr)
