"""Where training crops lie, read off the pixels of a picture of coordinates."""

import numpy as np
import pytest
import tensorflow as tf
from image_support import encode
from slow_cases import slow

from efficientnet_tf.data import preparation

HEIGHT, WIDTH = 200, 250


def _windows(
    crop_area_min=0.08, *, flip=False, height=HEIGHT, width=WIDTH, size=50, seeds=200
) -> np.ndarray:
    """Crops of many seeds as [y, x, height, width, flipped], read off the pixels.

    Red grows with x and green with y, so a crop's corner and slopes tell where it was.
    """
    scale = 255 // max(height, width)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = scale * np.arange(width)
    pixels[..., 1] = scale * np.arange(height)[:, np.newaxis]

    def distort(encoded, number):
        return preparation.decode_and_distort(
            encoded,
            preparation.Preparation(size, 0.9, "bicubic"),  # 0.81 of the area
            seed=tf.stack([number, 7]),
            crop_area_min=crop_area_min,
            flip=flip,
        )

    encoded = tf.data.Dataset.from_tensors(encode(pixels)).repeat(seeds)
    numbered = tf.data.Dataset.zip(encoded, tf.data.Dataset.range(seeds))
    images = next(numbered.map(distort).batch(seeds).as_numpy_iterator()).astype(float)
    flipped = images[:, 0, 0, 0] > images[:, 0, -1, 0]
    images[flipped] = images[flipped, :, ::-1]
    columns, rows = images[:, 0, :, 0] / scale, images[:, :, 0, 1] / scale
    # Pixel i of the result shows pixel start + i * length / size of the image; the last
    # few lean on the crop's edge.
    last = size - 5
    x_length = (columns[:, last] - columns[:, 0]) * size / last
    y_length = (rows[:, last] - rows[:, 0]) * size / last
    return np.stack([rows[:, 0], columns[:, 0], y_length, x_length, flipped], 1)


@pytest.mark.parametrize("crop_area_min", [0.08, *slow(0.3, 0.7)])
def test_training_crops_keep_to_the_bounds(crop_area_min):
    y, x, height, width, _ = _windows(crop_area_min, flip=True).T
    area, ratio = height * width / (HEIGHT * WIDTH), width / height
    # Crops have whole pixels and are measured to about one.
    assert crop_area_min - 0.01 < area.min() < crop_area_min + 0.05
    assert 0.85 < area.max() <= 1
    assert ratio.min() > 3 / 4 - 0.04
    assert ratio.max() < 4 / 3 + 0.05
    assert (y + height).max() < HEIGHT + 1
    assert (x + width).max() < WIDTH + 1


def test_training_crops_take_every_aspect_ratio():
    _, _, height, width, _ = _windows().T
    low, *quarters, high = np.quantile(width / height, [0, 0.25, 0.5, 0.75, 1])
    assert quarters == pytest.approx([0.89, 1.04, 1.19], abs=0.06)
    assert (low, high) == pytest.approx((0.75, 1.33), abs=0.04)


def test_training_crops_of_small_images_keep_to_the_bounds():
    # Of 32x32 pixels many a crop is the whole image, and the evaluation crop serves.
    _, _, height, width, _ = _windows(0.7, height=32, width=32, size=32, seeds=1000).T
    assert (height * width / 32**2).min() > 0.7 - 0.05


def test_training_crops_lie_everywhere():
    y, x, height, width, _ = _windows().T
    small = height * width < 0.4 * HEIGHT * WIDTH
    for start, length, whole in ((y, height, HEIGHT), (x, width, WIDTH)):
        place = (start / (whole - length))[small]
        assert place.min() < 0.1
        assert place.max() > 0.9
        assert place.mean() == pytest.approx(0.5, abs=0.1)


def test_half_of_the_training_images_are_mirrored():
    assert 0.4 < _windows(flip=True)[:, 4].mean() < 0.6


def test_without_flip_none_is_mirrored_and_crops_stay_the_same():
    plain, mirrored = _windows(flip=False), _windows(flip=True)
    assert not plain[:, 4].any()
    unchanged = mirrored[:, 4] == 0
    np.testing.assert_array_equal(plain[unchanged], mirrored[unchanged])
