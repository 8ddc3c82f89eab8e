"""Looks into single records, to say what is wrong with one in words."""

import os
from collections.abc import Iterator

import tensorflow as tf
from google.protobuf import message

from efficientnet_tf import files
from efficientnet_tf.data import decoding, graphs, tfrecord


def records(
    split: tfrecord.Split, path: str, *, most: int = -1, tolerant: bool = False
) -> Iterator[bytes]:
    """Yields the records of one of a split's files, in their order.

    Args:
        split: the split.
        path: one of its files.
        most: int, records to read; -1 reads all.
        tolerant: whether damage ends the file's records, and is no error.
    """
    compression = "GZIP" if path in split.zipped else None
    dataset = tf.data.TFRecordDataset(os.fsencode(path), compression)
    if tolerant:
        dataset = dataset.ignore_errors(log_warning=False)
    yield from graphs.untuned(dataset.take(most)).as_numpy_iterator()


def first_record(split: tfrecord.Split, *, tolerant: bool = False) -> tuple[str, bytes]:
    """Returns a split's first record and the file that holds it.

    Args:
        split: the split.
        tolerant: whether to go on to another file where the first is damaged.

    Raises:
        ValueError: naming the file that cannot be read, or the split without records.
    """
    for path in split.files:
        try:
            for record in records(split, path, most=1, tolerant=tolerant):
                return path, record
        except tf.errors.OpError as error:
            if files.why_refused(error):
                raise
            raise ValueError(
                f"{path}: the first record cannot be read ({files.reason(error)})"
            ) from None
    more = f" and {len(split.files) - 1} files more" if len(split.files) > 1 else ""
    raise ValueError(f"{split.files[0]}{more}: holds no records")


def kind(record: bytes, key: str) -> str | None:
    """Returns "bytes_list", "int64_list" or "float_list"; None if there is no `key`."""
    features = _features(record) or {}
    return features[key].WhichOneof("kind") if key in features else None


def values(record: bytes, key: str) -> list:
    """Returns the values of a feature of a record; none if there is no such feature."""
    found = kind(record, key)
    features = _features(record) or {}
    return list(getattr(features[key], found).value) if found else []


def why_unusable(record: bytes, split: tfrecord.Split) -> str | None:
    """Says why a record has no image or label, with the features that it has.

    Args:
        record: the serialized record.
        split: tells the features' names and what a label is.

    Returns:
        Words that follow "the record"; None for a record with an image's bytes, which
        may not decode, and a label, which may be out of range.
    """
    features = _features(record)
    if features is None:
        return "is no tf.train.Example"
    of_label = "int64_list" if split.label_names is None else "bytes_list"
    for key, wanted in ((split.image_key, "bytes_list"), (split.label_key, of_label)):
        if key not in features:
            return f"has no {key}, but {', '.join(sorted(features)) or 'no features'}"
        found = features[key].WhichOneof("kind")
        count = len(values(record, key))
        if found != wanted or count != 1:
            told = f"{count} values" if found == wanted else f"a {found}"
            return f"has {told} in {key}; it must be one value of a {wanted}"
    return None


def check_first_record(split: tfrecord.Split, *, num_classes: int) -> None:
    """Reads one record and decodes its image, to fail before any compute is spent.

    Args:
        split: the files; the first that is not empty is read.
        num_classes: int, number of labels.

    Raises:
        ValueError: naming the file and what is wrong with its first record.
    """
    path, record = first_record(split)
    must = (
        f"it must be a tf.train.Example with {split.image_key} (an image file) and "
        f"{split.label_key}"
    )
    if reason := why_unusable(record, split):
        raise ValueError(
            f"{path}: the first record cannot be read: it {reason}; {must} (other "
            "names: image_key, label_key)"
        )
    encoded, label = split.example(tf.constant(record))
    if reason := decoding.reason(encoded.numpy()):
        raise ValueError(
            f"{path}: the first record cannot be read (its image: {reason}); {must}"
        )
    if 0 <= int(label) < num_classes:
        return
    if split.label_names is not None:
        (text,) = values(record, split.label_key)
        raise ValueError(
            f"{path}: the first record's label {text.decode('utf8', 'replace')!r} is "
            "none of the training records' or of labels.txt"
        )
    first = split.first_label
    last = f"num_classes={num_classes}" + ("" if first else " - 1")
    hint = "; first_label=0 if labels begin at 0" if label == -1 and first else ""
    raise ValueError(
        f"{path}: the first record's label is {int(label) + first}; allowed is {first} "
        f"to {last}{hint}"
    )


def _features(record: bytes) -> dict | None:
    try:
        return tf.train.Example.FromString(record).features.feature
    except message.DecodeError:
        return None
