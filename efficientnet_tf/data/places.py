"""Finds again the images that evaluation numbers, to name them and to show some."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from efficientnet_tf.data import graphs, image_files, record_files, tfrecord
from efficientnet_tf.data.preparation import Preparation

_BLOCK = 4096  # numbers taken from TensorFlow at a time


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an image is: a file of its own, or a record of one.

    Args:
        file: path of the file.
        record: int, the record's number in the file, from 0; None: the file is one
            image.
        offset: int, the record's first byte.
        length: int, the record's bytes.
    """

    file: str
    record: int | None = None
    offset: int = 0
    length: int = 0

    def __str__(self) -> str:
        return self.file if self.record is None else f"{self.file}#{self.record}"


def places(split: tfrecord.Split, *, shards: int = 1) -> dict[int, Place]:
    """Finds each image of a split by its number, see `batches.eval_batches`.

    Args:
        split: the images, none of them held out.
        shards: int, hosts that evaluated them.

    Returns:
        Places by number; none for data that has no files.
    """
    return {
        place * shards + index: found
        for index in range(shards)
        for place, found in enumerate(_in_order(split, split.files[index::shards]))
    }


def read(
    split: tfrecord.Split, wanted: Sequence[Place], preparation: Preparation
) -> np.ndarray:
    """Reads images as evaluation does, and opens each file once.

    Args:
        split: the images.
        wanted: places of some of them.
        preparation: how evaluation crops and resizes.

    Returns:
        uint8 [places, image_size, image_size, 3], RGB.
    """
    found = {}
    for path in dict.fromkeys(place.file for place in wanted):
        there = [place for place in wanted if place.file == path]
        # A bucket's client asks for a block again where it is to go back.
        there.sort(key=lambda place: place.offset)
        for place, record in zip(there, _records(split, there), strict=True):
            encoded, _ = split.example(tf.constant(record))
            found[place] = preparation.decode(encoded).numpy()
    return np.stack([found[place] for place in wanted])


def _records(split: tfrecord.Split, wanted: Sequence[Place]) -> list[bytes]:
    """Returns what `tfrecord.Split.records` reads of some images of one file."""
    path = wanted[0].file
    if wanted[0].record is None:
        return [split.entry(path)] * len(wanted)
    records = []
    with record_files.opened(path) as file:
        for place in wanted:
            file.seek(place.offset)
            records.append(file.read(place.length))
    return records


def _in_order(split: tfrecord.Split, paths: tuple[str, ...]) -> list[Place]:
    """Lists a host's images in the order in which it reads them."""
    if isinstance(split, image_files.ImageFiles):
        return [Place(path) for path in paths]
    if not paths:
        return []
    records = [_spans(path) for path in paths]
    numbers = _Numbers("numbers", paths, 0, tuple(map(len, records)))
    taken = numbers.records(tf.data.Dataset.range(len(paths))).batch(_BLOCK)
    return [
        Place(paths[file], record, *records[file][record])
        for block in graphs.untuned(taken).as_numpy_iterator()
        for file, record in block.tolist()
    ]


def _spans(path: str) -> list[tuple[int, int]]:
    """Finds the records of a file; one that is cut short is none to be read."""
    found, is_cut = record_files.find_whole_records(path)
    return [*found, (0, 0)] if is_cut else found


@dataclasses.dataclass(frozen=True)
class _Numbers(tfrecord.Split):
    """Reads pairs (number of the file, number in it) in place of its records."""

    counts: tuple[int, ...]

    def read(self, path: tf.Tensor) -> tf.data.Dataset:
        count = tf.constant(self.counts, tf.int64)[path]
        return tf.data.Dataset.range(count).map(lambda n: tf.stack([path, n]))
