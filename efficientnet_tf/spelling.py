"""Guesses what a misspelt name was meant to be."""

import difflib
from collections.abc import Iterable

# Names of settings: drop_connect_rate and dropout_rate, which is another, have 0.76.
ALIKE = 0.78


def did_you_mean(
    word: str,
    known: Iterable[str],
    *,
    prefix: str = "",
    most: int = 1,
    alike: float = 0.6,
) -> str:
    """Returns the end of an error about an unknown name.

    Args:
        word: the name that was given.
        known: names that are allowed.
        prefix: put before each name, such as "--".
        most: as in `nearest`.
        alike: as in `nearest`.

    Returns:
        "; did you mean A or B?": the names that `nearest` finds; "" if there are none.
    """
    near = nearest(word, known, most=most, alike=alike)
    return f"; did you mean {' or '.join(prefix + name for name in near)}?" * bool(near)


def nearest(
    word: str, known: Iterable[str], *, most: int = 1, alike: float = 0.6
) -> list[str]:
    """Finds the names that a misspelt word may mean.

    Args:
        word: the name that was given.
        known: names that are allowed.
        most: int, how many similarly spelt names to give at most.
        alike: float in [0, 1], difflib's ratio from which names are similar.

    Returns:
        The three shortest names that contain the word, if it has three letters or more,
        else the `most` names that are spelt most like it; none if none is similar.
    """
    names = list(known)
    inside = [name for name in names if word in name] if len(word) > 2 else []
    return sorted(inside, key=len)[:3] or difflib.get_close_matches(
        word[:100], names, n=most, cutoff=alike
    )
