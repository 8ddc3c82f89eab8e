"""Checks the fields of a dataclass that a file's text has filled."""

import dataclasses
import sys
import types
import typing
from typing import Any

_LARGEST = sys.float_info.max


def check(filled: Any) -> None:
    """Raises TypeError unless each field has its annotated type.

    A float may be a whole number, and is finite. No number is below 0, except in a
    tuple: the mean of pixels may be.

    Args:
        filled: an instance of a dataclass, with dataclasses and tuples in it.
    """
    kinds = typing.get_type_hints(type(filled))
    for field in dataclasses.fields(filled):
        value = getattr(filled, field.name)
        if not _fits(value, kinds[field.name]):
            words = repr(value)[:50] if isinstance(value, (str, int, float)) else ""
            raise TypeError(
                f"{field.name} is {words or type(value).__name__}, which it cannot be"
            )


def _fits(value: Any, kind: Any, least: float = 0) -> bool:
    parts = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if typing.get_origin(kind) is tuple:
        return isinstance(value, tuple) and _all_fit(value, parts)
    if dataclasses.is_dataclass(kind):
        if type(value) is kind:
            check(value)
        return type(value) is kind
    if kind is float:
        return type(value) in (int, float) and least <= value <= _LARGEST
    return type(value) is kind and not (kind is int and value < 0)


def _all_fit(values: tuple, kinds: tuple) -> bool:
    if kinds[1:] == (Ellipsis,):
        return all(_fits(value, kinds[0], -_LARGEST) for value in values)
    pairs = zip(values, kinds, strict=False)
    return len(values) == len(kinds) and all(
        _fits(value, kind, -_LARGEST) for value, kind in pairs
    )
