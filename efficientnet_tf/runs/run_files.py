"""The JSON files of a run's folder, which carry a checksum of themselves.

A flipped bit may leave valid JSON with another number in it, and a run would be
evaluated at another image size. Files of earlier versions carry no checksum.
"""

import hashlib
import json
from typing import Any

import tensorflow as tf

from efficientnet_tf import disk, files

KEY = "file_sha256"  # of all other fields


class DamagedError(ValueError):
    """A file of a run that is damaged or cannot be read.

    Args:
        path: path or URL of the file.
        fault: what is wrong with it.
        remedy: what to do about it.
    """

    def __init__(self, path: str, fault: str, remedy: str):
        super().__init__(path, fault, remedy)
        self.path = path

    def __str__(self) -> str:
        """Returns the line for the user."""
        return "{}: {}; {}".format(*self.args)


def write(path: str, text: str) -> None:
    """Writes a JSON object with its checksum, in one piece.

    Args:
        path: path or URL of the file.
        text: the object.
    """
    values = json.loads(text)
    sealed = values | {KEY: _digest(values)}
    files.write_whole(path, json.dumps(sealed, indent=2) + "\n")


def read(path: str, *, remedy: str) -> dict[str, Any] | None:
    """Reads a JSON object and checks its checksum, if it has one.

    Args:
        path: path or URL of the file.
        remedy: what to do about a damaged file, for the error.

    Returns:
        The object without its checksum; None if the file is not there.

    Raises:
        DamagedError: if it cannot be read, is no JSON object, or was changed.
    """
    try:
        text = files.read_text(path)
        values = None if text is None else json.loads(text)
    except UnicodeDecodeError:
        raise DamagedError(
            path, "is damaged (holds bytes that are no text)", remedy
        ) from None
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, f"is damaged (is no JSON: {error})", remedy) from None
    except (tf.errors.OpError, OSError) as error:
        if files.why_refused(error):
            raise  # a bucket does not answer; the file is not damaged
        told = disk.answer(error) or files.reason(error)
        raise DamagedError(path, f"cannot be read ({told})", remedy) from None
    if text is None:
        return None
    if not isinstance(values, dict):
        held = text.strip()[:20] or "nothing"
        raise DamagedError(path, f"is damaged (holds {held})", remedy)
    stated = values.pop(KEY, None)
    if stated not in (None, _digest(values)):
        fault = f"is damaged (its {KEY} is another; remove it after a change)"
        raise DamagedError(path, fault, remedy)
    return values


def is_sealed(path: str) -> bool:
    """Whether a file is of a version that writes checksums.

    Args:
        path: path or URL of the file.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return f'"{KEY}"'.encode() in file.read()
    except tf.errors.OpError as error:
        if files.why_refused(error) and not isinstance(error, tf.errors.NotFoundError):
            raise  # a bucket does not answer
        return False


def _digest(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
