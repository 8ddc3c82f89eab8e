"""Changes of pixels: integer arithmetic, tables and sums of float32, which are exact.

Images are uint8 [images, size, size, 3] throughout. Shapes are static, so XLA compiles
each function for any device. Three and more numbers are added as differences with
negative ones, because TensorFlow's graph optimizer reorders sums.
"""

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.augment import tables
from efficientnet_tf.data.augment.plan import Plan

# Half of a pixel, less what float32 would round up: floor(0.49999997 + this) is 0.
_HALF = np.float32(0.49999997)


def look_up(images: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Replaces each level by its entry in a table.

    Args:
        images: uint8 [images, size, size, 3].
        levels: uint8 [images, 3, 256], a table for each channel.
    """
    starts = 256 * _numbers(images)
    # Channel by channel: XLA on a CPU then takes a fifth of the time.
    channels = [
        tf.gather(
            tf.reshape(levels[:, channel], [-1]),
            tf.cast(images[..., channel], tf.int32) + starts,
        )
        for channel in range(3)
    ]
    return tf.stack(channels, -1)


def sources(places: tf.Tensor) -> tf.Tensor:
    """Returns the pixel that each pixel comes from, the nearest one.

    Halves are rounded away from zero before a place counts as inside or outside, as in
    image_ops.h of tensorflow/contrib/image.

    Args:
        places: float32 [images, 2, 3, size], tables of `tables.axes`.

    Returns:
        int32 [images, size * size], numbers of pixels, row by row; -1 where the source
        is outside.
    """
    count, _, _, size = places.shape
    by_column, by_row, minus = tf.unstack(places, axis=2)
    exact = by_column[:, :, tf.newaxis] + by_row[..., tf.newaxis]
    exact -= minus[..., tf.newaxis]
    column, row = tf.unstack(tf.cast(tf.floor(exact + _HALF), tf.int32), axis=1)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    return tf.reshape(tf.where(inside, row * size + column, -1), [count, size * size])


def fetch(
    images: tf.Tensor, pixels: tf.Tensor, fill: tuple[int, int, int]
) -> tf.Tensor:
    """Puts images together from their pixels.

    Args:
        images: uint8 [images, size, size, 3].
        pixels: int32 [images, size * size] of `sources`.
        fill: three levels, the colour where a pixel's number is -1.
    """
    count, pixels_each = pixels.shape
    starts = pixels_each * tf.range(count)[:, tf.newaxis]
    found = tf.gather(tf.reshape(images, [-1, 3]), tf.maximum(pixels, 0) + starts)
    outside = (pixels < 0)[..., tf.newaxis]
    colour = tf.constant(fill, tf.uint8)
    return tf.reshape(tf.where(outside, colour, found), images.shape)


def colour(images: tf.Tensor, rows: tf.Tensor, plan: Plan) -> tf.Tensor:
    """Blends images with their grey.

    Args:
        images: uint8 [images, size, size, 3].
        rows: int32 [images], rows of `plan.blends`.
        plan: the run's actions.
    """
    grey = tf.zeros([], tf.float32)
    for channel, products in enumerate(tables.grey_products()):
        grey -= tf.gather(-products, tf.cast(images[..., channel], tf.int32))
    grey = tf.cast(grey * 255.5, tf.int32)
    return _blend(images, [grey] * 3, rows, plan)


def sharpen(images: tf.Tensor, rows: tf.Tensor, plan: Plan) -> tf.Tensor:
    """Blends images with smooth ones; pixels at the border stay as they are.

    Args:
        images: uint8 [images, size, size, 3].
        rows: int32 [images], rows of `plan.blends`.
        plan: the run's actions.
    """
    smooth = [_smooth(channel) for channel in tf.unstack(images, axis=-1)]
    return _blend(images, smooth, rows, plan)


def _smooth(channel: tf.Tensor) -> tf.Tensor:
    """Smooths a channel, uint8 [images, size, size]; adds in the original's order."""
    outer, middle = (
        tf.gather(-products, tf.cast(channel, tf.int32))
        for products in tables.smooth_products()
    )
    height, width = (side - 2 for side in channel.shape[1:])
    total = tf.zeros([], tf.float32)
    for y in range(3):
        for x in range(3):
            source = middle if (y, x) == (1, 1) else outer
            total -= source[:, y : y + height, x : x + width]
    inner = tf.cast(tf.minimum(total, 255.0), tf.int32)
    border = np.ones(channel.shape[1:], bool)
    border[1:-1, 1:-1] = False
    padded = tf.pad(inner, [[0, 0], [1, 1], [1, 1]])
    return tf.where(border, tf.cast(channel, tf.int32), padded)


def _blend(
    images: tf.Tensor, degenerate: list[tf.Tensor], rows: tf.Tensor, plan: Plan
) -> tf.Tensor:
    """Looks up the blend of each level with a degenerate one.

    Args:
        images: uint8 [images, size, size, 3].
        degenerate: for each channel int32 [images, size, size], levels.
        rows: int32 [images], rows of `plan.blends`.
        plan: the run's actions.
    """
    blends = plan.blends.reshape(-1)
    starts = (256 * 256 * rows)[:, tf.newaxis, tf.newaxis]
    channels = [
        tf.gather(
            blends, starts + 256 * levels + tf.cast(images[..., channel], tf.int32)
        )
        for channel, levels in enumerate(degenerate)
    ]
    return tf.stack(channels, -1)


def fill_box(
    images: tf.Tensor, rows: tf.Tensor, boxes: tf.Tensor, plan: Plan
) -> tf.Tensor:
    """Fills a box with a colour.

    Args:
        images: uint8 [images, size, size, 3].
        rows: int32 [images], rows of `plan.colours`.
        boxes: int32 [images, 4], top, left, bottom and right.
        plan: the run's actions.
    """
    inside = inside_boxes(boxes, plan.size)[..., tf.newaxis]
    colours = tf.gather(plan.colours, rows)
    return tf.where(inside, colours[:, tf.newaxis, tf.newaxis], images)


def inside_boxes(boxes: tf.Tensor, size: int) -> tf.Tensor:
    """Returns which pixels lie in the boxes, bool [images, size, size].

    Args:
        boxes: int32 [images, 4], top, left, bottom and right.
        size: int, height and width of the images in pixels.
    """
    top, left, bottom, right = tf.unstack(boxes[:, tf.newaxis], axis=-1)
    places = tf.range(size)
    rows = (places >= top) & (places < bottom)
    columns = (places >= left) & (places < right)
    return rows[:, :, tf.newaxis] & columns[:, tf.newaxis]


def _numbers(images: tf.Tensor) -> tf.Tensor:
    """Returns the images' numbers from 0, int32 [images, 1, 1]."""
    return tf.range(images.shape[0])[:, tf.newaxis, tf.newaxis]
