"""Calls a function in a process of its own, whose memory ends with it."""

from collections.abc import Callable
from typing import Any

from joblib.externals import loky


def call(function: Callable, *args: Any, **kwargs: Any) -> Any:
    """Calls a function in a process of its own; returns or raises what it does.

    TensorFlow keeps what it lowered for as long as its process lives: 0.36 GB of B0's
    train step each time, and a search for the largest batch lowers many.

    Args:
        function: the function to call; it may be a lambda.
        *args: the function's arguments. They and the result are pickled.
        **kwargs: likewise.

    Raises:
        ValueError: if the process dies.
    """
    # Not multiprocessing: its processes run the caller's script a second time, and die
    # of it unless that script has a guard. TensorFlow survives no fork.
    # The timeout, in seconds without work, ends it after a caller that was killed.
    with loky.ProcessPoolExecutor(1, timeout=10) as pool:
        try:
            return pool.submit(function, *args, **kwargs).result()
        except loky.BrokenProcessPool:
            raise ValueError(
                "the process that lowers the step died, most likely of a lack of this "
                "machine's memory; free some, or take a larger machine"
            ) from None
