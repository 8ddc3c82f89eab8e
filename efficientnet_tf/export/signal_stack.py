"""The stack on which a thread handles its signals, kept while libraries replace it."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator


class _Stack(ctypes.Structure):
    """Linux's stack_t: sigaltstack(2)."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Gives this thread its stack for signals back at the end of a `with` block.

    OpenVINO 2026.4's plugin for CPUs takes another as it is loaded, and may free it
    while the thread still has it: the next Ctrl-C would end the process with SIGSEGV.
    """
    if sys.platform != "linux":  # where the plugin leaves the stack alone
        yield
        return
    exchange, before = ctypes.CDLL(None).sigaltstack, _Stack()
    exchange(None, ctypes.byref(before))
    try:
        yield
    finally:
        exchange(ctypes.byref(before), None)
