"""Says why no example can be made of a record or an image file."""

import dataclasses
import os

import tensorflow as tf

from efficientnet_tf import files, label_sets
from efficientnet_tf.data import decoding, image_files, record_check, tfrecord
from efficientnet_tf.data.places import Place
from efficientnet_tf.data.settings import Labels


@dataclasses.dataclass(frozen=True)
class Fault:
    """A record or image that cannot be used.

    Args:
        place: where it is.
        reason: why, in words that follow the place.
    """

    place: Place
    reason: str

    def __str__(self) -> str:
        return label_sets.printable(f"{self.place}: {self.reason}")

    def row(self, split: str) -> dict[str, str | int | None]:
        """Returns the fault as plain data.

        Args:
            split: name of the split.
        """
        return {
            "split": split,
            "file": self.place.file,
            "record": self.place.record,
            "reason": self.reason,
        }


def reason(split: tfrecord.Split, record: bytes, labels: Labels) -> str | None:
    """Returns what is wrong with a record, in words that follow its place.

    Args:
        split: the split of the record.
        record: what `split.records` reads.
        labels: numbering of the labels and of the network's outputs.

    Returns:
        The words; None if an example can be made of the record.
    """
    if isinstance(split, image_files.ImageFiles):
        return _of_file(os.fsdecode(record.partition(b"\n")[2]))
    return _of_record(split, record, labels)


def _of_file(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return _of_image(file.read())
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _of_record(split: tfrecord.Split, record: bytes, labels: Labels) -> str | None:
    unusable = record_check.why_unusable(record, split)
    if unusable:
        return unusable
    try:
        encoded, label = split.example(tf.constant(record))
    except tf.errors.OpError as error:
        return f"cannot be read ({files.reason(error)})"
    wrong = _of_label(split, record, int(label), labels)
    return wrong or _of_image(encoded.numpy())


def _of_label(
    split: tfrecord.Split, record: bytes, label: int, labels: Labels
) -> str | None:
    """Says that a record's label, from 0, is none of the classes."""
    count = labels.num_classes - labels.label_offset
    if 0 <= label < count:
        return None
    (stated,) = record_check.values(record, split.label_key)
    if split.label_names is not None:
        text = label_sets.printable(stated.decode("utf8", "replace"))
        return f"has the label {text!r}, which is none of the {count} classes"
    first = split.first_label
    return (
        f"has the label {stated}; allowed is {first} to {first + count - 1} "
        f"(num_classes={labels.num_classes})"
    )


def _of_image(encoded: bytes) -> str | None:
    why = decoding.reason(encoded)
    return f"cannot be decoded ({why})" if why else None
