"""tf.data pipelines: files to batches of static shape.

A training pipeline is a pure function of (seed, position): the order of each epoch and
every random draw of each image derive from the seed and the image's running number. So
a restarted run continues anywhere without iterator checkpoints.
"""

import dataclasses
import os
from collections.abc import Iterable

import tensorflow as tf

from efficientnet_tf.data import augment, preprocess, tfrecord

_ENDLESS = tf.data.experimental.INFINITE_CARDINALITY


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which part of the data one host reads."""

    index: int = 0
    count: int = 1


@dataclasses.dataclass(frozen=True)
class TrainTransform:
    """How a record becomes a training example; see `Config` for the fields."""

    image_size: int
    num_classes: int
    label_offset: int = 0
    resize: str = "bicubic"
    crop_area_min: float = 0.08
    eval_fraction: float = 0.875
    flip: bool = True
    augment: str = "none"
    randaugment_num_layers: int = 2
    randaugment_magnitude: float = 10
    mixup_alpha: float = 0.0


def train_batches(
    split: tfrecord.Split,
    transform: TrainTransform,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    shuffle_buffer: int = 16384,
    shard: Shard = Shard(),
) -> tf.data.Dataset:
    """An endless stream of shuffled, augmented batches.

    Args:
        split: the files to read; every image once an epoch.
        transform: what happens to each record.
        batch_size: images a batch.
        seed: with `start`, decides every bit of what follows.
        start: images this host has already consumed.
        shuffle_buffer: records shuffled at a time.
        shard: this host's share of the files.

    Returns:
        A dataset of (uint8 [batch, size, size, 3], float32 [batch, classes]).

    Raises:
        ValueError: if there are fewer files than hosts.
    """
    files = _shard_files(split, shard)
    records = _shuffled_records(
        split,
        _paths(files),
        images=split.images // shard.count,
        seed=seed,
        start=start,
        shuffle_buffer=shuffle_buffer,
    )

    def example(number, record):
        # Numbers are unique over hosts and epochs, and so are seeds.
        unique = number * shard.count + shard.index
        image_seed = tf.stack([tf.cast(seed, tf.int64), unique])
        image, label = _train_example(*split.example(record), transform, image_seed)
        return image, label, image_seed

    batches = (
        records.map(example, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size, drop_remainder=True)
        .map(_mixer(transform.mixup_alpha), num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
        # Else several hosts ask each other before each step whether all have data left,
        # and the batch's shape is not static.
        .apply(tf.data.experimental.assert_cardinality(_ENDLESS))
    )
    return batches.with_options(_options())


def eval_batches(
    split: tfrecord.Split,
    *,
    image_size: int,
    num_classes: int,
    crop_fraction: float,
    batch_size: int,
    resize: str = "bicubic",
    label_offset: int = 0,
    shard: Shard = Shard(),
) -> tf.data.Dataset:
    """Every image once, then batches whose mask is zero, without end.

    The padding gives static shapes and lets hosts with fewer images keep step with the
    others, or with no file of their own; whoever reads stops when no host's mask has a
    one left.

    Returns:
        A dataset of {"image": uint8 [batch, size, size, 3], "label": int32 [batch]
        from 0, "mask": float32 [batch]}.
    """
    files = split.files[shard.index :: shard.count]

    def example(record):
        encoded, label = split.example(record)
        image = preprocess.decode_and_center_crop(
            encoded, image_size=image_size, fraction=crop_fraction, resize=resize
        )
        label = tf.cast(_class_of(label, num_classes, label_offset), tf.int32)
        return {"image": image, "label": label, "mask": tf.constant(1.0)}

    padding = {
        "image": tf.zeros([image_size, image_size, 3], tf.uint8),
        "label": tf.zeros([], tf.int32),
        "mask": tf.zeros([]),
    }
    batches = (
        split.records(tf.data.Dataset.from_tensor_slices(_paths(files)))
        .map(example, num_parallel_calls=tf.data.AUTOTUNE)
        .concatenate(tf.data.Dataset.from_tensors(padding).repeat())
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )
    return batches.with_options(_options())


def _shard_files(split: tfrecord.Split, shard: Shard) -> tuple[str, ...]:
    if len(split.files) < shard.count:
        raise ValueError(
            f"split {split.name} has {len(split.files)} files for {shard.count} hosts; "
            "each host needs at least one: write more shards"
        )
    return split.files[shard.index :: shard.count]


def _paths(files: Iterable[str]) -> tf.Tensor:
    """String [files]; the names are any bytes, as the system holds them."""
    return tf.constant([os.fsencode(file) for file in files], tf.string)


def _shuffled_records(split, paths, *, images, seed, start, shuffle_buffer):
    """(running number, record), from the number `start` on.

    An epoch is `images` records in an order of its own. Skipping to the middle of one
    may read records but decodes none.
    """
    first_epoch, offset = divmod(start, images)

    def epoch(number):
        # Of this function's graph only: else the program's own global seed, where it
        # has set one, would join the two below.
        tf.random.set_seed(1)
        seeds = tf.random.stateless_uniform(
            [2], [seed, number], minval=None, maxval=None, dtype=tf.int64
        )
        ordered = tf.data.Dataset.from_tensor_slices(paths).shuffle(
            paths.shape[0], seed=seeds[0], reshuffle_each_iteration=False
        )
        records = split.records(ordered).shuffle(
            min(shuffle_buffer, images), seed=seeds[1], reshuffle_each_iteration=False
        )
        # A host with fewer than its share of images starts over, one with more stops.
        return records.repeat().take(images)

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    return epochs.flat_map(epoch).skip(offset).enumerate(start)


def _train_example(encoded, label, transform: TrainTransform, seed):
    """uint8 [size, size, 3] and a one-hot float32 [classes]."""
    crop_seed, augment_seed = tf.unstack(tf.random.split(seed, 2))
    image = preprocess.decode_and_distort(
        encoded,
        image_size=transform.image_size,
        seed=crop_seed,
        crop_area_min=transform.crop_area_min,
        eval_fraction=transform.eval_fraction,
        flip=transform.flip,
        resize=transform.resize,
    )
    if transform.augment == "autoaugment":
        image = augment.autoaugment(image, augment_seed)
    elif transform.augment == "randaugment":
        image = augment.randaugment(
            image,
            augment_seed,
            num_layers=transform.randaugment_num_layers,
            magnitude=transform.randaugment_magnitude,
        )
    image = tf.ensure_shape(image, [transform.image_size, transform.image_size, 3])
    label = _class_of(label, transform.num_classes, transform.label_offset)
    return image, tf.one_hot(label, transform.num_classes)


def _class_of(label, num_classes, label_offset):
    """The class of a label, which counts from 1, once it is known to have one."""
    labels = num_classes - label_offset
    message = f"a record's label is not within 1 ... num_classes={num_classes}"
    if label_offset:
        message += f" - label_offset={label_offset}"
    with tf.control_dependencies(
        [
            tf.debugging.assert_positive(label, message),
            tf.debugging.assert_less_equal(
                label, tf.constant(labels, tf.int64), message
            ),
        ]
    ):
        return label - 1 + label_offset


def _mixer(alpha: float):
    """A function of (images, labels, seeds) that drops the seeds, and mixes."""

    def mix(images, labels, seeds):
        if alpha == 0:
            return images, labels
        return augment.mixup(images, labels, alpha=alpha, seed=seeds[0])

    return mix


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # Fused, a shuffle before a repeat reads on into the next round: of a data set no
    # larger than its buffer, every file twice an epoch.
    options.experimental_optimization.shuffle_and_repeat_fusion = False
    # Files are divided among hosts above; tf.distribute must not divide again.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    return options
