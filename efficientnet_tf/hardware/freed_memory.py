"""Lets go of what TensorFlow and the C library would keep for the whole process."""

import contextlib
import ctypes
import gc
import re
import sys
from collections.abc import Iterator


def give_back() -> None:
    """Frees objects that refer to each other, and what the C library keeps of it.

    glibc keeps what large conversions have freed: of 4.3 GB after B7's for OpenVINO,
    2.2 GB.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in musl
        if trim:
            trim(0)


@contextlib.contextmanager
def passing_graphs() -> Iterator[None]:
    """Frees the graphs traced inside, which cannot be differentiated afterwards.

    TensorFlow registers a gradient, under a name with a number, for each call of a
    `tf.custom_gradient` that it traces, silu's among them, and for each function that
    is differentiated. So it keeps the whole graph: 0.3 GB for each run of B0. Gradients
    of operations, which a module may register when it is imported, have no number.
    """
    from tensorflow.python.framework import ops

    registry = ops.gradient_registry._registry  # nothing public takes a name back
    before = set(registry)
    try:
        yield
    finally:
        for name in set(registry) - before:
            if re.search(r"-\d+$", name):
                del registry[name]
