"""What a disk answers where it cannot be read or written, in one line; no TensorFlow.

TensorFlow's file systems write "PATH; No space left on device", and have one class of
errors for several answers.
"""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator

_ELSEWHERE = "name another place, or change its permissions"
# Answers of disks, and what helps; other errors of an operating system are mistakes
# of ours.
_REMEDIES = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there, or have the quota raised",
    errno.EFBIG: "name a place that takes larger files",
    errno.EROFS: "name a place that can be written",
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.EIO: "the disk may be failing",
    errno.ESTALE: "the disk was mounted anew; try again",
    errno.ENOENT: "check the path",
    errno.EEXIST: "a file is in the place of a folder; move it away",
    errno.ENOTDIR: "a file is in the place of a folder; move it away",
    errno.EISDIR: "a folder is in the place of a file; move it away",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.ELOOP: "a link leads to itself; remove it",
    errno.EBUSY: "name another place",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
_BY_WORDS = {os.strerror(number): number for number in _REMEDIES}
_NODE = re.compile(r"{{.*?}} ?")  # of a graph, before TensorFlow's words
_TENSORFLOW = re.compile(rf"(?m)^\t?(.*?); ({'|'.join(map(re.escape, _BY_WORDS))})")


class WriteError(ValueError):
    """A file or a folder that could not be written.

    Args:
        path: the file or folder.
        reason: the disk's answer, and what helps.
    """

    def __init__(self, path: str, reason: str):
        super().__init__(path, reason)  # which pass to another process
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        """Returns the line for the user."""
        return f"{self.path}: cannot be written ({self.reason})"


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Turns a disk's answer within a `with` block into a `WriteError`.

    Args:
        path: what the block writes; errors that name a path elsewhere are left alone.
    """
    try:
        yield
    except WriteError:
        raise
    except Exception as error:
        told = answer(error)
        if told is None or not _is_near(place(error), path):
            raise
        raise WriteError(path, told) from None


def check_room(folder: str, size: int) -> None:
    """Raises the disk's OSError unless a folder has room for a file.

    For writers that cannot say so themselves: HDF5's library ends the process.

    Args:
        folder: path of the folder.
        size: int, bytes of the file.
    """
    block = os.urandom(2**20)  # which no file system compresses
    with tempfile.TemporaryFile(dir=folder) as file:
        for begin in range(0, size, len(block)):
            file.write(block[: size - begin])
        file.flush()


def in_words(error: BaseException) -> str | None:
    """Returns one line with the path, the disk's answer, and what helps.

    Args:
        error: an error of any kind.

    Returns:
        None if the error is no disk's answer.
    """
    told = answer(error)
    return told and ": ".join(filter(None, (place(error), told)))


def answer(error: BaseException) -> str | None:
    """Returns a disk's answer and what helps; None if the error is no such answer.

    Args:
        error: an error of any kind.
    """
    number = _number(error)
    if number is None or number not in _REMEDIES:
        return None
    words = os.strerror(number)
    if isinstance(error, OSError) and error.strerror and "errno" not in error.strerror:
        words = error.strerror  # as tempfile's, which names the folders it tried
    return f"{words}: {_REMEDIES[number]}"


def _number(error: BaseException) -> int | None:
    """Returns an operating system's number of an error."""
    if isinstance(error, OSError):
        return error.errno
    found = _of_tensorflow(error)
    if found:
        return _BY_WORDS[found[2]]
    rust = re.search(r"\(os error (\d+)\)", str(error))  # of safetensors
    return int(rust[1]) if rust else None


def place(error: BaseException) -> str | None:
    """Returns the path that a disk's answer names; None if it names none.

    Args:
        error: an error of which `answer` knows the answer.
    """
    if isinstance(error, OSError):
        path = error.filename
        return os.fsdecode(path) if isinstance(path, str | bytes) else None
    found = _of_tensorflow(error)
    return found and found[1]


def _of_tensorflow(error: BaseException) -> re.Match | None:
    """Finds path and answer in an error of TensorFlow, which need not be imported."""
    words = getattr(error, "message", None)
    return _TENSORFLOW.search(_NODE.sub("", words)) if isinstance(words, str) else None


def _is_near(path: str | None, wanted: str) -> bool:
    """Whether an error of a path may be one of writing another path."""
    if path is None:
        return True
    path, wanted = os.path.abspath(path), os.path.abspath(wanted)
    above = os.path.dirname(wanted)
    return os.path.commonpath([path, above]) in (path, above)
