"""Sources of images: one object a data set, all with the same two methods."""

import dataclasses
from typing import Any, Protocol

import tensorflow as tf

from efficientnet_tf import label_sets
from efficientnet_tf.data import (
    batches,
    digits,
    folder,
    image_files,
    record_check,
    record_labels,
    tfds_records,
    tfds_table,
    tfrecord,
)
from efficientnet_tf.data.augment import batch as augmented
from efficientnet_tf.data.bad_records import BadRecords
from efficientnet_tf.data.cache import Cache
from efficientnet_tf.data.preparation import Preparation
from efficientnet_tf.data.settings import Labels, Reading

_WHOLE = batches.Shard()


class Source(Protocol):
    """Images of one data set, divided into splits."""

    @property
    def splits(self) -> tfrecord.Splits:
        """The splits, each with its number of images."""

    def train(
        self, transform: batches.TrainTransform, *, batch_size: int, **position: Any
    ) -> tf.data.Dataset:
        """Reads endless training batches, see `batches.train_batches`."""

    def evaluate(
        self,
        split: tfrecord.Split,
        preparation: Preparation,
        *,
        labels: Labels,
        batch_size: int,
        shard: batches.Shard,
    ) -> tf.data.Dataset:
        """Reads every image of a split once, see `batches.eval_batches`."""


@dataclasses.dataclass(frozen=True)
class Files:
    """Images in TFRecord files, or in one file each.

    Args:
        splits: the splits.
        bad: notes images that cannot be used; None: such an image ends the reading.
        cache: keeps what is read in memory; None: each epoch reads the files.
    """

    splits: tfrecord.Splits
    bad: BadRecords | None = None
    cache: Cache | None = None

    def train(
        self, transform: batches.TrainTransform, **position: Any
    ) -> tf.data.Dataset:
        """See `batches.train_batches`."""
        if self.splits.train is None:
            raise ValueError("the dataset holds no images to train on")
        train = self._kept(self.splits.train, **position)
        return batches.train_batches(train, transform, bad=self.bad, **position)

    def evaluate(
        self, split: tfrecord.Split, preparation: Preparation, **kwargs: Any
    ) -> tf.data.Dataset:
        """See `batches.eval_batches`."""
        split = self._kept(split, **kwargs)
        return batches.eval_batches(split, preparation, bad=self.bad, **kwargs)

    def _kept(
        self, split: tfrecord.Split, shard: batches.Shard = _WHOLE, **_: Any
    ) -> tfrecord.Split:
        if self.cache is None:
            return split
        return self.cache.kept(split, split.files[shard.index :: shard.count])


