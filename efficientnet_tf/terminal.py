"""Results on stdout, whatever the terminal can show and for as long as it is read."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def tolerant() -> Iterator[None]:
    """Lets a `with` block print any name, to a reader that may stop reading.

    A class or a file may have a name that the terminal's encoding lacks: it is shown
    with backslashes. A reader such as `head` may close the pipe: the program then ends
    with exit code 1 and without a message.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    except BrokenPipeError:
        # Python would write what is left at its end, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
