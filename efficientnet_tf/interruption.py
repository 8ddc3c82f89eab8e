"""Ctrl-C ends a program with one line, and with the exit code that shells know.

Imports little: programs call `end_at_once` before they import anything else.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

CODE = 128 + signal.SIGINT
TEXT = "stopped by Ctrl-C"


def end_at_once() -> None:
    """Lets Ctrl-C end the process, while nothing has begun that has to be undone.

    An exception would be lost in some imports, and others print it with a traceback.
    """
    signal.signal(signal.SIGINT, _end)


def _end(*_: Any) -> None:
    os.write(2, f"error: {TEXT}\n".encode())
    os._exit(CODE)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Lets Ctrl-C raise KeyboardInterrupt within a `with` block, which undoes its work.

    A second one ends the process at once.
    """
    previous = signal.signal(signal.SIGINT, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _raise(*_: Any) -> None:
    end_at_once()
    raise KeyboardInterrupt


@contextlib.contextmanager
def ignored() -> Iterator[None]:
    """Ignores Ctrl-C in a `with` block, and in the processes that are started in it.

    A terminal sends it to all of them; a worker would print a traceback, while its
    parent is the one that has to say something and to end its workers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may change this
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
