"""tf.data pipelines: files to batches of static shape.

A training pipeline is a pure function of (seed, position): the order of each epoch and
every random draw of each image derive from the seed and the image's running number. So
a restarted run continues anywhere without iterator checkpoints.

No function here needs AutoGraph, which would take 1 s at each start, 3 s with
AutoAugment.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from efficientnet_tf.data import attempts, cache, decoding, graphs, order, tfrecord
from efficientnet_tf.data.augment import batch as augmented
from efficientnet_tf.data.augment.plan import Plan
from efficientnet_tf.data.bad_records import BadRecords
from efficientnet_tf.data.preparation import Preparation, decode_and_distort
from efficientnet_tf.data.settings import Augmentation, Labels

_ENDLESS = tf.data.experimental.INFINITE_CARDINALITY


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which part of the data one host reads."""

    index: int = 0
    count: int = 1


@dataclasses.dataclass(frozen=True)
class TrainTransform:
    """Turns a record into a training example.

    Args:
        preparation: size, resampling, and the crop to take where no random one fits.
        augmentation: random crops, flips and operations.
        labels: numbering of the labels and of the network's outputs.
    """

    preparation: Preparation
    augmentation: Augmentation
    labels: Labels

    def plan(self) -> Plan:
        """Returns the actions that can happen to the images."""
        return Plan(self.augmentation, self.preparation.image_size)


