"""Labels of record files: texts or numbers, their names, and a look at some of them."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator

import tensorflow as tf

from efficientnet_tf import files, label_sets
from efficientnet_tf.data import record_check, record_files, tfrecord
from efficientnet_tf.data.settings import Reading

# Among so many some are of the last classes; 56 MB of ImageNet.
_FILES_LOOKED_AT, _RECORDS_LOOKED_AT = 16, 512
_SHOWN = 3


def settle(
    splits: tfrecord.Splits,
    data_dir: str,
    *,
    num_classes: int,
    reading: Reading,
    tolerant: bool = False,
) -> tfrecord.Splits:
    """Returns the splits with the features to read and the names of their labels.

    Labels that are texts are numbered as labels.txt lists them. Without this file they
    are numbered as they sort, and all records are read to list them.

    Args:
        splits: what `tfrecord.open_splits` found.
        data_dir: local folder or gs:// URL.
        num_classes: int, number of labels.
        reading: the features' names and the smallest label.
        tolerant: whether damaged records are no error here.

    Raises:
        ValueError: naming what does not fit.
    """
    splits = _with(
        splits,
        image_key=reading.image_key,
        label_key=reading.label_key,
        first_label=reading.first_label,
    )
    first = splits.read()[0]
    _, record = record_check.first_record(first, tolerant=tolerant)
    names = _named(data_dir)
    if record_check.kind(record, reading.label_key) == "bytes_list":
        return _of_texts(splits, data_dir, names, num_classes)
    if names is not None:
        _check_number(names, data_dir, num_classes)
    elif num_classes == 1000:
        names = label_sets.names("imagenet-1k")
    notes = () if files.is_url(data_dir) else _look(first, num_classes)
    return dataclasses.replace(splits, class_names=names, notes=notes)


def _with(splits: tfrecord.Splits, **fields: object) -> tfrecord.Splits:
    """Returns splits of which each has some fields."""
    parts = {
        name: split and dataclasses.replace(split, **fields)
        for name in ("train", "minival", "validation")
        for split in (getattr(splits, name),)
    }
    return dataclasses.replace(splits, **parts)


def _named(data_dir: str) -> tuple[str, ...] | None:
    """Reads the names of a folder's labels from its labels.txt, if there is one."""
    path = f"{data_dir.rstrip('/')}/{label_sets.FILE}"
    try:
        text = files.read_text(path)
        return None if text is None else label_sets.loads(text)
    except (tf.errors.OpError, ValueError) as error:
        raise ValueError(f"{path}: {files.reason(error)}") from None


def _check_number(names: tuple[str, ...], data_dir: str, num_classes: int) -> None:
    if len(names) != num_classes:
        raise ValueError(
            f"{data_dir.rstrip('/')}/{label_sets.FILE}: holds {len(names)} names, but "
            f"there are {num_classes} labels; it must name each of them, one a line"
        )


def _of_texts(
    splits: tfrecord.Splits,
    data_dir: str,
    names: tuple[str, ...] | None,
    num_classes: int,
) -> tfrecord.Splits:
    """Returns splits whose labels are texts."""
    key = splits.validation.label_key
    if names is not None:
        _check_number(names, data_dir, num_classes)
        texts, order = [name.encode() for name in names], f"as {label_sets.FILE} lists"
    else:
        texts, order = _listed(splits, data_dir), "as they sort"
        names = tuple(
            label_sets.printable(text.decode("utf8", "replace")) for text in texts
        )
    if len(texts) != num_classes:
        shown = ", ".join(names[:_SHOWN]) + ("..." if len(names) > _SHOWN else "")
        raise ValueError(
            f"num_classes={num_classes}: the records of data_dir={data_dir} have "
            f"{len(names)} texts in {key} ({shown}); the two must agree, or "
            f"{label_sets.FILE} beside the records must list the labels, one a line"
        )
    note = f"labels are the texts in {key}, numbered {order}"
    return dataclasses.replace(
        _with(splits, label_names=tuple(texts)), class_names=names, notes=(note,)
    )


def _listed(splits: tfrecord.Splits, data_dir: str) -> list[bytes]:
    """Reads the texts that are labels, sorted, from the training records."""
    if files.is_url(data_dir):
        raise ValueError(
            f"data_dir={data_dir}: labels are texts, which in a bucket "
            f"{label_sets.FILE} must list, one a line, beside the records"
        )
    found = set()
    for split in filter(None, (splits.train, splits.minival)):
        for path in split.files:
            for record in record_check.records(split, path, tolerant=True):
                found.update(record_check.values(record, split.label_key))
    return sorted(found)


def _look(split: tfrecord.Split, num_classes: int) -> tuple[str, ...]:
    """Compares the labels of some records with the number of classes.

    Returns:
        A sentence if far fewer labels than classes were seen, else nothing.

    Raises:
        ValueError: if labels begin at 0 where 1 is to be the first.
    """
    seen = sorted(_some_labels(split))
    if not seen:
        return ()
    # With the highest label there too, a 0 is one wrong record rather than the rule.
    if seen[0] == 0 and split.first_label == 1 and seen[-1] < num_classes:
        raise ValueError(
            f"first_label=1: records of {os.path.dirname(split.files[0])} have labels "
            f"from 0 in {split.label_key}; allowed is 0"
        )
    labels = seen[-1] - split.first_label + 1
    is_whole = len(seen) >= split.images
    if labels >= (num_classes if is_whole else num_classes / 2):
        return ()
    return (
        f"num_classes={num_classes}, but the labels of {len(seen)} {split.name} "
        f"records are {seen[0]} to {seen[-1]}: num_classes={labels} may be meant, or a "
        f"{label_sets.FILE} that names the classes",
    )


def _some_labels(split: tfrecord.Split) -> Iterator[int]:
    """Yields labels of records at even distances, because some sets are sorted."""
    paths = split.files[:: max(1, len(split.files) // _FILES_LOOKED_AT)]
    for path in paths:
        spans: list[tuple[int, int]] = []
        with contextlib.suppress(ValueError):  # a cut file is told where it is counted
            spans.extend(record_files.find_records(path))
        chosen = spans[:: -(-len(spans) * len(paths) // _RECORDS_LOOKED_AT) or 1]
        with record_files.opened(path) as file:
            for offset, length in chosen:
                file.seek(offset)
                yield from record_check.values(file.read(length), split.label_key)
