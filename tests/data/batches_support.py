"""Numbered records and their batches."""

import numpy as np
import pipelines
import tensorflow as tf

from efficientnet_tf.data import batches, preparation, tfrecord

RECORDS, SHARDS = 103, 7


def prepare(
    image_size: int, crop_fraction: float, resize: str = "bicubic"
) -> preparation.Preparation:
    return preparation.Preparation(image_size, crop_fraction, resize)


SMALL = prepare(8, 0.5)


def train(
    split,
    count,
    *,
    batch_size=8,
    seed=0,
    shard=None,
    start=0,
    prepared=SMALL,
    **transform,
):
    """The first `count` batches as two arrays, of images and of labels from 1."""
    transform = {"num_classes": RECORDS} | transform
    dataset = batches.train_batches(
        split,
        pipelines.transform(prepared, **transform),
        batch_size=batch_size,
        seed=seed,
        start=start,
        shuffle_buffer=40,
        shard=shard or batches.Shard(),
    )
    drawn = list(dataset.take(count).as_numpy_iterator())
    images, labels = (np.stack([b[n] for b in drawn]) for n in ("image", "label"))
    assert images.dtype == np.uint8
    assert images.shape[1:] == (batch_size, *dataset.element_spec["image"].shape[1:])
    return images, labels


def encoded_images(split) -> list[bytes]:
    records = tf.data.TFRecordDataset(split.files)
    return [tfrecord.parse(record)[0].numpy() for record in records]


def evaluate(
    split,
    *,
    batch_size,
    extra=0,
    prepared=SMALL,
    num_classes=RECORDS,
    label_offset=0,
    shard=None,
) -> dict[str, np.ndarray]:
    """Every example up to the end of the last batch with one, and `extra` batches."""
    dataset = batches.eval_batches(
        split,
        prepared,
        labels=pipelines.labels(num_classes, label_offset),
        batch_size=batch_size,
        shard=shard or batches.Shard(),
    )
    drawn = list(
        dataset.take(-(-split.images // batch_size) + extra).as_numpy_iterator()
    )
    return {name: np.concatenate([batch[name] for batch in drawn]) for name in drawn[0]}
