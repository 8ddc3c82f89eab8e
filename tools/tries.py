"""The outcome of a try to break something, as the tool break_it counts it."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from efficientnet_tf import disk, files

RIGHT = "right"
LINE = "one line"  # which names the file or the flag
UNCHECKED = "said to be unchecked"  # other values, of a file without checksums
EXPECTED = (RIGHT, LINE, UNCHECKED)  # any other outcome is a fault


@dataclasses.dataclass(frozen=True)
class Try:
    """One try.

    Args:
        row: the row of the table that counts it.
        words: what was done, so that it can be done again by hand.
        outcome: one of `EXPECTED`, or what else happened.
    """

    row: str
    words: str
    outcome: str


def worst(outcomes: list[str]) -> str:
    """Returns a fault if there is one, else the last of the others in `EXPECTED`.

    Args:
        outcomes: those of several commands after the same damage.
    """

    def rank(outcome: str) -> int:
        return (*EXPECTED, outcome).index(outcome)

    return max(outcomes, key=rank)


def are_same(some: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> bool:
    """Whether two sets of weights have the same names and the same bits.

    Args:
        some: arrays by name.
        others: arrays by name.
    """
    return some.keys() == others.keys() and all(
        value.tobytes() == others[name].tobytes() for name, value in some.items()
    )


def told(error: Exception) -> str | None:
    """Returns the line with which main.py ends at an error; None for a traceback.

    Args:
        error: what a command raised.
    """
    if isinstance(error, ValueError | FloatingPointError):
        return str(error)
    return files.why_refused(error) or disk.in_words(error)


def of_output(code: int, output: str, *, names: str) -> str:
    """Judges a command that should have been refused.

    Args:
        code: its exit code.
        output: what it printed.
        names: what its last line has to name.
    """
    last = (output.strip().splitlines() or [""])[-1]
    if "Traceback (most recent" in output:
        return f"a traceback: {last:.200}"
    if code != 1:
        return f"exit code {code}: {last:.200}"
    if not last.startswith("error: ") or names not in last:
        return f"an unclear line: {last:.200}"
    return LINE
