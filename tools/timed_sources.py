"""The same photos read from every kind of source, with and without a cache."""

import io
import itertools
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import timed_pipelines
from PIL import Image

from efficientnet_tf.data import (
    arrays,
    batches,
    image_files,
    preparation,
    sources,
    tfrecord,
)
from efficientnet_tf.data.cache import Cache
from efficientnet_tf.data.pixels import Pixels
from efficientnet_tf.data.settings import Labels

BATCH = 32
ROWS = {
    "read_records": "reading alone: TFRecords, tfds",
    "read_files": "reading alone: folder, CSV",
    "read_arrays": "reading alone: arrays",
    "records": "training batches from TFRecords, tfds",
    "records_encoded": "the same, --cache=encoded",
    "records_decoded": "the same, --cache=decoded",
    "files": "training batches from a folder, CSV",
    "files_encoded": "the same, --cache=encoded",
    "files_decoded": "the same, --cache=decoded",
    "halved": "training batches, JPEGs of halved colour",
    "halved_decoded": "the same, --cache=decoded",
    "arrays": "training batches from arrays (PNG)",
    "arrays_decoded": "the same, --cache=decoded",
}
_CACHES: dict[str, Callable[[], Cache | None]] = {
    "": lambda: None,
    "_encoded": Cache,
    "_decoded": lambda: Cache(Pixels(10**10)),
}


def drawing(
    encoded: list[bytes], *, image_size: int, folder: str
) -> dict[str, timed_pipelines.Draw]:
    """Returns functions that take the next image, for all of `ROWS`.

    Args:
        encoded: JPEGs.
        image_size: int, height and width of training images in pixels.
        folder: an empty folder to write the photos to.
    """
    splits = {
        "records": _records(encoded, f"{folder}/records"),
        "files": _files(encoded, f"{folder}/files"),
        "halved": _files([_halved(image) for image in encoded], f"{folder}/halved"),
        "arrays": _arrays(encoded),
    }
    found = {}
    for name in ROWS:
        kind, _, mode = name.partition("_")
        if kind == "read":
            found[name] = _ahead(_read(splits[mode]), each=BATCH)
            continue
        cache = _CACHES[name.removeprefix(kind)]()
        train = tfrecord.Splits(splits[kind], None, splits[kind])
        source = sources.Files(train, cache=cache)
        found[name] = _ahead(_train(source, image_size), each=BATCH)
        for _ in range(len(encoded) + 8 * BATCH if cache else 8):  # fills the cache
            found[name]()
    return found


def _ahead(dataset: tf.data.Dataset, *, each: int) -> timed_pipelines.Draw:
    images = itertools.chain.from_iterable(
        itertools.repeat(None, each) for _ in dataset
    )
    return lambda: next(images)


def _read(split: tfrecord.Split) -> tf.data.Dataset:
    entries = tf.constant([split.entry(file) for file in split.files])
    records = split.records(tf.data.Dataset.from_tensor_slices(entries)).repeat()
    return records.map(split.example, tf.data.AUTOTUNE).batch(BATCH)


def _train(source: sources.Files, image_size: int) -> tf.data.Dataset:
    transform = batches.TrainTransform(
        preparation.Preparation(image_size, 0.875, "bicubic"),
        timed_pipelines.augmentation("none"),
        Labels(num_classes=1),
    )
    return source.train(transform, batch_size=BATCH, seed=0, shuffle_buffer=4096)


def _records(encoded: list[bytes], folder: str) -> tfrecord.Split:
    os.makedirs(folder)
    examples = [(image, 1) for image in encoded]
    tfrecord.write_shards(folder, "train", examples, shards=8)
    files = sorted(f"{folder}/{name}" for name in os.listdir(folder))
    return tfrecord.Split("train", tuple(files), len(encoded))


def _files(encoded: list[bytes], folder: str) -> image_files.ImageFiles:
    os.makedirs(folder)
    paths = [f"{folder}/{number}.jpg" for number in range(len(encoded))]
    for path, image in zip(paths, encoded, strict=True):
        with open(path, "wb") as file:
            file.write(image)
    labels = ((0,),) * len(paths)
    return image_files.ImageFiles("train", tuple(paths), len(paths), ("a",), labels)


def _halved(encoded: bytes) -> bytes:
    """Encodes a photo anew with half of its colours in each direction, 4:2:0."""
    buffer = io.BytesIO()
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    image.save(buffer, "JPEG", quality=90, subsampling="4:2:0")
    return buffer.getvalue()


def _arrays(encoded: list[bytes]) -> tfrecord.Split:
    images = [np.asarray(Image.open(io.BytesIO(image))) for image in encoded]
    made = arrays.from_arrays(images, [0] * len(images), val_fraction=0)
    assert made.splits.train
    return made.splits.train
