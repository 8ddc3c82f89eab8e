"""metrics.jsonl: one line of JSON for each loop of steps and each evaluation."""

import json
import math
import os
from typing import Any

import tensorflow as tf

from efficientnet_tf import disk, files

NAME = "metrics.jsonl"


def append(folder: str, kind: str, *, step: int, epoch: float, **values: Any) -> None:
    """Appends one line; a float that is not finite becomes null, as JSON has no NaN.

    Args:
        folder: folder of an `uploads.Uploads`, where appending is cheap.
        kind: "train", "eval" or "rollback".
        step: int, number of optimizer steps done.
        epoch: float, number of passes over the training images done.
        **values: measurements by name.
    """
    record = {"kind": kind, "step": step, "epoch": round(epoch, 4), **values}
    for name, value in record.items():
        if isinstance(value, float) and not math.isfinite(value):
            record[name] = None
    path = f"{folder}/{NAME}"
    with disk.writing(path), tf.io.gfile.GFile(path, "a") as file:
        file.write(_ended(path) + json.dumps(record) + "\n")


def read(folder: str) -> list[dict]:
    """Reads the lines of a folder's metrics.jsonl, oldest first; [] without the file.

    Lines that are damaged, such as the last one of a run that was killed, are left out.

    Args:
        folder: path or URL of the folder.

    Raises:
        ValueError: naming the file if it cannot be read.
    """
    lines = map(_parsed, _lines(folder))
    return [line for line in lines if line is not None]


def damage(folder: str) -> str | None:
    """Says how many lines are damaged; a last line that was cut short is not counted.

    Args:
        folder: path or URL of the folder.

    Raises:
        ValueError: naming the file if it cannot be read.
    """
    return _damage(_lines(folder))


def drop_after(folder: str, step: int, *, rate_factor: float = 1.0) -> None:
    """Removes the lines of steps that a resumed run takes again, and damaged ones.

    A file with damaged lines is kept under another name.

    Args:
        folder: the run's folder.
        step: int, the last step to keep.
        rate_factor: float, the factor of the learning rate at that step. A rollback to
            a smaller one is removed: the run makes it again.

    Raises:
        ValueError: naming the file if it cannot be read or written.
    """
    path = f"{folder}/{NAME}"
    lines = _lines(folder)
    if _damage(lines):
        files.write_whole(f"{path}.damaged", b"".join(lines))
    kept = [line for line in lines if _is_kept(line, step, rate_factor)]
    if kept != lines:
        files.write_whole(path, b"".join(kept))


def _lines(folder: str) -> list[bytes]:
    """Reads the lines with their ends; [] if there is no file."""
    path = f"{folder}/{NAME}"
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read().splitlines(keepends=True)
    except tf.errors.NotFoundError:
        return []
    except tf.errors.OpError as error:
        if files.why_refused(error):
            raise  # a bucket does not answer
        told = disk.answer(error) or files.reason(error)
        raise ValueError(f"{path}: cannot be read ({told})") from None


def _damage(lines: list[bytes]) -> str | None:
    """Says how many of the lines are damaged, see `damage`."""
    if lines and not lines[-1].endswith(b"\n"):
        lines = lines[:-1]
    bad = [number for number, line in enumerate(lines, 1) if _parsed(line) is None]
    if not bad:
        return None
    return f"{len(bad)} of {len(lines)} lines are damaged, the first is line {bad[0]}"


def _parsed(line: bytes) -> dict | None:
    """Returns what a whole line holds; None if it is damaged."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not line.endswith(b"\n"):
        return None
    # A flipped bit in a key leaves valid JSON.
    is_line = isinstance(found.get("kind"), str) and isinstance(found.get("step"), int)
    return found if is_line else None


def _is_kept(line: bytes, last_step: int, rate_factor: float) -> bool:
    """Whether a line is whole and nothing that it tells is done again."""
    found = _parsed(line)
    if found is None or found["step"] > last_step:
        return False
    factor = found.get("rate_factor") or 0.0  # its key may be damaged
    return found["kind"] != "rollback" or factor >= rate_factor


def _ended(path: str) -> str:
    """Returns a line end if the last line of a local file was cut short, else ""."""
    try:
        with open(path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return "" if file.read() == b"\n" else "\n"
    except OSError:  # no file, or an empty one
        return ""
