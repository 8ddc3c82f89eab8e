"""Finds variables that hold NaN or infinity."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf


class NotFiniteError(FloatingPointError):
    """NaN or infinity where numbers are wanted.

    Args:
        text: one line that says what is not finite, and what to do.
        path: name of the layer, variable or loss that is not finite; None if nobody
            knows it.
    """

    def __init__(self, text: str, *, path: str | None = None):
        super().__init__(text)
        self.path = path


def first_not_finite(variables: Mapping[str, tf.Variable]) -> str | None:
    """Returns the name of the first variable with a value that is not finite.

    Args:
        variables: variables by name; those of whole numbers are left out.
    """
    floats = {n: v for n, v in variables.items() if v.dtype.is_floating}
    finite = (n for n, v in floats.items() if not np.isfinite(v.numpy()).all())
    return next(finite, None)


def place(name: str | None) -> str | None:
    """Returns the layer or variable in a name such as "the gradient of x".

    Args:
        name: what is not finite; None if nothing is.
    """
    return name and name.rpartition(" of ")[2]


def require(variables: Mapping[str, tf.Variable]) -> None:
    """Raises NotFiniteError naming the first variable that is not finite.

    Args:
        variables: variables by name.
    """
    if name := first_not_finite(variables):
        raise NotFiniteError(f"{name} is not finite", path=name)
