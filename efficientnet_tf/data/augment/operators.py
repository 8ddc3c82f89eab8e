"""Changes of pixels: integer arithmetic, tables and sums of float32, which are exact.

Images are uint8 [images, size, size, 3] throughout. Shapes are static, so XLA compiles
each function for any device. Three and more numbers are added as differences with
negative ones, because TensorFlow's graph optimizer reorders sums.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.augment import tables

Factors = Sequence[tf.Tensor]  # mantissas and scales of `tables.parts`, each [images]


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
    # Compared rather than added to: exact + 0.5 would be rounded.
    below = tf.floor(exact)
    nearest = tf.cast(below, tf.int32) + tf.cast(exact >= below + 0.5, tf.int32)
    inside = tf.reduce_all((exact > -0.5) & (exact < size - 0.5), 1)
    column, row = tf.unstack(nearest, axis=1)
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


def colour(images: tf.Tensor, factors: Factors) -> tf.Tensor:
    """Blends images with their grey.

    Args:
        images: uint8 [images, size, size, 3].
        factors: a factor for each image.
    """
    grey = tf.zeros([], tf.float32)
    for channel, products in enumerate(tables.grey_products()):
        grey -= tf.gather(-products, tf.cast(images[..., channel], tf.int32))
    grey = tf.cast(grey * 255.5, tf.int32)
    return tf.stack([blend(grey, c, factors) for c in tf.unstack(images, axis=-1)], -1)


def thirteenths(rows: tf.Tensor) -> list[tf.Tensor]:
    """Returns what pixels add to their neighbours' means and to their own, negative.

    Args:
        rows: uint8 [images, size, size * 3], images with the channels in turn.

    Returns:
        Two float32 tensors of the same shape: levels times -1/13 and -5/13.
    """
    levels = tf.cast(rows, tf.uint32)
    return [-_product(levels, *tables.parts(weight)) for weight in tables.SMOOTHING]


def smooth(rows: tf.Tensor, outer: tf.Tensor, middle: tf.Tensor) -> tf.Tensor:
    """Smooths images but for their border, adding in the original's order.

    Args:
        rows: uint8 [images, size, size * 3], images with the channels in turn.
        outer: float32 of this shape, the first result of `thirteenths`.
        middle: float32 of this shape, its second result.
    """
    height, width = rows.shape[1] - 2, rows.shape[2] - 6
    total = tf.zeros([], tf.float32)
    for y in range(3):
        for x in range(3):
            source = middle if (y, x) == (1, 1) else outer
            total -= source[:, y : y + height, 3 * x : 3 * x + width]
    inner = tf.cast(tf.minimum(total, 255.0), tf.uint8)
    inside = np.zeros(rows.shape[1:], bool)
    inside[1:-1, 3:-3] = True
    return tf.where(inside, tf.pad(inner, [[0, 0], [1, 1], [3, 3]]), rows)


def blend(degenerate: tf.Tensor, levels: tf.Tensor, factors: Factors) -> tf.Tensor:
    """Returns degenerate + factor * (levels - degenerate), cut off to uint8.

    Args:
        degenerate: integer [images, ...], levels.
        levels: integer of the same shape, levels.
        factors: a factor for each image.
    """
    degenerate = tf.cast(degenerate, tf.int32)
    difference = tf.cast(levels, tf.int32) - degenerate
    shape = [-1] + [1] * (difference.shape.rank - 1)
    factors = [tf.reshape(part, shape) for part in factors]
    scaled = _product(tf.cast(tf.abs(difference), tf.uint32), *factors)
    blended = tf.cast(degenerate, tf.float32) - tf.where(
        difference < 0, scaled, -scaled
    )
    return tf.cast(tf.clip_by_value(blended, 0.0, 255.0), tf.uint8)


def _product(levels: tf.Tensor, mantissa: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Returns levels times a factor, rounded to float32 whatever adds to it later.

    The integer product is exact and its cast rounds; the scale, a power of two, does
    not. A product of floats would not be rounded where a compiler fuses it with a sum.

    Args:
        levels: uint32 from 0 to 255.
        mantissa: uint32 below 2**24; with the scale, the factor's parts.
        scale: float32, a power of two.
    """
    return tf.cast(levels * mantissa, tf.float32) * scale


def fill_box(images: tf.Tensor, colours: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """Fills a box with a colour.

    Args:
        images: uint8 [images, size, size, 3].
        colours: uint8 [images, 3].
        boxes: int32 [images, 4], top, left, bottom and right.
    """
    inside = inside_boxes(boxes, images.shape[1])[..., tf.newaxis]
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
