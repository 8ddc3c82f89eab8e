"""Evaluation's pixels against the original's formulas in NumPy, for its eight sizes.

Source of the resizing: resize_bicubic_op.cc of TensorFlow 1, which the original calls
without half-pixel centres: Keys' cubic with a = -0.75, its place rounded to 1/1024.
"""

import glob
import io
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from image_support import encode, photo
from PIL import Image

from efficientnet_tf.data import preparation

DATA = os.environ.get(
    "EFFICIENTNET_TF_TEST_DATA",
    pathlib.Path(__file__).parents[3] / "shared" / "data",
)
SIZES = (224, 240, 260, 300, 380, 456, 528, 600)
RULES = ("padded", "fixed")


def _weights(place: np.ndarray) -> np.ndarray:
    """Weights of the four pixels around places, [places, 4]."""
    distance = np.float64(np.rint(place * 1024)) / 1024
    a = -0.75

    def near(x):
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x):
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    other = 1 - distance
    return np.stack([far(1 + distance), near(distance), near(other), far(1 + other)], 1)


def _resized(pixels: np.ndarray, size: int, axis: int) -> np.ndarray:
    length = pixels.shape[axis]
    exact = np.arange(size, dtype=np.float32) * (np.float32(length) / np.float32(size))
    first = np.floor(exact)
    weights = _weights(exact - first)
    around = first.astype(int)[:, np.newaxis] + np.arange(-1, 3)
    taken = np.take(pixels, np.clip(around, 0, length - 1), axis)
    shape = [1] * taken.ndim
    shape[axis : axis + 2] = weights.shape
    return (taken * weights.reshape(shape)).sum(axis + 1)


def _expected(pixels: np.ndarray, size: int, rule: str) -> np.ndarray:
    height, width = pixels.shape[:2]
    padding = 32 if rule == "padded" else round(size * (1 / 0.875 - 1))
    side = int(np.float32(size / (size + padding)) * np.float32(min(height, width)))
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    crop = pixels[top : top + side, left : left + side].astype(np.float64)
    resized = _resized(_resized(crop, size, 0), size, 1)
    return np.clip(np.rint(resized), 0, 255).astype(int)


def _assert_same(encoded: bytes, size: int, rule: str):
    """Compares the pixels of a file without loss: decoders of JPEG differ a little."""
    fraction = preparation.crop_fraction(size, rule)
    prepared = preparation.Preparation(size, fraction, "bicubic")
    pixels = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
    found = prepared.decode(tf.constant(encoded)).numpy().astype(int)
    difference = np.abs(found - _expected(pixels, size, rule))
    assert difference.max() <= 1
    assert difference.mean() < 0.01  # sums of float32 that end at a half


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", SIZES)
def test_an_image_is_cropped_and_resized_by_the_formulas(size, rule):
    for height, width in ((375, 500), (331, 240)):
        _assert_same(encode(photo(height, width, seed=size)), size, rule)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", SIZES)
def test_fifty_photos_are_cropped_and_resized_by_the_formulas(size, rule):
    paths = sorted(glob.glob(f"{DATA}/flowers_full/**/*.jpg", recursive=True))[::5]
    if not paths:
        pytest.skip(f"no flowers_full in {DATA}; set EFFICIENTNET_TF_TEST_DATA")
    assert len(paths) == 50
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        _assert_same(encode(pixels), size, rule)
