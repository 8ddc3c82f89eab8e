"""Tables of levels that depend on the image: Equalize, AutoContrast, Contrast.

A table is uint8 [images, 3, 256], for each channel. Tables that follow each other are
composed into one, and change the image once.
"""

from collections.abc import Callable

import tensorflow as tf

from efficientnet_tf.data.augment import operators, tables

# From int32 [numbers], all below a size, to how often each occurs, int32 [size].
Count = Callable[[tf.Tensor, int], tf.Tensor]
# Pillow's weights of red, green and blue in grey, in 65536ths (mode "L").
_GREY = (19595, 38470, 7471)


def identity(count: int) -> tf.Tensor:
    """Returns tables that change nothing, uint8 [count, 3, 256]."""
    return tf.tile(
        tf.constant(tables.identity())[tf.newaxis, tf.newaxis], [count, 3, 1]
    )


def compose(first: tf.Tensor, then: tf.Tensor) -> tf.Tensor:
    """Returns the tables that do what two do one after the other.

    Args:
        first: uint8 [images, 3, 256].
        then: uint8 [images, 3, 256].
    """
    starts = 256 * tf.reshape(tf.range(3 * first.shape[0]), [-1, 3, 1])
    return tf.gather(tf.reshape(then, [-1]), tf.cast(first, tf.int32) + starts)


def equalize(levels: tf.Tensor, images: tf.Tensor, count: Count) -> tf.Tensor:
    """Appends Pillow's Equalize, in the original's integer arithmetic.

    Args:
        levels: uint8 [images, 3, 256], the tables so far.
        images: uint8 [images, size, size, 3], which the tables have not changed yet.
        count: function that counts numbers.
    """
    counts = _histogram(images, levels, count)
    below = tf.cumsum(counts, axis=-1)
    total = images.shape[1] * images.shape[2]
    # All pixels but those of the highest level.
    lower = tf.reduce_max(tf.where(below < total, below, 0), -1, keepdims=True)
    step = lower // 255
    shifted = (below + step // 2) // tf.maximum(step, 1)
    shifted = tf.pad(shifted[..., :-1], [[0, 0], [0, 0], [1, 0]])
    table = tf.where(step == 0, tables.LEVELS.astype("int32"), shifted)
    return compose(levels, tf.cast(tf.minimum(table, 255), tf.uint8))


def autocontrast(levels: tf.Tensor, images: tf.Tensor, count: Count) -> tf.Tensor:
    """Appends AutoContrast: the lowest level becomes 0, the highest 255.

    Args:
        levels: uint8 [images, 3, 256], the tables so far.
        images: uint8 [images, size, size, 3], which the tables have not changed yet.
        count: function that counts numbers.
    """
    present = tf.cast(_histogram(images, levels, count) > 0, tf.int32)
    low = tf.argmax(present, -1, tf.int32)
    high = 255 - tf.argmax(present[..., ::-1], -1, tf.int32)
    products = tables.contrast_products()
    scaled = tf.gather(products, high - low)
    offset = tf.gather(products.reshape(-1), 256 * (high - low) + low)
    table = tf.clip_by_value(scaled - offset[..., tf.newaxis], 0.0, 255.0)
    table = tf.where(
        (high > low)[..., tf.newaxis], tf.cast(table, tf.uint8), tables.identity()
    )
    return compose(levels, table)


def contrast(images: tf.Tensor, factors: operators.Factors) -> tf.Tensor:
    """Returns the tables of Pillow's Contrast, a blend with the image's mean grey.

    Args:
        images: uint8 [images, size, size, 3], whose tables are applied.
        factors: a factor for each image.
    """
    channels = [tf.cast(images[..., channel], tf.int32) for channel in range(3)]
    weighted = [w * channel for w, channel in zip(_GREY, channels, strict=True)]
    grey = tf.bitwise.right_shift(tf.add_n(weighted) + 32768, 16)
    pixels = images.shape[1] * images.shape[2]
    mean = (2 * tf.reduce_sum(grey, [1, 2]) + pixels) // (2 * pixels)
    every = tf.tile(tf.constant(tables.identity())[tf.newaxis], [images.shape[0], 1])
    mean = tf.tile(mean[:, tf.newaxis], [1, 256])
    table = operators.blend(mean, every, factors)
    return tf.tile(table[:, tf.newaxis], [1, 3, 1])


def _histogram(images: tf.Tensor, levels: tf.Tensor, count: Count) -> tf.Tensor:
    """Counts the levels of images as tables change them, int32 [images, 3, 256]."""
    number, height, width, _ = images.shape
    first = tf.reshape(256 * tf.range(3 * number), [number, 1, 3])
    # A row of the image has the three channels in turn; wide rows add fast on a CPU.
    starts = tf.tile(first, [1, 1, width])
    rows = tf.reshape(images, [number, height, width * 3])
    index = tf.reshape(tf.cast(rows, tf.int32) + starts, [-1])
    counts = count(index, 3 * 256 * number)
    changed = tf.cast(levels, tf.int32) + tf.reshape(first, [number, 3, 1])
    counts = tf.math.unsorted_segment_sum(
        counts, tf.reshape(changed, [-1]), 3 * 256 * number
    )
    return tf.reshape(counts, [number, 3, 256])
