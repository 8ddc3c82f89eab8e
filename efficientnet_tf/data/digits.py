"""scikit-learn's 1,797 handwritten digits as ImageNet-schema JPEG TFRecords.

The data is real and needs no download (UCI Optical Recognition of Handwritten Digits,
8x8 pixels), and the default run reads it through the same pipeline as ImageNet.
"""

import io
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from efficientnet_tf import files
from efficientnet_tf.data import tfrecord

VALIDATION_IMAGES = 360
_TRAIN_SHARDS = 16
_VALIDATION_SHARDS = 2
_PIXELS = 32  # each side; 4 times the original, so that JPEG blurs no stroke
_MARKER = "DIGITS"  # marks a folder of digits, and says whether it is complete
_COMPLETE = "complete\n"
_CACHE = "digits-v1"


def default_dir() -> str:
    """Returns the cache folder that the records are written to once."""
    return files.cache_dir(_CACHE)


def prepare(data_dir: str) -> None:
    """Writes the records unless a complete copy is there.

    Raises:
        ValueError: if the folder holds anything but the digits.
    """
    data_dir = data_dir.rstrip("/")
    marker = f"{data_dir}/{_MARKER}"
    if files.read_text(marker) == _COMPLETE:
        return
    is_ours = files.read_text(marker) is not None
    others = [] if is_ours else _entries(data_dir)
    if any(name.startswith(("train-", "validation-")) for name in others):
        raise ValueError(
            f"data_dir={data_dir} holds records that are not the digits; to train on "
            "them give --dataset=imagenet (any TFRecords in its schema)"
        )
    if others:
        raise ValueError(
            f"data_dir={data_dir} holds other files ({', '.join(others[:3])}); the "
            "digits are written to a folder of their own, or leave --data_dir out"
        )
    if data_dir == default_dir():
        files.check_cache(_CACHE)
    files.write_whole(marker, "being written\n")
    from sklearn import datasets, model_selection  # 1 s to import, needed once

    images, labels = datasets.load_digits(return_X_y=True)
    split = model_selection.train_test_split(
        images, labels, test_size=VALIDATION_IMAGES, stratify=labels, random_state=0
    )
    train_images, validation_images, train_labels, validation_labels = split
    tfrecord.write_shards(
        data_dir, "train", _examples(train_images, train_labels), shards=_TRAIN_SHARDS
    )
    tfrecord.write_shards(
        data_dir,
        "validation",
        _examples(validation_images, validation_labels),
        shards=_VALIDATION_SHARDS,
    )
    files.write_whole(marker, _COMPLETE)


def _entries(data_dir: str) -> list[str]:
    """Lists what a folder holds; nothing if it is not there."""
    if not tf.io.gfile.isdir(data_dir):
        return []
    return sorted(tf.io.gfile.listdir(data_dir))


def _examples(images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[bytes, int]]:
    for image, label in zip(images, labels, strict=True):
        yield encode_jpeg(image.reshape(8, 8)), int(label) + 1


def encode_jpeg(digit: np.ndarray) -> bytes:
    """Encodes an 8x8 array of values from 0 to 16 as a 32x32 grey JPEG."""
    from PIL import Image

    pixels = np.rint(digit * (255 / 16)).astype(np.uint8)
    image = Image.fromarray(pixels).resize((_PIXELS, _PIXELS), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()
