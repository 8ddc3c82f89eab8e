"""Divides a command line into flags and other arguments."""

import dataclasses
import re
from collections.abc import Callable, Iterable

_NUMBER = re.compile(r"-?(\d|\.\d).*")


@dataclasses.dataclass(frozen=True)
class Argument:
    """A flag with its value, or an argument that is no flag.

    Args:
        name: the flag's name as it was written, without dashes before it; None for an
            argument that is no flag.
        value: text of the value; None for a flag without one. "true" and "false" for
            `--flag` and `--noflag` of a switch.
        words: the words of the command line that this is.
    """

    name: str | None
    value: str | None
    words: tuple[str, ...]


def split(words: Iterable[str], takes: Callable[[str], str | None]) -> list[Argument]:
    """Divides the words of a command line.

    Args:
        words: the command line behind the program's name.
        takes: function from a flag's name to what follows it: "bool" (nothing, or a
            value behind =), "list" (any number of values), anything else (one value),
            or None if there is no such flag.
    """
    rest, found = list(words), []
    while rest:
        word = rest.pop(0)
        if word == "--":
            found += [Argument(None, one, (one,)) for one in rest]
            break
        if not word.startswith("-") or not word.strip("-"):
            found.append(Argument(None, word, (word,)))
            continue
        found.append(_flag(word, rest, takes))
    return found


def _flag(word: str, rest: list[str], takes: Callable[[str], str | None]) -> Argument:
    """Returns a flag; takes its value off the words that follow."""
    name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
    if equals:
        return Argument(name, value, (word,))
    kind = takes(name)
    if kind is None and takes(name.removeprefix("no")) == "bool":
        return Argument(name.removeprefix("no"), "false", (word,))
    if kind == "bool":
        return Argument(name, "true", (word,))
    values: list[str] = []
    while rest and _is_value(rest[0]) and (kind == "list" or not values):
        values.append(rest.pop(0))
    return Argument(name, " ".join(values) if values else None, (word, *values))


def _is_value(word: str) -> bool:
    return not word.startswith("-") or bool(_NUMBER.fullmatch(word))
