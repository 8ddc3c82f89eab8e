"""Tells from the names in a folder which data set it holds; without TensorFlow."""

import os
import re

from efficientnet_tf.data import image_tree, label_csv

_SHARD = re.compile(r"(train|validation)-.*")
_DIGITS = "DIGITS"  # the file that marks the digits' records, see data/digits.py


def detect_dataset(data_dir: str) -> str:
    """Returns the value of the setting `dataset` that a folder's contents mean.

    Args:
        data_dir: local folder or URL of a bucket; a bucket is not read, because it can
            only hold TFRecords.

    Returns:
        "imagenet" for files named train-* or validation-*, "csv" for a train.csv,
        "folder" for class folders of images. A train.csv may have any folders of images
        beside it.

    Raises:
        ValueError: if the folder holds none of these, records and one of the others, or
            the digits' records.
    """
    if "://" in data_dir:
        return "imagenet"
    try:
        entries = sorted(os.scandir(data_dir), key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"data_dir={data_dir}: {error.strerror}") from None
    if any(entry.name == _DIGITS for entry in entries):
        raise ValueError(
            f"data_dir={data_dir}: holds the digits' records; name them with "
            "--dataset=digits"
        )
    shards = next((e.name for e in entries if _is_shard(e)), None)
    found, dataset = _images(entries)
    if shards and found:
        raise ValueError(
            f"data_dir={data_dir}: holds TFRecord files ({shards}) and images "
            f"({found}); say which with --dataset=imagenet or --dataset={dataset}"
        )
    if not shards and not found:
        raise ValueError(
            f"data_dir={data_dir}: holds neither TFRecord files named train-* and "
            "validation-* nor class folders of images (DIR/train/CLASS/*, "
            f"DIR/val/CLASS/*) nor {label_csv.TRAIN}; name what it holds with --dataset"
        )
    return "imagenet" if shards else dataset


def _images(entries: list[os.DirEntry]) -> tuple[str | None, str]:
    """Returns what tells of single image files, and the data set that they are."""
    if any(entry.name == label_csv.TRAIN and entry.is_file() for entry in entries):
        return label_csv.TRAIN, "csv"
    classes = next((e.name for e in entries if _holds_images(e)), None)
    return classes and f"{classes}/", "folder"


def _is_shard(entry: os.DirEntry) -> bool:
    return entry.is_file() and bool(_SHARD.fullmatch(entry.name))


def _holds_images(entry: os.DirEntry) -> bool:
    """Whether there is an image in a folder, or in one below it."""
    if entry.name.startswith(".") or not entry.is_dir():
        return False
    try:
        return image_tree.holds_images(entry.path)
    except OSError:
        return False
