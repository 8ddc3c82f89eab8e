"""Splits of single image files in class folders, read like record files."""

import collections
import dataclasses
import os

import tensorflow as tf

from efficientnet_tf import label_sets
from efficientnet_tf.data import folder, tfrecord

# The first two bytes of JPEG, PNG, GIF and BMP.
_MAGIC = (b"\xff\xd8", b"\x89P", b"GI", b"BM")


@dataclasses.dataclass(frozen=True)
class ImageFiles(tfrecord.Split):
    """One image per file; its label is its folder's place in `classes`, from 0."""

    classes: tuple[str, ...]

    def records(self, files: tf.data.Dataset) -> tf.data.Dataset:
        """Returns the paths themselves, so that skipping an image reads nothing."""
        return files

    def class_counts(self) -> list[int]:
        """Counts the images of each class; see `tfrecord.Split.class_counts`."""
        parents = (os.path.basename(os.path.dirname(path)) for path in self.files)
        counts = collections.Counter(parents)
        return [counts[name] for name in self.classes]

    @tf.autograph.experimental.do_not_convert  # AutoGraph would warn of os.fsencode
    def example(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Reads the file of a path; see `tfrecord.Split.example`."""
        encoded = tf.io.read_file(record)
        known = tf.reduce_any(tf.equal(tf.strings.substr(encoded, 0, 2), _MAGIC))
        message = "no JPEG, PNG, GIF or BMP file:"
        with tf.control_dependencies([tf.debugging.Assert(known, [message, record])]):
            encoded = tf.identity(encoded)
        classes = tf.constant([os.fsencode(name) for name in self.classes])
        is_class = tf.equal(classes, tf.strings.split(record, "/")[-2])
        return encoded, tf.where(is_class)[0, 0]


def open_splits(
    data_dir: str, *, num_classes: int, minival_images: float = 0
) -> tfrecord.Splits:
    """Finds a folder's images and holds some train images out as minival.

    Args:
        data_dir: local folder, see `folder.find_layout`.
        num_classes: int, the number of classes to require.
        minival_images: a number of images, or below 1 a fraction of them (rounded, at
            least one image); 0 holds nothing out.

    Returns:
        The splits; `train` and `minival` are None where the folder has no train folder.

    Raises:
        ValueError: if something is missing or an image cannot be read.
    """
    layout = folder.find_layout(data_dir, num_classes=num_classes)
    names = tuple(map(label_sets.printable, layout.classes))

    def split(name: str, files: tuple[str, ...]) -> ImageFiles:
        return ImageFiles(name, files, len(files), layout.classes)

    validation = split(
        "validation", folder.list_images(layout.validation, layout.classes)
    )
    if layout.train is None:
        return tfrecord.Splits(None, None, validation, names)
    files = folder.list_images(layout.train, layout.classes)
    held_out = tfrecord.number_held_out(minival_images, len(files), unit="images")
    minival_files, train_files = folder.hold_out(files, held_out)
    return tfrecord.Splits(
        train=split("train", train_files),
        minival=split("minival", minival_files) if held_out else None,
        validation=validation,
        class_names=names,
    )


def check_first_images(split: tfrecord.Split) -> None:
    """Decodes an image of each class; raises ValueError for one that cannot be read."""
    first = {os.path.dirname(path): path for path in reversed(split.files)}
    for path in first.values():
        try:
            encoded = tf.io.read_file(os.fsencode(path))
            tf.io.decode_image(encoded, channels=3, expand_animations=False)
        except tf.errors.OpError as error:
            raise ValueError(f"{path} cannot be read ({error.message})") from None
