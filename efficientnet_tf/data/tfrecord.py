"""ImageNet-schema TFRecord files: finding, counting, checking, writing.

A record is a tf.train.Example with `image/encoded` (bytes of an image file) and
`image/class/label` (int64 from 1). A folder holds `train-*` and `validation-*`.
"""

import concurrent.futures
import contextlib
import dataclasses
import os
import struct
from collections.abc import Iterable, Iterator
from typing import ClassVar

import tensorflow as tf

from efficientnet_tf import files as whole_files
from efficientnet_tf import label_sets
from efficientnet_tf.data import decoding

# Written here because counting the images in a bucket takes minutes.
IMAGENET_TRAIN_SHARDS, IMAGENET_TRAIN_IMAGES = 1024, 1_281_167
IMAGENET_VALIDATION_SHARDS, IMAGENET_VALIDATION_IMAGES = 128, 50_000

_READERS = 16  # files read in turn; fixed, because it decides the records' order
_COUNTERS = 8  # files counted at once; a bucket's client takes 64 MB for each


@dataclasses.dataclass(frozen=True)
class Split:
    """A set of files and the number of images in them; here, record files."""

    name: str
    files: tuple[str, ...]
    images: int

    image_key: ClassVar[str] = "image/encoded"
    label_key: ClassVar[str] = "image/class/label"
    first_label: ClassVar[int] = 1  # the smallest label in the files

    def entry(self, file: str) -> bytes:
        """Returns what `records` takes for a file; a path may be any bytes."""
        return os.fsencode(file)

    def read(self, path: tf.Tensor) -> tf.data.Dataset:
        """Reads the records of one file, as string scalars."""
        return tf.data.TFRecordDataset(path)

    def records(self, files: tf.data.Dataset) -> tf.data.Dataset:
        """Reads a string scalar for each image of some files; skipping one is cheap."""
        return files.interleave(
            self.read,
            cycle_length=_READERS,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def example(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns image bytes (string scalar) and label (int64, from 0) of a record.

        Data of several labels an image returns these, int64 [labels].
        """
        encoded, label = parse(record, self.image_key, self.label_key)
        return encoded, label - self.first_label

    def class_counts(self) -> list[int] | None:
        """Counts the images of each class; None where this would read the files.

        An image of several labels counts for each of them.
        """
        return None


@dataclasses.dataclass(frozen=True)
class Splits:
    """The disjoint parts of a data set; `minival` is None where nothing is held out.

    `train` is None where there is nothing to train on. `class_names` are the names of
    the labels, in order; None where they are not known.
    """

    train: Split | None
    minival: Split | None
    validation: Split
    class_names: tuple[str, ...] | None = None

    @property
    def train_images(self) -> int:
        """Number of images to train on."""
        return self.train.images if self.train else 0

    def read(self) -> list[Split]:
        """Lists the train split, if there is one, and the validation split."""
        return [split for split in (self.train, self.validation) if split]


def open_splits(
    data_dir: str, *, minival_shards: float = 0, num_train_images: int | None = None
) -> Splits:
    """Finds the files of a folder and holds the first train shards out as minival.

    Args:
        data_dir: local folder or gs:// URL.
        minival_shards: a number of shards, or below 1 a fraction of them (rounded, at
            least one shard); 0 holds nothing out.
        num_train_images: images in all of train-*; None counts them, unless the
            1,024 and 128 shards of ImageNet are found.

    Raises:
        ValueError: if files are missing, damaged, or too few to hold any out.
    """
    train_files = _files(data_dir, "train")
    held_out = number_held_out(minival_shards, len(train_files), unit="shards")
    minival_files, kept_files = train_files[:held_out], train_files[held_out:]
    validation_files = _files(data_dir, "validation")
    shards = (len(train_files), len(validation_files))
    is_imagenet = shards == (IMAGENET_TRAIN_SHARDS, IMAGENET_VALIDATION_SHARDS)
    if num_train_images is None and is_imagenet:
        num_train_images = IMAGENET_TRAIN_IMAGES
    if num_train_images is None:
        minival_images, train_images = _count(minival_files), _count(kept_files)
    else:
        # In proportion, which gives the exact 25,022 images of ImageNet's 20 shards.
        minival_images = num_train_images * held_out // len(train_files)
        train_images = num_train_images - minival_images
    validation_images = IMAGENET_VALIDATION_IMAGES
    if not is_imagenet:
        validation_images = _count(validation_files)
    return Splits(
        train=Split("train", kept_files, train_images),
        minival=Split("minival", minival_files, minival_images) if held_out else None,
        validation=Split("validation", validation_files, validation_images),
    )


def _files(data_dir: str, split: str) -> tuple[str, ...]:
    pattern = f"{data_dir.rstrip('/')}/{split}-*"
    try:
        found = tuple(sorted(tf.io.gfile.glob(pattern)))
    except tf.errors.OpError as error:
        reason = whole_files.reason(error)
        raise ValueError(f"data_dir={data_dir}: {reason}") from None
    if not found:
        raise ValueError(
            f"data_dir={data_dir}: no {split}-* files there; it must hold TFRecord "
            "files named train-* and validation-*"
        )
    return found


def read_class_names(data_dir: str, *, num_classes: int) -> tuple[str, ...] | None:
    """Reads the names of a folder's labels from its labels.txt, one a line.

    Args:
        data_dir: local folder or gs:// URL.
        num_classes: int, number of labels.

    Returns:
        The names; without such a file ImageNet's if there are 1,000 labels, else None.

    Raises:
        ValueError: if the file cannot be read or holds another number of names.
    """
    path = f"{data_dir.rstrip('/')}/{label_sets.FILE}"
    try:
        text = whole_files.read_text(path)
        found = None if text is None else label_sets.loads(text)
    except (tf.errors.OpError, ValueError) as error:
        raise ValueError(f"{path}: {whole_files.reason(error)}") from None
    if found is None:
        return label_sets.names("imagenet-1k") if num_classes == 1000 else None
    if len(found) != num_classes:
        raise ValueError(
            f"{path}: holds {len(found)} names, but there are {num_classes} labels; it "
            "must name each of them, one a line"
        )
    return found


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


def _count(files: Iterable[str]) -> int:
    with concurrent.futures.ThreadPoolExecutor(_COUNTERS) as pool:
        return sum(pool.map(count_records, files))


def count_records(path: str) -> int:
    """Counts records; see `find_records`."""
    return sum(1 for _ in find_records(path))


def find_records(path: str) -> Iterator[tuple[int, int]]:
    """Finds a file's records by hopping from header to header.

    A bucket's client reads blocks of 64 MB, so it reads the whole file in few requests.

    Args:
        path: path or URL of a TFRecord file.

    Yields:
        Offset and length of each record, in bytes.

    Raises:
        ValueError: if the file ends in the middle of a record.
    """
    size = tf.io.gfile.stat(path).length
    count = offset = 0
    with tf.io.gfile.GFile(path, "rb") as file:
        while offset < size:
            file.seek(offset)
            header = file.read(8)
            # Length (8 bytes), its checksum (4), the record, its checksum (4).
            length = struct.unpack("<Q", header)[0] if len(header) == 8 else size
            end = offset + 8 + 4 + length + 4
            count += 1
            if end > size:
                raise ValueError(
                    f"{path} is damaged: record {count} (from 1) is cut short"
                )
            yield offset + 8 + 4, length
            offset = end


def parse(
    serialized: tf.Tensor,
    image_key: str = Split.image_key,
    label_key: str = Split.label_key,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a serialized record's image bytes (string scalar) and label (int64).

    Args:
        serialized: string scalar, a `tf.train.Example`.
        image_key: name of the feature with the encoded image.
        label_key: name of the feature with the label.
    """
    wanted = {
        image_key: tf.io.FixedLenFeature([], tf.string),
        label_key: tf.io.FixedLenFeature([], tf.int64),
    }
    features = tf.io.parse_single_example(serialized, wanted)
    return features[image_key], features[label_key]


def check_first_record(split: Split, *, num_classes: int) -> None:
    """Reads one record and decodes its image, to fail before any compute is spent.

    Args:
        split: the files; the first is read.
        num_classes: int, number of labels.

    Raises:
        ValueError: naming the file and what is wrong with its first record.
    """
    path = split.files[0]
    wanted = (
        f"it must be a tf.train.Example with {split.image_key} (JPEG or PNG) and "
        f"{split.label_key}"
    )
    try:
        for serialized in tf.data.TFRecordDataset(path).take(1):
            encoded, label = parse(serialized, split.image_key, split.label_key)
            reason = decoding.reason(encoded.numpy())
            if reason:
                raise ValueError(
                    f"{path}: the first record cannot be read (its image: {reason}); "
                    f"{wanted}"
                )
            first = split.first_label
            if not first <= int(label) < first + num_classes:
                last = f"num_classes={num_classes}" + ("" if first else " - 1")
                raise ValueError(
                    f"{path}: the first record's label is {int(label)}; allowed is "
                    f"{first} to {last}"
                )
            return
    except tf.errors.OpError as error:
        if whole_files.why_refused(error):
            raise
        raise ValueError(
            f"{path}: the first record cannot be read ({whole_files.reason(error)}); "
            f"{wanted}"
        ) from None
    raise ValueError(f"{path} holds no records")


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
            writers[index % shards].write(_serialize(encoded, label))


def _serialize(encoded: bytes, label: int) -> bytes:
    feature = {
        "image/encoded": tf.train.Feature(bytes_list={"value": [encoded]}),
        "image/class/label": tf.train.Feature(int64_list={"value": [label]}),
    }
    return tf.train.Example(features={"feature": feature}).SerializeToString()
