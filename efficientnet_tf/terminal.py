"""What a terminal shows: results, for as long as they are read, and no chatter."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator

from efficientnet_tf import disk


@contextlib.contextmanager
def tolerant() -> Iterator[None]:
    """Lets a `with` block print any name, to a reader that may stop reading.

    A class or a file may have a name that the terminal's encoding lacks: it is shown
    with backslashes. A reader such as `head` may close the pipe: the program then ends
    with exit code 1 and without a message. The output may go to a file on a full disk:
    the program then ends with a line that says so.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up()
        sys.exit(1)
    except OSError as error:
        reason = disk.answer(error)
        if reason is None or _takes_output():
            raise  # of another file
        _give_up()
        sys.exit(f"error: the output cannot be written ({reason})")


def _takes_output() -> bool:
    """Whether what was printed can be written; what failed before fails again."""
    try:
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _give_up() -> None:
    # Python would write what is left at its end, and fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops what a `with` block writes to stderr, the C++ of libraries too.

    Converters tell how they work, in lines that no setting turns off.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
