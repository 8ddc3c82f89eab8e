"""Settings: documented and checked fields of frozen dataclasses, section by section.

A section is a dataclass of `setting` fields and lies in the package of its subject.
`Config` joins the sections of a run; each field of a section is a command-line flag.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Callable
from typing import Any

from efficientnet_tf.spelling import did_you_mean


@dataclasses.dataclass(frozen=True)
class Allowed:
    """The values that a setting may hold: the words for an error, and the test."""

    words: str
    test: Callable[[Any], bool]
    choices: tuple[str, ...] = ()
    nearest: Callable[[str], str | None] = lambda value: None  # a choice that was meant
    most: float | None = None  # the largest number, in addition to the words

    def told(self, value: Any = None) -> str:
        """Returns the words; for a number that is too large, the largest one."""
        is_number = type(value) in (int, float)
        if self.most is None or (is_number and value < self.most):
            return self.words
        most = f"at most {self.most}"
        return most if is_number and value > self.most else f"{self.words}, {most}"


ANY = Allowed("", lambda value: True)
LISTING = Allowed("", lambda value: True)  # text that may be empty: no element
FRACTION = Allowed("0 to below 1", lambda value: 0 <= value < 1)
PROBABILITY = Allowed("above 0, at most 1", lambda value: 0 < value <= 1)

# Limits that no run reaches, so that a mistyped number is refused at once.
MOST_EPOCHS = 1_000_000
MOST_STEPS = 1_000_000
MOST_FLOAT32 = 3e38  # what training computes in holds no larger number


def choice(
    *values: str, nearest: Callable[[str], str | None] = lambda value: None
) -> Allowed:
    """Allows some words; a setting of a Literal type needs no `choice`.

    Args:
        *values: the words.
        nearest: function from another word to the one that it means, if any.
    """
    words = ", ".join(values)
    return Allowed(words, lambda value: value in values, values, nearest)


def at_least(low: float, most: float) -> Allowed:
    """Allows numbers from `low` to `most`."""
    return Allowed(f"{low} and more", lambda value: low <= value <= most, most=most)


def above(low: float, most: float) -> Allowed:
    """Allows numbers above `low` and up to `most`."""
    return Allowed(f"more than {low}", lambda value: low < value <= most, most=most)


def setting(
    help: str, allowed: Allowed = ANY, *, may_change: bool = False, **default: Any
) -> Any:
    """Makes a field of a section.

    Args:
        help: words for the command line's help.
        allowed: the values it may hold, besides None where its type has None.
        may_change: whether a resumed run may change it.
        **default: `default=VALUE` if nobody has to choose one. A setting without a
            default gets its value from a recipe or from the data.
    """
    metadata = {"help": help, "allowed": allowed, "may_change": may_change}
    return dataclasses.field(metadata=metadata, **default)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """Settings that are checked one by one, and then those of each section together.

    Raises:
        ValueError: naming the setting, its value and what is allowed.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check(field, getattr(self, field.name))
        for section in reversed(type(self).__mro__):
            together = vars(section).get("check_together")
            if together:
                together(self)

    def check_together(self) -> None:
        """Raises ValueError where values are wrong together."""


def kind(field: dataclasses.Field) -> type:
    """Returns the type of a setting's values other than None."""
    first = _first(field)
    return str if typing.get_origin(first) is typing.Literal else first


def _first(field: dataclasses.Field) -> Any:
    if typing.get_origin(field.type) in (typing.Union, types.UnionType):
        return typing.get_args(field.type)[0]
    return field.type


def allowed(field: dataclasses.Field) -> Allowed:
    """Returns the values that a setting may hold, besides None."""
    if typing.get_origin(_first(field)) is typing.Literal:
        return choice(*typing.get_args(_first(field)))
    return field.metadata["allowed"]


def check(field: dataclasses.Field, value: Any) -> None:
    """Raises ValueError unless a field may hold a value.

    Args:
        field: a field that `setting` made.
        value: the value to check.
    """
    if value is None and types.NoneType in typing.get_args(field.type):
        return
    values = allowed(field)
    if not _has_type(value, kind(field)):
        raise ValueError(refusal(field, value, of_type=True))
    if not (_is_finite(value) and values.test(value)):
        raise ValueError(refusal(field, value))


def refusal(field: dataclasses.Field, value: Any, *, of_type: bool = False) -> str:
    """Says what a field may hold instead of a value.

    Args:
        field: a field that `setting` made.
        value: the value, or its text on the command line.
        of_type: whether to say which type of value the field holds.
    """
    values = allowed(field)
    words = [values.told(value)] if values.words else []
    if not values.choices and (of_type or not words):
        words.insert(0, TYPES[kind(field)])
    meant = values.nearest(str(value))
    hint = f"; did you mean {meant}?" if meant else ""
    hint = hint or did_you_mean(str(value), values.choices)
    return f"{field.name}={shown(value)}: allowed is {', '.join(words)}{hint}"


def shown(value: Any) -> str:
    """Returns a value's text for an error, shortened in its middle if it is long."""
    text = str(value)
    if len(text) <= 200:
        return text
    return f"{text[:100]}... ({len(text)} characters)"


TYPES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text that is not empty",
}


def _has_type(value: Any, kind: type) -> bool:
    """Whether a value has a type; float takes whole numbers."""
    return type(value) in ((int, float) if kind is float else (kind,))


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def listed(text: str | None) -> tuple[str, ...]:
    """Splits a comma-separated setting."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