@dataclasses.dataclass(frozen=True)
class Fake:
    """One random batch again and again, so that only the device takes time."""

    splits: tfrecord.Splits

    def train(
        self, transform: batches.TrainTransform, *, batch_size: int, **_: Any
    ) -> tf.data.Dataset:
        """Repeats one batch, whatever the position and seed; see `Files.train`."""
        images = _random_images(batch_size, transform.preparation.image_size)
        num_classes = transform.labels.num_classes
        labels = tf.one_hot(tf.range(batch_size) % num_classes, num_classes)
        batch = {"image": images, "label": labels}
        plan = transform.plan()
        if plan.is_on_device:
            batch = augmented.drawn(batch, plan)
        return tf.data.Dataset.from_tensors(batch).repeat()

    def evaluate(
        self,
        split: tfrecord.Split,
        preparation: Preparation,
        *,
        labels: Labels,
        batch_size: int,
        shard: batches.Shard,
    ) -> tf.data.Dataset:
        """Yields `split.images` images of classes 0 and on; see `Files.evaluate`."""
        images = _random_images(batch_size, preparation.image_size)
        classes = tf.range(batch_size) % labels.num_classes
        if labels.multi_label:
            classes = tf.one_hot(classes, labels.num_classes)
        mine = split.images // shard.count + (shard.index < split.images % shard.count)

        def batch(numbers: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
            numbers = tf.cast(numbers * shard.count + shard.index, tf.int32)
            return {
                "image": images,
                "label": classes,
                "mask": mask,
                "number": tf.where(mask > 0, numbers, -1),
            }

        return batches.numbered(mine, batch_size).map(batch).repeat()


def open_source(
    dataset: str,
    data_dir: str | None,
    *,
    num_classes: int,
    minival_shards: float,
    num_train_images: int | None,
    multi_label: bool = False,
    reading: Reading | None = None,
    seed: int = 0,
    bad: BadRecords | None = None,
) -> Source:
    """Finds a data set and tries some images; writes the digits first if need be.

    Args:
        dataset: "digits", "imagenet" (any TFRecords with an image and a label),
            "folder" (of images by class), "csv" (files that list images), "tfds:NAME"
            or "fake".
        data_dir: folder of the records or images; None takes the digits' cache, or
            that of tfds.
        num_classes: int, number of labels.
        minival_shards: the setting of that name, see `data.settings.Data`.
        num_train_images: int, number of training images; None counts them.
        multi_label: whether an image may have several labels.
        reading: what is where in `data_dir`; None takes the defaults.
        seed: int, decides which images `reading.val_fraction` takes.
        bad: notes images that cannot be used, as they are read, so none is tried here.
            None: such an image is an error.

    Raises:
        ValueError: if something is missing or damaged.
    """
    reading = reading or Reading()
    if dataset == "fake":
        count = num_train_images or tfrecord.IMAGENET_TRAIN_IMAGES
        train = tfrecord.Split("train", (), count)
        validation = tfrecord.Split("validation", (), 1024)
        return Fake(tfrecord.Splits(train, None, validation))
    if dataset in ("folder", "csv"):
        found = _found_images(
            dataset, data_dir or "", num_classes, multi_label, reading, seed
        )
        if bad is None:
            image_files.check_first_images(found.train or ())
            image_files.check_first_images(found.validation)
        return Files(image_files.splits(found, minival_images=minival_shards), bad)
    tfds_name = tfds_table.name_of(dataset)
    if tfds_name:
        splits = tfds_records.open_splits(
            tfds_name, data_dir, num_classes=num_classes, minival_images=minival_shards
        )
    else:
        if dataset == "digits":
            data_dir = data_dir or digits.default_dir()
            digits.prepare(data_dir)
        splits = tfrecord.open_splits(
            data_dir or "",
            minival_shards=minival_shards,
            num_train_images=num_train_images,
            tolerant=bad is not None,
        )
    if dataset == "digits":
        splits = dataclasses.replace(splits, class_names=label_sets.names("digits"))
    elif not tfds_name:
        splits = record_labels.settle(
            splits,
            data_dir or "",
            num_classes=num_classes,
            reading=reading,
            tolerant=bad is not None,
        )
    for split in splits.read() if bad is None else ():
        record_check.check_first_record(split, num_classes=num_classes)
    return Files(splits, bad)


def _found_images(
    dataset: str,
    data_dir: str,
    num_classes: int,
    multi_label: bool,
    reading: Reading,
    seed: int,
) -> folder.Found:
    """Finds the images of class folders or CSV files."""
    if dataset == "folder":
        return folder.read(
            data_dir,
            num_classes=num_classes,
            val_fraction=reading.val_fraction,
            seed=seed,
        )
    return image_files.of_csv(
        data_dir,
        num_classes=num_classes,
        multi_label=multi_label,
        val_fraction=reading.val_fraction,
        seed=seed,
    )


def _random_images(batch_size: int, image_size: int) -> tf.Tensor:
    shape = [batch_size, image_size, image_size, 3]
    pixels = tf.random.stateless_uniform(shape, [0, 0], maxval=256, dtype=tf.int32)
    return tf.cast(pixels, tf.uint8)
