"""What values are no weights: NaN, infinity, whole numbers, negative variances."""

import numpy as np

# The smallest number that any project's batch norms add to a variance.
_LEAST_EPSILON = 1e-5


def problem(name: str, value: np.ndarray) -> str | None:
    """Says why values cannot be computed with.

    Args:
        name: the variable's name, such as "moving_variance", or a path that ends in it.
        value: numbers of any type.

    Returns:
        Words that follow the tensor's name, such as "has 3 values that are NaN or
        infinite, the first at [0, 2]"; None if nothing is wrong.
    """
    if not is_float(value):
        return of_type(value.dtype)
    with np.errstate(over="ignore"):
        numbers = value.astype(np.float32, copy=False)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        return f"has {_places(wrong)} NaN or infinite"
    # Minus this, the square root of variance and epsilon would be NaN.
    wrong = numbers <= -_LEAST_EPSILON
    if name.endswith("variance") and wrong.any():
        return f"has {_places(wrong)} below 0, which no variance is"
    return None


def is_float(value: np.ndarray) -> bool:
    """Whether values are floating-point numbers, as weights are."""
    # bfloat16 is no type of NumPy itself, so its kind is that of a structure.
    return value.dtype.kind == "f" or value.dtype.name == "bfloat16"


def of_type(dtype: object) -> str:
    """Words a type that weights do not have, to follow the tensor's name."""
    return f"has type {dtype}; weights are floating-point numbers"


def _places(wrong: np.ndarray) -> str:
    count, first = int(wrong.sum()), np.argwhere(wrong)[0].tolist()
    if count == 1:
        return f"a value at {first} that is"
    return f"{count} of {wrong.size} values, the first at {first}, that are"
