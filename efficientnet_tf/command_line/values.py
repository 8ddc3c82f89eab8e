"""Reads the values of flags, strictly: digits of other scripts are no numbers."""

import dataclasses
import math
import re
from typing import Any

from efficientnet_tf import settings

_MOST_CHARACTERS = 4096  # as many as Linux allows in a path
_INT = re.compile(r"[+-]?[0-9]{1,300}")
_FLOAT = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?(inf|infinity)|nan", re.I
)
SWITCH = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def read(text: str, kind: type) -> Any:
    """Returns the value that a text means; None if it means none of this type.

    Args:
        text: the text behind a flag's "=".
        kind: bool, int, float or str.
    """
    if kind is bool:
        return SWITCH.get(text.lower())
    if kind is int:
        return int(text) if _INT.fullmatch(text) else None
    if kind is float:
        return float(text) if _FLOAT.fullmatch(text) else None
    return text


def check(field: dataclasses.Field, text: str | None) -> None:
    """Raises ValueError unless a text means a value that a setting may hold.

    Args:
        field: a field that `settings.setting` made.
        text: the text behind a flag's "="; None if the flag has no value.
    """
    if text is None:
        told = settings.refusal(field, "", of_type=True).partition(": ")[2]
        raise ValueError(f"{field.name}: has no value; {told}")
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(
            f"{field.name}={settings.shown(text)}: allowed are {_MOST_CHARACTERS} "
            "characters"
        )
    value = read(text, settings.kind(field))
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(settings.refusal(field, text))
    may_be_empty = field.metadata["allowed"] is settings.LISTING
    if value is None or (value == "" and not may_be_empty):
        raise ValueError(settings.refusal(field, text, of_type=True))
    settings.check(field, value)


def check_kind(name: str, text: str | None, kind: str) -> None:
    """Raises ValueError unless a text is a value of a flag of absl's own.

    Args:
        name: the flag.
        text: what was given; None for a flag without a value.
        kind: absl's name for the flag's type.
    """
    kinds = {"int": int, "float": float, "bool": bool}
    wanted = kinds.get(kind, str)
    if text is None or read(text, wanted) is None:
        raise ValueError(f"{name}={text or ''}: allowed is {settings.TYPES[wanted]}")
