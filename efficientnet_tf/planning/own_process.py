"""Calls a function in a process of its own, whose memory is freed when it ends."""

from collections.abc import Callable
from typing import Any

from joblib.externals import loky

from efficientnet_tf import imports, interruption


def call(function: Callable, *args: Any, **kwargs: Any) -> Any:
    """Calls a function in a process of its own; returns its result or raises its error.

    TensorFlow keeps what it lowered until its process ends: 0.36 GB for each lowering
    of B0's train step, and a search for the largest batch lowers many steps.

    Args:
        function: the function to call; it may be a lambda.
        *args: positional arguments of the function. They and the result are pickled.
        **kwargs: keyword arguments of the function, pickled too.

    Raises:
        ValueError: if the process dies.
    """
    # Not multiprocessing: its processes run the caller's script again, which fails
    # unless the script has a guard, and TensorFlow survives no fork. The timeout, in
    # seconds without work, ends the process if its caller was killed.
    start = imports.tensorflow
    with loky.ProcessPoolExecutor(1, timeout=10, initializer=start) as pool:
        try:
            with interruption.ignored():  # starts the process
                job = pool.submit(function, *args, **kwargs)
            return job.result()
        except KeyboardInterrupt:
            pool.shutdown(kill_workers=True)  # else it would lower the step to its end
            raise
        except loky.BrokenProcessPool:
            raise ValueError(
                "the process that lowers the step died, probably because this machine "
                "ran out of memory; free memory or use a larger machine"
            ) from None
