"""Reads the records of a split together with their places, and reads past damage.

TensorFlow's reader leaves out the rest of a file behind a record whose checksum is
wrong. Here each record of the file keeps its number; a damaged one is empty.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from efficientnet_tf.data import image_files, record_files, tfrecord
from efficientnet_tf.data.places import Place

CHECKSUM = "its checksum is wrong"
_CUT = "it is cut short; nothing behind it can be read"
_ALONE = -1  # in place of a record's number where a file is one image
_HEADER = 8 + 4  # bytes of a record's length and of that number's checksum

Run = tuple[int, int, int]  # first record, number of records, first byte; -1: damaged


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
        runs = tf.numpy_function(self._runs, [path], tf.int64)
        runs = tf.ensure_shape(runs, [None, 3])
        records = tf.data.Dataset.from_tensor_slices(runs).flat_map(
            functools.partial(_run, path)
        )
        keeps = self.split.keeps(path)
        if keeps is not None:
            records = records.filter(lambda _, number, record: keeps(number))
        return records

    def _runs(self, path: bytes) -> np.ndarray:
        name = os.fsdecode(path)
        self.damaged(name, damage(name))
        return np.array(_runs(name), np.int64).reshape(-1, 3)


def damage(path: str) -> dict[int, str]:
    """Finds the records of a file that cannot be read.

    Args:
        path: path or URL of a TFRecord file.

    Returns:
        The reasons by the records' numbers, from 0.
    """
    found = {
        number: CHECKSUM
        for first, count, offset in _runs(path)
        if offset < 0
        for number in range(first, first + count)
    }
    spans, cut = _spans(path)
    return found | {len(spans): _CUT} if cut else found


def _entry(entry: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    path = tf.strings.split(entry, "\n", maxsplit=1)[1]
    return path, tf.constant(_ALONE, tf.int64), entry


def _run(path: tf.Tensor, run: tf.Tensor) -> tf.data.Dataset:
    """Reads a run of whole records, or yields empty ones for damaged records."""
    first, count, offset = tf.unstack(run)
    is_whole = tf.cast(offset >= 0, tf.int64)
    whole = _from_byte(path, tf.maximum(offset, 0)).take(count * is_whole)
    empty = tf.data.Dataset.from_tensors("").repeat(count * (1 - is_whole))
    numbers = tf.data.Dataset.range(first, first + count)
    paths = tf.data.Dataset.from_tensors(path).repeat(count)
    return tf.data.Dataset.zip((paths, numbers, whole.concatenate(empty)))


def _from_byte(path: tf.Tensor | str, offset: tf.Tensor | int) -> tf.data.Dataset:
    """Reads records from a byte on, which `tf.data.TFRecordDataset` does not offer."""
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=[path],
        compression_type="",
        buffer_size=1 << 18,
        byte_offsets=[offset],
        metadata="",
    )
    return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))


@functools.lru_cache(maxsize=1 << 16)  # of a file, read once in a process
def _runs(path: str) -> tuple[Run, ...]:
    """Divides a file into runs of records that can be read, and damaged ones."""
    spans, cut = _spans(path)
    found = list(_checked(path, spans))
    if cut:
        found.append((len(spans), 1, -1))
    return tuple(found)


def _checked(path: str, spans: list[tuple[int, int]]) -> Iterator[Run]:
    first = 0
    while first < len(spans):
        offset = spans[first][0] - _HEADER
        read = _from_byte(path, offset).take(len(spans) - first).ignore_errors()
        count = int(read.reduce(np.int64(0), lambda total, _: total + 1))
        if count:
            yield first, count, offset
        first += count
        if first < len(spans):
            yield first, 1, -1
        first += 1


@functools.lru_cache(maxsize=16)
def _spans(path: str) -> tuple[list[tuple[int, int]], bool]:
    """Finds the records of a file, and whether another one behind is cut short."""
    found = []
    try:
        for span in record_files.find_records(path):
            found.append(span)
    except ValueError:
        return found, True
    return found, False
