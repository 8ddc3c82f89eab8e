"""Reads the records of a split together with their places, and reads past damage.

TensorFlow's reader leaves out the rest of a file behind a record whose checksum is
wrong. Here each record of the file keeps its number; a damaged one is empty.
"""

import contextlib
import dataclasses
import functools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator

import tensorflow as tf

from efficientnet_tf.data import graphs, image_files, record_files, tfrecord
from efficientnet_tf.data.places import Place

_CHECKSUM = "its checksum is wrong"
_CUT = "it is cut short; nothing behind it can be read"
_LOCK = threading.Lock()
_ALONE = -1  # in place of a record's number where a file is one image
_HEADER = 8 + 4  # bytes of a record's length and of that number's checksum


def place(path: bytes, record: int) -> Place:
    """Returns a place as `Placed.records` tells it."""
    number = None if record == _ALONE else int(record)
    return Place(os.fsdecode(path), number)


@dataclasses.dataclass(frozen=True)
class Placed:
    """Reads a split as its own `records` does, in the same order.

    Args:
        split: the split.
        damaged: called with the path of each file that is opened and its damage, see
            `damage`; an error that it raises ends the reading.
    """

    split: tfrecord.Split
    damaged: Callable[[str, dict[int, str]], None] = lambda path, damage: None

    def records(self, files: tf.data.Dataset) -> tf.data.Dataset:
        """Reads triples (path, number in the file, record) of some files.

        Args:
            files: entries, see `tfrecord.Split.entry`.
        """
        if isinstance(self.split, image_files.ImageFiles):
            return files.map(_entry)
        return tfrecord.in_turn(files, self._read)

    @tf.autograph.experimental.do_not_convert
    def _read(self, path: tf.Tensor) -> tf.data.Dataset:
        readable, compression = graphs.call_python(
            self._readable, [path], [tf.string, tf.string]
        )
        records = tf.data.TFRecordDataset(
            tf.ensure_shape(readable, []), tf.ensure_shape(compression, [])
        ).enumerate()
        keeps = self.split.keeps(path)
        if keeps is not None:
            records = records.filter(lambda number, _: keeps(number))
        return records.map(lambda number, record: (path, number, record))

    def _readable(self, path: bytes) -> tuple[bytes, bytes]:
        name = os.fsdecode(path)
        checked = _checked(self.split.cache.path(name) if self.split.cache else name)
        self.damaged(name, checked.damage)
        return os.fsencode(checked.readable), checked.compression.encode()


@dataclasses.dataclass(frozen=True)
class _Checked:
    """What is known of a file: its damage, and a copy that TensorFlow can read."""

    readable: str
    compression: str
    damage: dict[int, str]


def damage(path: str) -> dict[int, str]:
    """Finds the records of a file that cannot be read.

    Args:
        path: path or URL of a TFRecord file.

    Returns:
        The reasons by the records' numbers, from 0.
    """
    return _checked(path).damage


def _entry(entry: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    path = tf.strings.split(entry, "\n", maxsplit=1)[1]
    return path, tf.constant(_ALONE, tf.int64), entry


def _checked(path: str) -> _Checked:
    """Reads a file to its end, once in a process."""
    status = tf.io.gfile.stat(path)
    return _check(path, status.mtime_nsec, status.length)


@functools.cache
def _check(path: str, *version: int) -> _Checked:
    """Copies a damaged file, with an empty record for each that is damaged."""
    del version
    spans, is_cut = record_files.find_whole_records(path)
    compression = "GZIP" if record_files.zipped([path]) else ""
    if not is_cut and _count(path, compression) == len(spans):
        return _Checked(path, compression, {})
    with _LOCK:  # several files are read at once
        handle, copy = tempfile.mkstemp(dir=_copies().name)
    os.close(handle)
    damage = {}
    with tf.io.TFRecordWriter(copy) as writer:
        for number, record in enumerate(_salvaged(path, spans)):
            writer.write(record or b"")
            if record is None:
                damage[number] = _CHECKSUM
        if is_cut:
            writer.write(b"")
            damage[len(spans)] = _CUT
    return _Checked(copy, "", damage)


def _salvaged(path: str, spans: list[tuple[int, int]]) -> Iterator[bytes | None]:
    """Yields the records of a file; None for each one whose checksum is wrong."""
    first = 0
    while first < len(spans):
        with tempfile.NamedTemporaryFile() as rest:
            # Of a GZIP file that is cut short everything up to there is copied.
            with contextlib.suppress(ValueError), record_files.opened(path) as file:
                file.seek(spans[first][0] - _HEADER)
                shutil.copyfileobj(file, rest)
            rest.flush()
            left = len(spans) - first
            readable = tf.data.TFRecordDataset(rest.name).take(left)
            for record in _ignoring(readable).as_numpy_iterator():
                yield record
                first += 1
        if first < len(spans):
            yield None
        first += 1


def _count(path: str, compression: str) -> int:
    """Counts the records before the first damage."""
    records = _ignoring(tf.data.TFRecordDataset(os.fsencode(path), compression))
    return sum(len(some) for some in records.batch(64).as_numpy_iterator())


def _ignoring(records: tf.data.Dataset) -> tf.data.Dataset:
    return graphs.untuned(records.ignore_errors(log_warning=False))


@functools.cache
def _copies() -> tempfile.TemporaryDirectory:
    """The folder of the copies, which is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="efficientnet_tf-")
