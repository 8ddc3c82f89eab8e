"""The files of a folder of checkpoints: which are there, whole, and the newest.

A checkpoint ckpt-STEP is an index and one or more files of values. The file
`checkpoint` lists the checkpoints in the order in which they were saved. TensorFlow
writes the values first, through ckpt-STEP_temp, the index next, and the list last.
"""

import collections
import dataclasses
import os
import re
import time
from collections.abc import Iterable
from typing import Self

import tensorflow as tf
from google.protobuf import message, text_format

from efficientnet_tf import disk, files

RECORD = "checkpoint"
_FILE = re.compile(r"(ckpt-\d+)\.(index|data-\d{5}-of-(\d{5}))")
_NAME = re.compile(r"ckpt-\d+")
_MISSING = "is missing"  # the list of checkpoints


@dataclasses.dataclass(frozen=True)
class Found:
    """A checkpoint.

    Args:
        path: path of its files, without their endings.
        fault: what is missing of it; None if nothing is.
    """

    path: str
    fault: str | None = None


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one folder or of several, the one to take first.

    Args:
        found: the checkpoints.
        faults: what is wrong with the files that list them, a line each.
    """

    found: tuple[Found, ...] = ()
    faults: tuple[str, ...] = ()

    def __add__(self, other: Self) -> Self:
        """Puts the checkpoints of another folder behind these."""
        return type(self)(self.found + other.found, self.faults + other.faults)

    @property
    def first(self) -> str | None:
        """Path of the first one of which no file is missing, else of the first one."""
        whole = [one.path for one in self.found if not one.fault]
        return next(iter([*whole, *(one.path for one in self.found)]), None)


def read(folder: str) -> Checkpoints:
    """Finds the checkpoints of a folder.

    A folder without its list, or with one that cannot be right, is taken by its files,
    the largest step first.

    Args:
        folder: path or URL; it need not be there.
    """
    names = entries(folder)
    endings = collections.defaultdict(set)
    for match in filter(None, map(_FILE.fullmatch, names)):
        endings[match[1]].add(match[2])
    listed, fault = _recorded(folder, names)
    is_right = bool(listed) and "index" in endings[listed[-1]]
    known = set(listed) | {name for name in endings if "index" in endings[name]}
    # A save that was stopped before the list named it leaves its temporary files.
    known -= {n for n in known if f"{n}_temp" in names and n not in listed}

    def age(name: str) -> tuple[int, int]:
        place = listed.index(name) if is_right and name in listed else -1
        return place, step_of(name)

    ordered = sorted(known, key=age, reverse=True)
    found = tuple(Found(f"{folder}/{n}", _missing(endings[n])) for n in ordered)
    if fault is None or (fault == _MISSING and not found):
        return Checkpoints(found)
    return Checkpoints(found, (f"{folder}/{RECORD}: {fault}",))


def entries(folder: str) -> set[str]:
    """Returns the names of the files and folders in a folder; none without it.

    Args:
        folder: path or URL.
    """
    try:
        return {name.rstrip("/") for name in tf.io.gfile.listdir(folder)}
    except tf.errors.NotFoundError:
        return set()


def remove(path: str) -> None:
    """Removes a file, or a folder with all that is in it.

    Args:
        path: path or URL.
    """
    (tf.io.gfile.rmtree if tf.io.gfile.isdir(path) else tf.io.gfile.remove)(path)


def recorded(folder: str) -> list[str]:
    """Returns the names in a folder's list, the oldest first; none if it is damaged.

    Args:
        folder: path or URL; it need not be there.
    """
    return _recorded(folder, entries(folder))[0]


def step_of(path: str) -> int:
    """Reads the step in a checkpoint's name."""
    return int(path.rsplit("-", 1)[1])


def mend(folder: str) -> None:
    """Writes a folder's list anew if it is missing or damaged; a manager reads it.

    Args:
        folder: path or URL of the folder.
    """
    found = read(folder)
    if not found.faults:
        return
    whole = [one.path for one in reversed(found.found) if not one.fault]
    if whole:
        write_record(folder, whole)
    elif tf.io.gfile.exists(f"{folder}/{RECORD}"):
        tf.io.gfile.remove(f"{folder}/{RECORD}")


def write_record(folder: str, paths: Iterable[str]) -> None:
    """Writes the file that lists the checkpoints, as TensorFlow reads it.

    Args:
        folder: path or URL of the folder.
        paths: paths of the checkpoints, one at least, the oldest first.
    """
    names = [os.path.basename(path) for path in paths]  # so the folder may be moved
    state = _list(names, [time.time()] * len(names))
    files.write_whole(f"{folder}/{RECORD}", str(state))


def remove_unlisted(path: str) -> None:
    """Removes what a failed save left of a checkpoint, unless the list names it.

    Args:
        path: path of its files, without their endings.
    """
    folder, name = os.path.split(path)
    if name in recorded(folder):
        return
    for entry in sorted(
        entries(folder), key=lambda entry: not entry.endswith(".index")
    ):
        if entry.startswith((f"{name}.", f"{name}_temp", f"{RECORD}.tmp")):
            remove(f"{folder}/{entry}")


def _list(names: list[str], times: list[float]) -> message.Message:
    """Returns a list of checkpoints as TensorFlow's message."""
    return tf.compat.v1.train.generate_checkpoint_state_proto(
        "/",  # TensorFlow leaves names in an absolute folder as they are
        names[-1],
        all_model_checkpoint_paths=names,
        all_model_checkpoint_timestamps=times,
    )


def _missing(endings: set[str]) -> str | None:
    """Says which files of a checkpoint are missing, by those that are there."""
    if not endings:
        return "its files are missing"
    if "index" not in endings:
        return "its .index is missing"
    values = endings - {"index"}
    shards = max((int(name[-5:]) for name in values), default=1)
    wanted = {f"data-{i:05d}-of-{shards:05d}" for i in range(shards)}
    missing = sorted(wanted - values)
    return f"its .{missing[0]} is missing" if missing else None


def _recorded(folder: str, names: set[str]) -> tuple[list[str], str | None]:
    """Returns the names that a folder's list holds, and what is wrong with it."""
    if RECORD not in names:
        return [], _MISSING
    state = _list(["none"], [0.0])
    state.Clear()
    try:
        with tf.io.gfile.GFile(f"{folder}/{RECORD}", "rb") as file:
            text_format.Parse(file.read().decode(), state)
    except (text_format.ParseError, ValueError):
        return [], "is damaged"
    except tf.errors.OpError as error:
        if files.why_refused(error):
            raise  # a bucket does not answer
        return [], f"cannot be read ({disk.answer(error) or files.reason(error)})"
    found = [os.path.basename(path) for path in state.all_model_checkpoint_paths]
    last = os.path.basename(state.model_checkpoint_path)
    is_right = found and found[-1] == last and len(set(found)) == len(found)
    if not is_right or not all(map(_NAME.fullmatch, found)):
        return [], "is damaged"
    return found, None
