"""Guesses what a misspelt name was meant to be."""

import difflib
from collections.abc import Iterable


def did_you_mean(
    word: str,
    known: Iterable[str],
    *,
    prefix: str = "",
    always: bool = False,
    most: int = 1,
) -> str:
    """Returns the end of an error about an unknown name.

    Args:
        word: the name that was given.
        known: names that are allowed.
        prefix: put before each name, such as "--".
        always: whether to guess even where no name is similar.
        most: int, how many similarly spelt names to give at most.

    Returns:
        "; did you mean A or B?": the three shortest names that contain the word, else
        the `most` names that are spelt most like it; "" where no name is similar.
    """
    names = list(known)
    near = sorted((name for name in names if word and word in name), key=len)[:3]
    cutoff = 0.0 if always else 0.6
    near = near or difflib.get_close_matches(word, names, n=most, cutoff=cutoff)
    return f"; did you mean {' or '.join(prefix + name for name in near)}?" * bool(near)
