"""Reads every record or image of a data set once, and finds what is wrong with it."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

from efficientnet_tf.data import (
    attempts,
    bad_records,
    batches,
    decoding,
    graphs,
    placed,
    places,
    tfrecord,
)
from efficientnet_tf.data.settings import Labels

_TOGETHER = 64  # images that TensorFlow hands to Python at a time


@dataclasses.dataclass
class Checked:
    """What was found in one split.

    Args:
        name: name of the split.
        images: int, records or image files read.
        classes: the number of images of each label, from 0.
        sides: the number of images whose short side has so many pixels.
        smallest: height and width of the image of the fewest pixels.
        largest: height and width of the image of the most pixels.
    """

    name: str
    images: int = 0
    classes: collections.Counter = dataclasses.field(
        default_factory=collections.Counter
    )
    sides: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    smallest: tuple[int, int] | None = None
    largest: tuple[int, int] | None = None

    def add(self, labels: Iterable[int], size: tuple[int, int]) -> None:
        """Counts an image.

        Args:
            labels: its labels, from 0.
            size: its height and width in pixels.
        """
        self.classes.update(labels)
        self.sides[min(size)] += 1
        sizes = [size, *filter(None, (self.smallest, self.largest))]
        self.smallest = min(sizes, key=lambda one: one[0] * one[1])
        self.largest = max(sizes, key=lambda one: one[0] * one[1])


@dataclasses.dataclass(frozen=True)
class Twin:
    """One of several images with the same bytes.

    Args:
        split: name of the split.
        place: where it is.
        labels: its labels, from 0.
    """

    split: str
    place: places.Place
    labels: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Report:
    """What a check found.

    Args:
        splits: what was found in each split.
        faults: the records and images that cannot be used, as plain data.
        twins: groups of images with the same bytes.
        labels: int, number of labels that the data should have.
    """

    splits: tuple[Checked, ...]
    faults: list[dict]
    twins: list[list[Twin]]
    labels: int

    @property
    def leaks(self) -> list[list[Twin]]:
        """Groups of the same image in several splits."""
        return [group for group in self.twins if len({t.split for t in group}) > 1]

    @property
    def contradictions(self) -> list[list[Twin]]:
        """Groups of the same image with different labels."""
        return [group for group in self.twins if len({t.labels for t in group}) > 1]

    @property
    def unseen(self) -> list[int]:
        """Labels, from 0, that no training image has."""
        trained = [split.classes for split in self.splits if split.name == "train"]
        return [n for counts in trained for n in range(self.labels) if not counts[n]]

    @property
    def failed(self) -> bool:
        """Whether anything is wrong; copies of an image within a split are not."""
        return bool(self.faults or self.leaks or self.contradictions or self.unseen)


class _Copies:
    """Finds images with the same bytes; remembers 0.2 KB of each image."""

    def __init__(self) -> None:
        self._first: dict[int, tuple] = {}
        self._others: dict[int, list[tuple]] = {}

    def add(self, content: int, *image: Any) -> None:
        """Adds an image: a hash of its bytes, split, path, record and labels."""
        if content in self._first:
            self._others.setdefault(content, []).append(image)
        else:
            self._first[content] = image

    def groups(self) -> list[list[Twin]]:
        """Returns the images that there are more than one of."""
        return [
            [
                Twin(split, placed.place(path, record), labels)
                for split, path, record, labels in (self._first[content], *others)
            ]
            for content, others in self._others.items()
        ]


def check(
    splits: tfrecord.Splits,
    labels: Labels,
    *,
    progress: Callable[[int], None] = lambda images: None,
) -> Report:
    """Reads all splits of a data set, and decodes every image whole.

    Args:
        splits: the splits.
        labels: numbering of the labels and of the network's outputs.
        progress: called with the number of images read since the last call.
    """
    bad = bad_records.BadRecords(limit=None)
    copies = _Copies()
    found = []
    for split in (splits.train, splits.minival, splits.validation):
        if split is None:
            continue
        checked = Checked(split.name)
        found.append(checked)
        for batch in _described(split, labels, bad):
            _add(checked, batch, copies)
            progress(len(batch["there"]))
    count = labels.num_classes - labels.label_offset
    return Report(tuple(found), bad.rows(), copies.groups(), count)


def _add(checked: Checked, batch: dict[str, Any], copies: _Copies) -> None:
    columns = ("there", "path", "record", "labels", "size", "content")
    rows = zip(*(batch[name].tolist() for name in columns), strict=True)
    for there, path, record, told, size, content in rows:
        checked.images += 1
        if there:
            labels = tuple(map(int, told.split()))
            checked.add(labels, tuple(size))
            copies.add(content, checked.name, path, record, labels)


def _described(
    split: tfrecord.Split, labels: Labels, bad: bad_records.BadRecords
) -> Iterator[dict[str, Any]]:
    """Yields what is known of the images, some at a time, as arrays."""

    @tf.autograph.experimental.do_not_convert
    def describe(_: tuple[tf.Tensor, ...], record: tf.Tensor) -> dict[str, tf.Tensor]:
        encoded, label = split.example(record)
        with tf.control_dependencies([batches.class_of(label, labels)]):
            told = tf.strings.as_string(tf.reshape(label, [-1]))
        image = decoding.decode_window(encoded, decoding.whole)
        content = tf.raw_ops.Fingerprint(data=[encoded], method="farmhash64")[0]
        return {
            "labels": tf.strings.reduce_join(told, separator=" "),
            "size": tf.ensure_shape(tf.shape(image)[:2], [2]),
            "content": tf.bitcast(content, tf.int64),
        }

    @tf.autograph.experimental.do_not_convert
    def numbered(path: tf.Tensor, number: tf.Tensor, record: tf.Tensor) -> tuple:
        return (path, number), (path, number, record)

    @tf.autograph.experimental.do_not_convert
    def joined(number: tuple, there: tf.Tensor, found: dict) -> dict[str, tf.Tensor]:
        return found | {"path": number[0], "record": number[1], "there": there}

    files = tf.constant([split.entry(file) for file in split.files], tf.string)
    records = bad.reader(split).records(tf.data.Dataset.from_tensor_slices(files))
    made = attempts.examples(records.map(numbered), describe, bad.note(split, labels))
    found = graphs.untuned(made.map(joined).batch(_TOGETHER))
    yield from found.as_numpy_iterator()
