"""Splits of data sets that tensorflow_datasets (tfds) prepares, as record files.

tfds leaves TFRecord files of tf.train.Examples with `image` (encoded bytes) and `label`
(int64 from 0), and counts them. The reader of tfds decodes whole images unless told not
to, and shuffles records its own way. So this package's pipeline reads the files, in an
order that is a function of the step.
"""

import contextlib
import dataclasses
import glob
import io
import itertools
import os
import re
import sys
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from efficientnet_tf import label_sets
from efficientnet_tf.data import tfds_table, tfrecord
from efficientnet_tf.spelling import did_you_mean

_VERSION = re.compile(r"\d+\.\d+\.\d+.*")
_VALIDATION = ("validation", "test")  # the first there; a test split may lack labels


@dataclasses.dataclass(frozen=True)
class Records(tfrecord.Split):
    """Record files without the records that are held out, or with these alone.

    `held_out` of the `sum(lengths)` records are held out, at even distances, so that
    each class gives its share where records are in the order of their classes.
    """

    lengths: tuple[int, ...]  # records in each file
    held_out: int = 0
    is_minival: bool = False

    _: dataclasses.KW_ONLY
    image_key: str = "image"
    label_key: str = "label"
    first_label: int = 0

    @tf.autograph.experimental.do_not_convert  # AutoGraph would warn of os.fsencode
    def read(self, path: tf.Tensor) -> tf.data.Dataset:
        """See `tfrecord.Split.read`."""
        records, keeps = super().read(path), self.keeps(path)
        if keeps is None:
            return records
        kept = records.enumerate().filter(lambda number, _: keeps(number))
        return kept.map(lambda _, record: record)

    def keeps(self, path: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor] | None:
        """See `tfrecord.Split.keeps`."""
        if not self.held_out:
            return None
        total = sum(self.lengths)
        starts = [0, *itertools.accumulate(self.lengths[:-1])]
        is_file = tf.equal([os.fsencode(file) for file in self.files], path)
        start = tf.constant(starts, tf.int64)[tf.where(is_file)[0, 0]]

        def is_mine(in_file: tf.Tensor) -> tf.Tensor:
            number = start + in_file
            before, after = number * self.held_out, (number + 1) * self.held_out
            return (after // total > before // total) == self.is_minival

        return is_mine


def open_splits(
    name: str,
    data_dir: str | None,
    *,
    num_classes: int | None,
    minival_images: float = 0,
) -> tfrecord.Splits:
    """Finds a data set of tfds; prepares it first if need be.

    The paper's data sets are split as `tfds_table` says, others into "train" and
    "validation", or else "test".

    Args:
        name: the name that `tfds.builder` takes.
        data_dir: tfds' folder of data sets; None takes its default.
        num_classes: int, the number of classes to require; None takes any number.
        minival_images: train images to hold out: a number, or below 1 a fraction of
            them (rounded, at least one image); 0 holds nothing out.

    Raises:
        ValueError: if it cannot be prepared, or its features or files do not fit.
    """
    builder = _builder(name, data_dir)
    if not builder.is_prepared():
        check_own(name, data_dir)
        _prepare(name, builder)
    info = builder.info
    _check_features(name, info, num_classes)
    train_name, test_name = _split_names(name, info)
    train = _records("train", info, train_name)
    validation = _records("validation", info, test_name)
    _check_sizes(name, train.images, validation.images)
    _check_files(name, info, (*train.files, *validation.files))
    held_out = tfrecord.number_held_out(minival_images, train.images, unit="images")

    def part(name: str, images: int) -> Records:
        minival = name == "minival"
        return dataclasses.replace(
            train, name=name, images=images, held_out=held_out, is_minival=minival
        )

    return tfrecord.Splits(
        train=part("train", train.images - held_out),
        minival=part("minival", held_out) if held_out else None,
        validation=validation,
        class_names=_class_names(info),
    )


def _class_names(info: Any) -> tuple[str, ...] | None:
    """Returns the labels' names; None if tfds keeps no file of them beside the records.

    A label without names answers with numbers when it is asked for names.
    """
    label = info.features["label"]
    if not tf.io.gfile.exists(str(label.get_names_filepath(info.data_dir, "label"))):
        return None
    return tuple(map(label_sets.printable, label.names))


def _builder(name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds  # 2 s

    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        hint = did_you_mean(name, known)
        raise ValueError(
            f"dataset=tfds:{name}: not in tensorflow_datasets {tfds.__version__} and "
            f"not in data_dir={data_dir}; dataset=folder takes images by class{hint}"
        ) from None
    except (ValueError, AssertionError, RuntimeError) as error:
        raise ValueError(f"dataset=tfds:{name}: {_first_line(error)}") from None


def check_own(name: str, data_dir: str | None) -> None:
    """Raises ValueError if a folder to be written to holds anything but tfds' own."""
    if data_dir is None or not os.path.isdir(data_dir):
        return
    for entry in sorted(os.scandir(data_dir), key=lambda entry: entry.name):
        is_hidden = entry.name.startswith(".")
        if is_hidden or entry.name == "downloads" or _is_of_tfds(entry.path):
            continue
        raise ValueError(
            f"data_dir={data_dir}: dataset=tfds:{name} would be prepared there, beside "
            f"{entry.name}; name an empty folder, or that of other data sets of tfds"
        )


def _is_of_tfds(path: str) -> bool:
    """Whether a folder is a data set's: of versions, or of configurations with some."""
    inside = [
        found for depth in ("*", "*/*") for found in glob.glob(depth, root_dir=path)
    ]
    return any(_VERSION.fullmatch(os.path.basename(found)) for found in inside)


def _prepare(name: str, builder: Any) -> None:
    """Downloads and writes the record files, and says so."""
    try:
        _announce(name, builder)
        with contextlib.redirect_stdout(io.StringIO()):  # stdout is for results
            builder.download_and_prepare(file_format="tfrecord")
    except Exception as error:  # whatever a dataset's own code and the network raise
        raise ValueError(
            f"dataset=tfds:{name}: cannot be prepared in {builder.data_dir} "
            f"({_first_line(error)}); where there is a network run tfds build {name} "
            "--data_dir=DIR, and give that DIR as data_dir"
        ) from error


def _announce(name: str, builder: Any) -> None:
    import requests  # tfds downloads with it

    urls = builder.url_infos or {}
    megabytes = sum(int(url.size) for url in urls.values()) / 1e6
    print(
        f"tfds:{name}: downloads {megabytes:,.0f} MB, to prepare {builder.data_dir}",
        file=sys.stderr,
        flush=True,
    )
    for url in itertools.islice(urls, 1):
        requests.head(url, timeout=30)  # fails at once; tfds would try for minutes


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def _check_features(name: str, info: Any, num_classes: int | None) -> None:
    import tensorflow_datasets as tfds

    features = dict(info.features or {})
    image, label = features.get("image"), features.get("label")
    is_image = isinstance(image, tfds.features.Image) and image.tf_dtype == tf.uint8
    if not (is_image and isinstance(label, tfds.features.ClassLabel)):
        raise ValueError(
            f"dataset=tfds:{name}: its features are {', '.join(sorted(features))}; "
            "it must have image (an Image of uint8) and label (a ClassLabel)"
        )
    if num_classes not in (None, label.num_classes):
        raise ValueError(
            f"num_classes={num_classes}: dataset=tfds:{name} has {label.num_classes} "
            "classes; the two must agree"
        )
    if info.file_format != tfds.core.FileFormat.TFRECORD:
        raise ValueError(
            f"dataset=tfds:{name}: is prepared as {info.file_format.value} files; "
            "allowed is tfrecord (tfds build --file_format=tfrecord)"
        )


def _split_names(name: str, info: Any) -> tuple[str, str]:
    row = tfds_table.find(name)
    there = [split for split in _VALIDATION if split in info.splits]
    if row is None and there:
        row = tfds_table.Row("train", there[0], 0, 0, 0)
    wanted = (
        (*row.train.split("+"), row.test) if row else ("train", "validation or test")
    )
    if not row or not set(wanted) <= set(info.splits):
        raise ValueError(
            f"dataset=tfds:{name}: its splits are {', '.join(sorted(info.splits))}; it "
            f"must have {', '.join(wanted)}"
        )
    return row.train, row.test


def _records(split: str, info: Any, names: str) -> Records:
    parts = [info.splits[name] for name in names.split("+")]
    return Records(
        split,
        files=tuple(os.fspath(path) for part in parts for path in part.filepaths),
        images=sum(part.num_examples for part in parts),
        lengths=tuple(length for part in parts for length in part.shard_lengths),
    )


def _check_sizes(name: str, train_images: int, test_images: int) -> None:
    row = tfds_table.find(name)
    if row and (row.train_images, row.test_images) != (train_images, test_images):
        raise ValueError(
            f"dataset=tfds:{name}: holds {train_images} train and {test_images} test "
            f"images, not {row.train_images} and {row.test_images}; prepare the data "
            "set again"
        )


def _check_files(name: str, info: Any, files: tuple[str, ...]) -> None:
    there = set(tf.io.gfile.listdir(info.data_dir))
    missing = [file for file in files if os.path.basename(file) not in there]
    if missing:
        raise ValueError(
            f"dataset=tfds:{name}: {missing[0]} is missing, and "
            f"{len(missing) - 1} files more; copy or prepare the data set again"
        )
