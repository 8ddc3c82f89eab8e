"""Command lines that are refused, in this process, before TensorFlow is imported."""

import contextlib
import dataclasses
import io
import json
import pathlib
from unittest import mock

from absl.testing import flagsaver

import main

ROOT = pathlib.Path(__file__).parents[1]


class AcceptedError(Exception):
    """The command line is right: TensorFlow would be imported next."""


@dataclasses.dataclass(frozen=True)
class Refused:
    """The line that a command ended with, and what it printed before."""

    line: str
    stdout: str

    @property
    def json(self) -> dict:
        """What --json prints last."""
        return json.loads(self.stdout.splitlines()[-1])


def refuse(*argv) -> Refused:
    """Does what `python main.py ARGUMENT ...` does with a wrong command line."""
    stdout = io.StringIO()
    with (
        flagsaver.flagsaver(),
        contextlib.redirect_stdout(stdout),
        mock.patch.object(main.preflight, "before_import", side_effect=AcceptedError),
    ):
        try:
            main.main(main.parse(["main.py", *map(str, argv)]))
        except SystemExit as ended:
            line = ended.code
        except AcceptedError:
            raise AssertionError(f"{argv} are accepted") from None
    assert isinstance(line, str), f"{argv} end with {line}"
    assert line.startswith("error: ")
    assert line.isprintable(), f"{argv} end with {line!r}"
    return Refused(line.removeprefix("error: "), stdout.getvalue())


def accept(*argv) -> None:
    """Checks that TensorFlow would be imported next."""
    try:
        refuse(*argv)
    except AssertionError as error:
        assert "are accepted" in str(error), error
    else:
        raise AssertionError(f"{argv} are refused: {refuse(*argv).line}")
