"""metrics.jsonl: one line of JSON for each loop of steps and each evaluation."""

import json
import math
from typing import Any

import tensorflow as tf

from efficientnet_tf import files

NAME = "metrics.jsonl"


def append(folder: str, kind: str, *, step: int, epoch: float, **values: Any) -> None:
    """Appends one line; a float that is not finite becomes null, as JSON has no NaN.

    Args:
        folder: folder of an `uploads.Uploads`, where appending is cheap.
        kind: "train" or "eval".
        step: int, number of optimizer steps done.
        epoch: float, number of passes over the training images done.
        **values: measurements by name.
    """
    record = {"kind": kind, "step": step, "epoch": round(epoch, 4), **values}
    for name, value in record.items():
        if isinstance(value, float) and not math.isfinite(value):
            record[name] = None
    with tf.io.gfile.GFile(f"{folder}/{NAME}", "a") as file:
        file.write(json.dumps(record) + "\n")


def read(folder: str) -> list[dict]:
    """Reads the lines of a folder's metrics.jsonl, oldest first."""
    with tf.io.gfile.GFile(f"{folder}/{NAME}") as file:
        return [json.loads(line) for line in file.read().splitlines()]


def drop_after(folder: str, step: int) -> None:
    """Removes the lines of steps that a resumed run takes again.

    Args:
        folder: the run's folder.
        step: int, the last step to keep.
    """
    path = f"{folder}/{NAME}"
    text = files.read_text(path)
    if text is not None:
        lines = text.splitlines(keepends=True)
        kept = [line for line in lines if _is_whole(line, step)]
        files.write_whole(path, "".join(kept))


def _is_whole(line: str, last_step: int) -> bool:
    """Whether a line is complete and its step is at most `last_step`."""
    try:
        return line.endswith("\n") and json.loads(line)["step"] <= last_step
    except (ValueError, KeyError):
        return False