def train_batches(
    split: tfrecord.Split,
    transform: TrainTransform,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    shuffle_buffer: int = 16384,
    shard: Shard = Shard(),
    bad: BadRecords | None = None,
) -> tf.data.Dataset:
    """Reads an endless stream of shuffled, augmented batches.

    Args:
        split: the files to read, every image once in each epoch.
        transform: turns each record into an example.
        batch_size: int, images in a batch.
        seed: int; with `start` it decides every bit of the batches.
        start: int, images that this host has already consumed.
        shuffle_buffer: int, records shuffled at a time.
        shard: this host's share of the files.
        bad: notes records that no example can be made of. A copy of another example of
            the batch takes the place of each. None: such a record ends the pipeline.

    Returns:
        A dataset of {"image": uint8 [batch, size, size, 3], "label": float32 [batch,
        classes], the probability of each class}. With augment_on=device, batches also
        carry what `augment.batch.carried` says, and `augment.batch.in_step` has to
        change the images.

    Raises:
        ValueError: if there are fewer files than hosts.
    """
    if len(split.files) < shard.count:
        raise ValueError(
            f"split {split.name} has {len(split.files)} files for {shard.count} hosts; "
            "each host needs at least one: write more shards"
        )
    plan = transform.plan()
    records = order.shuffled_records(
        bad.reader(split) if bad else split,
        _entries(split, shard),
        images=split.images // shard.count,
        seed=seed,
        start=start,
        shuffle_buffer=shuffle_buffer,
    )

    decode = cache.decoder(split.cache)

    def image_seed(number: tf.Tensor) -> tf.Tensor:
        # Unique over hosts and epochs, so that no two images share a seed.
        unique = number * shard.count + shard.index
        return tf.stack([tf.cast(seed, tf.int64), unique])

    @tf.autograph.experimental.do_not_convert
    def example(number: tf.Tensor, record: Any) -> dict[str, tf.Tensor]:
        encoded, label = split.example(record)
        image = _train_image(encoded, transform, plan, image_seed(number), decode)
        return image | {"label": _probabilities(label, transform.labels)}

    @tf.autograph.experimental.do_not_convert
    def mix(
        numbers: tf.Tensor, there: tf.Tensor, batch: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        if bad:
            batch = _without_gaps(there, batch, bad)
        return augmented.mixed(batch, image_seed(numbers[0]), plan)

    batches = (
        _tried(records, example, bad.note(split, transform.labels) if bad else None)
        .batch(batch_size, drop_remainder=True)
        .map(mix, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
        # Otherwise hosts ask each other before each step whether data is left, and the
        # batch's shape is not static.
        .apply(tf.data.experimental.assert_cardinality(_ENDLESS))
    )
    return batches.with_options(_options())


def eval_batches(
    split: tfrecord.Split,
    preparation: Preparation,
    *,
    labels: Labels,
    batch_size: int,
    shard: Shard = Shard(),
    bad: BadRecords | None = None,
) -> tf.data.Dataset:
    """Reads every image once, then batches whose mask is zero, without end.

    The padding gives static shapes and lets a host with fewer images than others, or
    without a file, take part in every step. The reader stops when no host's mask has a
    one left.

    Args:
        split: the images to read.
        preparation: how each image is cropped and resized.
        labels: numbering of the labels and of the network's outputs.
        batch_size: int, images in a batch.
        shard: this host's share of the files.
        bad: notes images that no example can be made of, which are left out. None: such
            an image ends the pipeline.

    Returns:
        A dataset of {"image": uint8 [batch, size, size, 3], "label": int32 [batch]
        from 0, "mask": float32 [batch], "number": int32 [batch]}. Where an image may
        have several labels, "label" is float32 [batch, classes] of 0 and 1. The number
        of an image is unique over hosts: its place in this host's order, times the
        hosts, plus this host's index; `places.places` finds the image again.
    """
    decode = cache.decoder(split.cache)

    @tf.autograph.experimental.do_not_convert
    def example(place: tf.Tensor, record: Any) -> Any:
        encoded, label = split.example(record)
        return {
            "image": preparation.decode(encoded, decode),
            "label": _true(label, labels),
            "mask": tf.constant(1.0),
            "number": tf.cast(place * shard.count + shard.index, tf.int32),
        }

    size = preparation.image_size
    padding = {
        "image": tf.zeros([size, size, 3], tf.uint8),
        "label": _padding(labels),
        "mask": tf.zeros([]),
        "number": tf.constant(-1),
    }
    reader = bad.reader(split) if bad else split
    records = reader.records(
        tf.data.Dataset.from_tensor_slices(_entries(split, shard))
    ).enumerate()
    if bad:
        made = attempts.examples(records, example, bad.note(split, labels))
        made = made.filter(_is_there).map(_example)
    else:
        made = records.map(example, num_parallel_calls=tf.data.AUTOTUNE)
    batches = (
        made.concatenate(tf.data.Dataset.from_tensors(padding).repeat())
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )
    return batches.with_options(_options())


def _tried(
    records: tf.data.Dataset,
    make: Callable[[tf.Tensor, Any], Any],
    note: attempts.Note | None,
) -> tf.data.Dataset:
    """Makes triples (number, whether there is an example, example) of records."""
    if note:
        return attempts.examples(records, make, note)

    @tf.autograph.experimental.do_not_convert
    def example(number: tf.Tensor, record: Any) -> tuple:
        return number, True, make(number, record)

    return records.map(example, num_parallel_calls=tf.data.AUTOTUNE)


@tf.autograph.experimental.do_not_convert
def _is_there(_: tf.Tensor, there: tf.Tensor, example: Any) -> tf.Tensor:
    del example
    return there


@tf.autograph.experimental.do_not_convert
def _example(_: tf.Tensor, there: tf.Tensor, example: Any) -> Any:
    del there
    return example


def _without_gaps(
    there: tf.Tensor, batch: dict[str, tf.Tensor], bad: BadRecords
) -> dict[str, tf.Tensor]:
    """Returns a batch in which other examples replace those that are missing."""
    possible = tf.cond(
        tf.reduce_any(there),
        lambda: True,
        lambda: graphs.call_python(bad.refuse_batch, [], tf.bool),
    )
    with tf.control_dependencies([possible]):
        return attempts.replace_missing(tf.identity(there), batch)


def numbered(images: int, batch_size: int) -> tf.data.Dataset:
    """Yields the images' numbers, and on behind the last one without end.

    Args:
        images: int, number of images.
        batch_size: int, numbers in a batch.

    Returns:
        A dataset of pairs: int64 [batch], from 0, and the mask, float32 [batch], which
        is 1 for the numbers of images.
    """

    def batch(first: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        numbers = first + tf.range(batch_size, dtype=tf.int64)
        return numbers, tf.cast(numbers < images, tf.float32)

    return tf.data.Dataset.range(0, tf.int64.max, batch_size).map(batch)


def _entries(split: tfrecord.Split, shard: Shard) -> tf.Tensor:
    """Returns the entries of a host's files, string [files]."""
    files = split.files[shard.index :: shard.count]
    return tf.constant([split.entry(file) for file in files], tf.string)


def _train_image(
    encoded: tf.Tensor,
    transform: TrainTransform,
    plan: Plan,
    seed: tf.Tensor,
    decode: decoding.Decode,
) -> dict[str, tf.Tensor]:
    """Returns "image", uint8 [size, size, 3], and what the device does to it."""
    crop_seed, augment_seed = tf.unstack(tf.random.split(seed, 2))
    image = decode_and_distort(
        encoded,
        transform.preparation,
        seed=crop_seed,
        crop_area_min=transform.augmentation.crop_area_min,
        flip=transform.augmentation.flip,
        cut_off=transform.augmentation.augment != "none",
        decode_window=decode,
    )
    return augmented.example(image, augment_seed, plan)


def _probabilities(label: tf.Tensor, labels: Labels) -> tf.Tensor:
    """Returns 1 for each output that is right, else 0, float32 [classes].

    Args:
        label: int64, one label from 0, or int64 [labels], all different.
        labels: numbering of the labels and of the network's outputs.
    """
    outputs = tf.reshape(class_of(label, labels), [-1])
    return tf.reduce_sum(tf.one_hot(outputs, labels.num_classes), 0)


def _true(label: tf.Tensor, labels: Labels) -> tf.Tensor:
    """Returns a label as evaluation takes it, see `eval_batches`."""
    if labels.multi_label:
        return _probabilities(label, labels)
    return tf.cast(class_of(label, labels), tf.int32)


def _padding(labels: Labels) -> tf.Tensor:
    if labels.multi_label:
        return tf.zeros([labels.num_classes])
    return tf.zeros([], tf.int32)


def class_of(label: tf.Tensor, labels: Labels) -> tf.Tensor:
    """Returns the network's outputs for labels from 0, after checking their range."""
    message = f"a record's label is none of num_classes={labels.num_classes}"
    if labels.label_offset:
        message += f" - label_offset={labels.label_offset}"
    count = tf.constant(labels.num_classes - labels.label_offset, tf.int64)
    with tf.control_dependencies(
        [
            tf.debugging.assert_non_negative(label, message),
            tf.debugging.assert_less(label, count, message),
        ]
    ):
        return label + labels.label_offset


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # A fused shuffle and repeat reads on into the next round: it would read every file
    # of a data set that fits into the buffer twice an epoch.
    options.experimental_optimization.shuffle_and_repeat_fusion = False
    # Files are divided among hosts above; tf.distribute must not divide again.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    return options
