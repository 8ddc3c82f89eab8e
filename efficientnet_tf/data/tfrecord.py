"""Splits of TFRecord files, and finding and writing them.

A record is a tf.train.Example with an encoded image and its label, in ImageNet's schema
`image/encoded` (bytes of an image file) and `image/class/label` (int64 from 1). A
folder holds `train-*` and `validation-*`, as they are or compressed by GZIP.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import tensorflow as tf

from efficientnet_tf import files as whole_files
from efficientnet_tf.data import inventory, manifest, record_files, shards
from efficientnet_tf.data.cache import Cache

# Written here because counting the images in a bucket takes minutes.
IMAGENET_TRAIN_SHARDS, IMAGENET_TRAIN_IMAGES = 1024, 1_281_167
IMAGENET_VALIDATION_SHARDS, IMAGENET_VALIDATION_IMAGES = 128, 50_000

_READERS = 16  # files read in turn; fixed, because it decides the records' order
_COUNTERS = 8  # files counted at once; a bucket's client takes 64 MB for each


@dataclasses.dataclass(frozen=True)
class Split:
    """A set of files and the number of images in them; here, record files.

    Args:
        name: "train", "minival" or "validation".
        files: paths of the files.
        images: int, number of images.
        image_key: feature of a record with the encoded image.
        label_key: feature of a record with the label.
        first_label: int, the smallest label in the files.
        label_names: the texts that are labels, in order; None: labels are numbers.
        zipped: those of `files` that are compressed by GZIP.
        counts: number of images of each class; None where this is not known.
        cache: keeps files in memory; None reads them where they are.
    """

    name: str
    files: tuple[str, ...]
    images: int

    _: dataclasses.KW_ONLY
    image_key: str = "image/encoded"
    label_key: str = "image/class/label"
    first_label: int = 1
    label_names: tuple[bytes, ...] | None = None
    zipped: frozenset[str] = frozenset()
    counts: tuple[int, ...] | None = None
    cache: Cache | None = dataclasses.field(default=None, repr=False, compare=False)

    def entry(self, file: str) -> bytes:
        """Returns what `records` takes for a file; a path may be any bytes."""
        return os.fsencode(file)

    @tf.autograph.experimental.do_not_convert  # AutoGraph would warn of os.fsencode
    def read(self, path: tf.Tensor) -> tf.data.Dataset:
        """Reads the records of one file, as string scalars."""
        compression = None
        if self.zipped:
            zipped = tf.constant([os.fsencode(file) for file in sorted(self.zipped)])
            compression = tf.where(tf.reduce_any(tf.equal(zipped, path)), "GZIP", "")
        readable = self.cache.at(path) if self.cache else path
        return tf.data.TFRecordDataset(readable, compression_type=compression)

    def records(self, files: tf.data.Dataset) -> tf.data.Dataset:
        """Reads a string scalar for each image of some files; skipping one is cheap."""
        return in_turn(files, self.read)

    def keeps(self, path: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor] | None:
        """Returns a test of the numbers of a file's records, from 0; None: all are."""
        del path
        return None

    def example(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns image bytes (string scalar) and label (int64, from 0) of a record.

        A label that is none of `label_names` is -1. Data of several labels an image
        returns these, int64 [labels].
        """
        if self.label_names is None:
            encoded, label = parse(record, self.image_key, self.label_key)
            return encoded, label - self.first_label
        encoded, text = parse(record, self.image_key, self.label_key, tf.string)
        is_name = tf.equal(tf.constant(self.label_names), text)
        place = tf.argmax(tf.cast(is_name, tf.int32))
        return encoded, tf.where(tf.reduce_any(is_name), place, -1)

    def class_counts(self) -> list[int] | None:
        """Counts the images of each class; None where this would read the files.

        An image of several labels counts for each of them.
        """
        return None if self.counts is None else list(self.counts)


def in_turn(
    files: tf.data.Dataset, read: Callable[[tf.Tensor], tf.data.Dataset]
) -> tf.data.Dataset:
    """Reads several files at a time, a record of each in turn."""
    return files.interleave(
        read,
        cycle_length=_READERS,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


@dataclasses.dataclass(frozen=True)
class Splits:
    """The disjoint parts of a data set; `minival` is None where nothing is held out.

    `train` is None where there is nothing to train on. `class_names` are the names of
    the labels, in order; None where they are not known. `left_out` says what the data
    set holds that is in no split, `notes` what was decided about the data.
    """

    train: Split | None
    minival: Split | None
    validation: Split
    class_names: tuple[str, ...] | None = None
    left_out: tuple[inventory.LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def train_images(self) -> int:
        """Number of images to train on."""
        return self.train.images if self.train else 0

    def read(self) -> list[Split]:
        """Lists the train split, if there is one, and the validation split."""
        return [split for split in (self.train, self.validation) if split]


def open_splits(
    data_dir: str,
    *,
    minival_shards: float = 0,
    num_train_images: int | None = None,
    tolerant: bool = False,
) -> Splits:
    """Finds the files of a folder and holds the first train shards out as minival.

    A file may be empty, as shards are that are more than their images.

    Args:
        data_dir: local folder or gs:// URL.
        minival_shards: a number of shards, or below 1 a fraction of them (rounded, at
            least one shard); 0 holds nothing out.
        num_train_images: images in all of train-*; None counts them, unless a
            manifest tells or the 1,024 and 128 shards of ImageNet are found.
        tolerant: whether a record that is cut short is counted and no error.

    Raises:
        ValueError: if files are missing, damaged, or too few to hold any out.
    """
    tally = inventory.Tally()
    train_files = _files(data_dir, "train", tally)
    held_out = number_held_out(minival_shards, len(train_files), unit="shards")
    minival_files, kept_files = train_files[:held_out], train_files[held_out:]
    validation_files = _files(data_dir, "validation", tally)
    known = manifest.read(data_dir)
    numbers = (len(train_files), len(validation_files))
    of_imagenet = (IMAGENET_TRAIN_SHARDS, IMAGENET_VALIDATION_SHARDS)
    is_imagenet = numbers == of_imagenet and known is None
    count = functools.partial(_count, tally=tally, tolerant=tolerant, known=known)
    if num_train_images is None and is_imagenet:
        num_train_images = IMAGENET_TRAIN_IMAGES
    if num_train_images is None:
        minival_images = count(minival_files)
        train_images = count(kept_files)
    else:
        # In proportion, which gives the exact 25,022 images of ImageNet's 20 shards.
        minival_images = num_train_images * held_out // len(train_files)
        train_images = num_train_images - minival_images
    if held_out and not minival_images:
        raise ValueError(
            f"minival_shards={minival_shards:g}: the first {held_out} of the "
            f"{len(train_files)} train shards hold no records; hold out more, or 0"
        )
    validation_images = IMAGENET_VALIDATION_IMAGES
    if not is_imagenet:
        validation_images = count(validation_files)
    zipped = {
        name: record_files.zipped(paths)
        for name, paths in (("train", train_files), ("validation", validation_files))
    }

    def split(name: str, paths: tuple[str, ...], images: int) -> Split:
        of = zipped["validation" if name == "validation" else "train"]
        of_class = known.counts(name, images) if known else None
        zipped_here = of.intersection(paths)
        return Split(name, paths, images, zipped=zipped_here, counts=of_class)

    return Splits(
        train=split("train", kept_files, train_images),
        minival=split("minival", minival_files, minival_images) if held_out else None,
        validation=split("validation", validation_files, validation_images),
        left_out=tally.left_out(),
    )


def _files(data_dir: str, split: str, tally: inventory.Tally) -> tuple[str, ...]:
    """Finds the record files of a split, whole sets of shards only."""
    folder = data_dir.rstrip("/")
    try:
        found = tf.io.gfile.glob(f"{folder}/{split}-*")
        if not whole_files.is_url(data_dir):
            found = [path for path in found if not os.path.isdir(path)]
        listed = not found and tf.io.gfile.isdir(folder)
        there = tf.io.gfile.listdir(folder) if listed else []
    except tf.errors.OpError as error:
        reason = whole_files.reason(error)
        raise ValueError(f"data_dir={data_dir}: {reason}") from None
    taken = shards.select(found, split, tally)
    if not taken:
        held = f" (it holds {', '.join(sorted(there)[:3])})" if there else ""
        raise ValueError(
            f"data_dir={data_dir}: no {split}-* files there; it must hold TFRecord "
            f"files named train-* and validation-*{held}"
        )
    return taken


def number_held_out(minival_shards: float, total: int, *, unit: str) -> int:
    """Returns how many of `total` shards or images, the `unit`, are held out.

    Args:
        minival_shards: a count, or a fraction below 1.
        total: int, shards or images that there are.
        unit: "shards" or "images", for errors.

    Raises:
        ValueError: if that leaves nothing to train on.
    """
    if minival_shards == 0:
        return 0
    fraction = minival_shards < 1
    held_out = max(1, round(minival_shards * total)) if fraction else minival_shards
    if held_out >= total:
        raise ValueError(
            f"minival_shards={minival_shards:g} leaves nothing of {total} train {unit} "
            f"to train on; allowed is 0 (hold nothing out) or fewer {unit}"
        )
    return int(held_out)


def _count(
    files: Sequence[str],
    tally: inventory.Tally,
    tolerant: bool,
    known: manifest.Manifest | None,
) -> int:
    def count_one(path: str) -> int:
        images = known.images_in(path) if known else None
        if images is not None:
            return images
        return record_files.count_records(path, tolerant=tolerant)

    with concurrent.futures.ThreadPoolExecutor(_COUNTERS) as pool:
        counts = list(pool.map(count_one, files))
    for path, count in zip(files, counts, strict=True):
        if not count:
            tally.add("record files without a record", path)
    return sum(counts)


def parse(
    serialized: tf.Tensor,
    image_key: str = Split.image_key,
    label_key: str = Split.label_key,
    label_kind: tf.DType = tf.int64,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a serialized record's image bytes (string scalar) and its label.

    Args:
        serialized: string scalar, a `tf.train.Example`.
        image_key: name of the feature with the encoded image.
        label_key: name of the feature with the label.
        label_kind: tf.int64, or tf.string for a text.
    """
    wanted = {
        image_key: tf.io.FixedLenFeature([], tf.string),
        label_key: tf.io.FixedLenFeature([], label_kind),
    }
    features = tf.io.parse_single_example(serialized, wanted)
    return features[image_key], features[label_key]


def write_shards(
    data_dir: str, split: str, examples: Iterable[tuple[bytes, int]], *, shards: int
) -> None:
    """Writes (image bytes, label from 1) pairs in turn to `shards` files.

    Each file appears under its name only once it is complete.

    Args:
        data_dir: folder to write to.
        split: "train" or "validation", the beginning of the names.
        examples: pairs of encoded image and label, from 1.
        shards: int, files to write.
    """
    folder = data_dir.rstrip("/")
    with contextlib.ExitStack() as stack:
        writers = []
        for index in range(shards):
            path = f"{folder}/{split}-{index:05d}-of-{shards:05d}"
            partial = stack.enter_context(whole_files.replacing(path))
            writers.append(stack.enter_context(tf.io.TFRecordWriter(partial)))
        for index, (encoded, label) in enumerate(examples):
            record = serialize({"image/encoded": encoded, "image/class/label": label})
            writers[index % shards].write(record)


def serialize(values: Mapping[str, bytes | int]) -> bytes:
    """Returns a serialized `tf.train.Example`, with the same bytes each time."""
    feature = {
        name: tf.train.Feature(bytes_list={"value": [value]})
        if isinstance(value, bytes)
        else tf.train.Feature(int64_list={"value": [value]})
        for name, value in values.items()
    }
    example = tf.train.Example(features={"feature": feature})
    return example.SerializeToString(deterministic=True)
