"""Runs of main.py."""

import pathlib
import subprocess
import sys

from command_line import Result

ROOT = pathlib.Path(__file__).parents[2]


def new_process(*arguments) -> Result:
    """Runs main.py in a new process, as a user does, which can have other devices."""
    done = subprocess.run(
        [sys.executable, "main.py", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return Result(done.returncode, done.stdout, done.stderr)
