"""scikit-learn's 1,797 handwritten digits as ImageNet-schema JPEG TFRecords.

Real data that needs no download (UCI Optical Recognition of Handwritten Digits, 8x8
pixels), so that the default run goes through the very pipeline ImageNet does.
"""

import io
import os

import numpy as np
import tensorflow as tf

from efficientnet_tf.data import tfrecord

VALIDATION_IMAGES = 360
_TRAIN_SHARDS = 16
_VALIDATION_SHARDS = 2
_PIXELS = 32  # each side; 4 times the original, so that JPEG blurs no stroke
_DONE = "COMPLETE"


def default_dir() -> str:
    """The cache folder the records are written to once."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "efficientnet_tf", "digits-v1")


def prepare(data_dir: str) -> None:
    """Writes the records unless a complete copy is there."""
    done = f"{data_dir}/{_DONE}"
    if tf.io.gfile.exists(done):
        return
    from sklearn import datasets, model_selection  # 1 s to import, needed once

    images, labels = datasets.load_digits(return_X_y=True)
    split = model_selection.train_test_split(
        images, labels, test_size=VALIDATION_IMAGES, stratify=labels, random_state=0
    )
    train_images, validation_images, train_labels, validation_labels = split
    tfrecord.write_shards(
        data_dir,
        "train",
        _examples(train_images, train_labels),
        shards=_TRAIN_SHARDS,
    )
    tfrecord.write_shards(
        data_dir,
        "validation",
        _examples(validation_images, validation_labels),
        shards=_VALIDATION_SHARDS,
    )
    with tf.io.gfile.GFile(done, "w") as file:
        file.write("written after every shard\n")


def _examples(images, labels):
    for image, label in zip(images, labels, strict=True):
        yield encode_jpeg(image.reshape(8, 8)), int(label) + 1


def encode_jpeg(digit: np.ndarray) -> bytes:
    """An 8x8 array of 0 to 16 as a 32x32 grey JPEG."""
    from PIL import Image

    pixels = np.rint(digit * (255 / 16)).astype(np.uint8)
    image = Image.fromarray(pixels).resize((_PIXELS, _PIXELS), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()
