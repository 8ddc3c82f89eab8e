"""Flags of main.py with values that they cannot have, and flags that it lacks.

Imported by tools and tests; needs no TensorFlow.
"""

import dataclasses
import random
import string
from collections.abc import Iterator

from efficientnet_tf import config, settings
from efficientnet_tf.commands.settings import Command
from efficientnet_tf.hardware.settings import Hardware

_NO_TEXT = ("", "9" * 5000)
_NO_INT = (*_NO_TEXT, "x", "1.5", "-1", "1e3", "0x10", "٣", "²", "1_000", " 8", "nan")
_NO_FLOAT = (
    *(*_NO_TEXT, "x", "nan", "inf", "-Infinity", "1e400", "-7", "٣", "1_0", "1e"),
)
_NO_SWITCH = ("", "x", "2", "maybe", "٣")
_MAY_BE_EMPTY = ("weights_skip", "recompute")
_OF_TYPE = {
    int: (*_NO_INT, "9" * 20),
    float: _NO_FLOAT,
    bool: _NO_SWITCH,
    str: _NO_TEXT,
}
_UNKNOWN_SHARE = 0.2  # of the flags that are drawn


@dataclasses.dataclass(frozen=True)
class WrongFlag:
    """A flag of a command line.

    Args:
        name: the flag's name.
        text: the argument, such as "--seed=x".
    """

    name: str
    text: str


def values(name: str, field: dataclasses.Field) -> list[str]:
    """Lists texts that are no value of a flag.

    Args:
        name: name of the flag.
        field: the flag's field of its section.
    """
    wrong = _OF_TYPE[settings.kind(field)]
    return [value for value in wrong if value or name not in _MAY_BE_EMPTY]


def drawn(*, seed: int, count: int) -> Iterator[WrongFlag]:
    """Draws flags with wrong values, and unknown flags.

    Args:
        seed: int, decides all of them.
        count: int, how many.
    """
    draw = random.Random(seed)
    fields = {
        field.name: field
        for section in (config.Config, Hardware, Command)
        for field in dataclasses.fields(section)
    }
    for _ in range(count):
        name = draw.choice(list(fields))
        if draw.random() < _UNKNOWN_SHARE:
            name = _misspelt(draw, name)
            yield WrongFlag(name, f"--{name}={draw.randrange(100)}")
        else:
            value = _wrong(draw, name, fields[name])
            yield WrongFlag(name, f"--{name}={value}")


def _wrong(draw: random.Random, name: str, field: dataclasses.Field) -> str:
    """Draws a wrong value, or changes a choice so that it is none."""
    choices = settings.allowed(field).choices
    if choices and draw.random() < 0.5:
        return _misspelt(draw, draw.choice(choices))
    return draw.choice(values(name, field))


def _misspelt(draw: random.Random, word: str) -> str:
    """Inserts a letter that no name of ours has twice in a row."""
    place = draw.randrange(1, len(word) + 1)
    return word[:place] + draw.choice(string.ascii_lowercase) + "q" + word[place:]
