"""Where images come from: one object per dataset, all with the same two methods."""

import dataclasses

import tensorflow as tf

from efficientnet_tf.data import (
    batches,
    digits,
    image_files,
    tfds_records,
    tfds_table,
    tfrecord,
)


@dataclasses.dataclass(frozen=True)
class Files:
    """Images in TFRecord files, or a file each."""

    splits: tfrecord.Splits

    def train(self, transform: batches.TrainTransform, **position) -> tf.data.Dataset:
        """See `batches.train_batches`."""
        return batches.train_batches(self.splits.train, transform, **position)

    def evaluate(self, split: tfrecord.Split, **kwargs) -> tf.data.Dataset:
        """See `batches.eval_batches`."""
        return batches.eval_batches(split, **kwargs)


@dataclasses.dataclass(frozen=True)
class Fake:
    """One random batch over and over: what is left to time is the device."""

    splits: tfrecord.Splits

    def train(self, transform: batches.TrainTransform, *, batch_size: int, **_):
        """As `Files.train`; position and seed play no part."""
        images = _random_images(batch_size, transform.image_size)
        classes = tf.range(batch_size) % transform.num_classes
        labels = tf.one_hot(classes, transform.num_classes)
        return tf.data.Dataset.from_tensors((images, labels)).repeat()

    def evaluate(self, split, *, image_size, batch_size, shard, num_classes, **_):
        """As `Files.evaluate`, over `split.images` images of class 0 on."""
        images = _random_images(batch_size, image_size)
        labels = tf.range(batch_size) % num_classes
        mine = split.images // shard.count + (shard.index < split.images % shard.count)

        def batch(first):
            numbers = first + tf.range(batch_size, dtype=tf.int64)
            mask = tf.cast(numbers < mine, tf.float32)
            return {"image": images, "label": labels, "mask": mask}

        return tf.data.Dataset.range(0, tf.int64.max, batch_size).map(batch).repeat()


def open_source(
    dataset: str,
    data_dir: str | None,
    *,
    num_classes: int,
    minival_shards: float,
    num_train_images: int | None,
) -> Files | Fake:
    """Finds a dataset, writing the digits first if need be, and tries some images.

    Args:
        dataset: "digits", "imagenet" (any TFRecords in its schema), "folder" (of
            images by class), "tfds:NAME" or "fake".
        data_dir: folder of the records or images; None takes the digits' cache, or
            that of tfds.
        num_classes: labels run from 1 to this.
        minival_shards: see each module's `open_splits`.
        num_train_images: see `tfrecord.open_splits`.

    Raises:
        ValueError: if something is missing or damaged.
    """
    if dataset == "fake":
        images = num_train_images or tfrecord.IMAGENET_TRAIN_IMAGES
        train = tfrecord.Split("train", (), images)
        return Fake(
            tfrecord.Splits(train, None, tfrecord.Split("validation", (), 1024))
        )
    if dataset == "folder":
        splits = image_files.open_splits(
            data_dir, num_classes=num_classes, minival_images=minival_shards
        )
        for split in filter(None, (splits.train, splits.validation)):
            image_files.check_first_images(split)
        return Files(splits)
    tfds_name = tfds_table.name_of(dataset)
    if tfds_name:
        splits = tfds_records.open_splits(
            tfds_name,
            data_dir,
            num_classes=num_classes,
            minival_images=minival_shards,
        )
    else:
        if dataset == "digits":
            data_dir = data_dir or digits.default_dir()
            digits.prepare(data_dir)
        splits = tfrecord.open_splits(
            data_dir, minival_shards=minival_shards, num_train_images=num_train_images
        )
    for split in (splits.train, splits.validation):
        tfrecord.check_first_record(split, num_classes=num_classes)
    return Files(splits)


def _random_images(batch_size: int, image_size: int) -> tf.Tensor:
    shape = [batch_size, image_size, image_size, 3]
    pixels = tf.random.stateless_uniform(shape, [0, 0], maxval=256, dtype=tf.int32)
    return tf.cast(pixels, tf.uint8)
