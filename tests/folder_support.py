"""Folders of small images by class."""

import collections
import io
import pathlib

import numpy as np
import pipelines
from PIL import Image

from efficientnet_tf.data import batches, folder, image_files, tfrecord
from efficientnet_tf.data.preparation import Preparation

WHOLE = Preparation(8, 1.0, "bicubic")  # images of 8x8 pixels are seen whole


CLASSES = ("ant", "bee", "cat")


TRAIN, VALIDATION = (10, 20, 13), (3, 5, 4)  # images of each class


WANTED = folder.TRAINING_LAYOUT


def encode(number: int, kind: str = "JPEG") -> bytes:
    """A small image that no other number gives."""
    pixels = np.random.default_rng(number).integers(0, 256, (12, 10, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def fill(split_dir: pathlib.Path, counts, *, first=0) -> None:
    """As many images of each class as `counts` says, in two formats."""
    number = first
    for name, count in zip(CLASSES, counts, strict=True):
        (split_dir / name).mkdir(parents=True)
        for _ in range(count):
            kind, suffix = [("JPEG", "jpg"), ("PNG", "PNG")][number % 2]
            path = split_dir / name / f"{number:03d}.{suffix}"
            path.write_bytes(encode(number, kind))
            number += 1


def open_splits(data_dir, **kwargs) -> tfrecord.Splits:
    minival_images = kwargs.pop("minival_images", 0)
    found = folder.read(str(data_dir), **({"num_classes": 3} | kwargs))
    return image_files.splits(found, minival_images=minival_images)


def check_first_images(split) -> None:
    image_files.check_first_images(list(zip(split.files, split.labels, strict=True)))


def class_counts(split) -> list[int]:
    of_class = collections.Counter(path.split("/")[-2] for path in split.files)
    return [of_class[name] for name in split.classes]


def evaluate(split, *, batch_size=5, extra=1, **kwargs) -> dict[str, np.ndarray]:
    dataset = batches.eval_batches(
        split,
        WHOLE,
        **{"labels": pipelines.labels(3)} | kwargs,
        batch_size=batch_size,
    )
    count = -(-split.images // batch_size) + extra
    drawn = list(dataset.take(count).as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in drawn]) for name in drawn[0]}
