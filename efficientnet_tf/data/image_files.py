"""Splits of single image files, of class folders or CSV files, read like records."""

import collections
import dataclasses
import functools
import itertools
import os
from collections.abc import Sequence

import tensorflow as tf

from efficientnet_tf import files as whole_files
from efficientnet_tf import label_sets
from efficientnet_tf.data import decoding, folder, held_out, label_csv, tfrecord

# The first two bytes of JPEG, PNG, GIF, BMP and WebP.
_MAGIC = (b"\xff\xd8", b"\x89P", b"GI", b"BM", b"RI")


@dataclasses.dataclass(frozen=True)
class ImageFiles(tfrecord.Split):
    """One image per file.

    Args:
        classes: names of the labels.
        labels: the labels of each file, places in `classes`.
        multi_label: whether a file may have any number of labels.
    """

    classes: tuple[str, ...]
    labels: tuple[tuple[int, ...], ...]
    multi_label: bool = False

    def entry(self, file: str) -> bytes:
        """Returns a file's labels and path, so that skipping an image reads nothing."""
        labels = " ".join(map(str, self._labels_of[file]))
        return labels.encode() + b"\n" + os.fsencode(file)

    @functools.cached_property
    def _labels_of(self) -> dict[str, tuple[int, ...]]:
        return dict(zip(self.files, self.labels, strict=True))

    def records(self, files: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the entries themselves."""
        return files

    def class_counts(self) -> list[int]:
        """Counts the images of each class; see `tfrecord.Split.class_counts`."""
        counts = collections.Counter(itertools.chain.from_iterable(self.labels))
        return [counts[label] for label in range(len(self.classes))]

    def example(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Reads the file of an entry; see `tfrecord.Split.example`."""
        told, path = tf.unstack(tf.strings.split(record, "\n", maxsplit=1), num=2)
        encoded = tf.io.read_file(self.cache.at(path) if self.cache else path)
        known = tf.reduce_any(tf.equal(tf.strings.substr(encoded, 0, 2), _MAGIC))
        message = "no JPEG, PNG, GIF, BMP or WebP file:"
        with tf.control_dependencies([tf.debugging.Assert(known, [message, path])]):
            encoded = tf.identity(encoded)
        labels = tf.strings.to_number(tf.strings.split(told), tf.int64)
        return encoded, labels if self.multi_label else labels[0]


def of_csv(
    data_dir: str,
    *,
    num_classes: int | None,
    multi_label: bool,
    val_fraction: float = 0.0,
    seed: int = 0,
) -> folder.Found:
    """Finds the images of CSV files, see `label_csv.read` and `folder.read`."""
    listing = label_csv.read(
        data_dir,
        num_classes=num_classes,
        multi_label=multi_label,
        val_fraction=val_fraction,
    )
    label_csv.check_files(listing)
    return label_csv.divide(listing, data_dir, val_fraction, seed)


def splits(found: folder.Found, *, minival_images: float = 0) -> tfrecord.Splits:
    """Divides images, and holds some train images out as minival.

    Args:
        found: the images, sorted by class.
        minival_images: a number of images, or below 1 a fraction of them (rounded, at
            least one image); 0 holds nothing out.

    Returns:
        The splits; `train` and `minival` are None where there are no train images.

    Raises:
        ValueError: if that leaves nothing to train on.
    """
    names = tuple(map(label_sets.printable, found.classes))

    def split(name: str, images: tuple[folder.Image, ...]) -> ImageFiles:
        files, labels = zip(*images, strict=True)
        return ImageFiles(
            name, files, len(files), found.classes, labels, found.multi_label
        )

    validation = split("validation", found.validation)
    if found.train is None:
        return tfrecord.Splits(
            *(None, None, validation, names), found.left_out, found.notes
        )
    total = len(found.train)
    count = tfrecord.number_held_out(minival_images, total, unit="images")
    minival, train = held_out.evenly(found.train, count)
    return tfrecord.Splits(
        train=split("train", train),
        minival=split("minival", minival) if count else None,
        validation=validation,
        class_names=names,
        left_out=found.left_out,
        notes=found.notes,
    )


def check_first_images(images: Sequence[folder.Image]) -> None:
    """Decodes an image of each class; raises ValueError for one that cannot be read."""
    first = {label: path for path, labels in reversed(images) for label in labels}
    for path in dict.fromkeys(first.values()):
        try:
            reason = decoding.reason(tf.io.read_file(os.fsencode(path)).numpy())
        except tf.errors.OpError as error:
            reason = whole_files.reason(error)
        if reason:
            raise ValueError(f"{path} cannot be read ({reason})")
