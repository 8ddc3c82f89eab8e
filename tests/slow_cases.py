"""Cases of a parametrised test that only `-m slow` tries."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow(*cases: Any) -> list:
    """Marks cases; a tuple has a value for each of the test's arguments."""
    values = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*row, marks=pytest.mark.slow) for row in values]


def all_but(tried: Collection, cases: Iterable) -> list:
    """Marks the cases that are not among those tried by default."""
    return [case if case in tried else slow(case)[0] for case in cases]


def unless(tried: bool) -> Any:
    """The mark of one case."""
    return () if tried else pytest.mark.slow
