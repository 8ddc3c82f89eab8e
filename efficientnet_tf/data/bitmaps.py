"""Decodes BMP files in TensorFlow's graph, palettes too.

TensorFlow's own decoder takes the numbers of a palette's colours for grey levels.
Source: "Bitmap Storage", learn.microsoft.com/windows/win32/gdi/bitmap-storage.
"""

from typing import NamedTuple

import tensorflow as tf

from efficientnet_tf.data import image_headers

_HEADER = 66  # bytes of the file's header, the shortest of the image's, and masks


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes an uncompressed BMP of 1, 4, 8, 24 or 32 bits a pixel.

    Args:
        encoded: string scalar.

    Returns:
        uint8 [height, width, 3], RGB; a fourth channel is left out.

    Raises:
        tf.errors.InvalidArgumentError: for another BMP or one that is cut short.
    """
    header = _header(encoded)
    rows, width, bits = tf.abs(header.height), header.width, header.bits
    lines = _lines(encoded, header.offset, rows, width * bits)
    palette = _palette(encoded, 14 + header.size, header.colours, bits)
    image = tf.cond(
        bits <= 8,
        lambda: tf.gather(palette, tf.cast(_numbers(lines, bits)[:, :width], tf.int32)),
        lambda: _colours(lines, width, bits // 8),
    )
    return tf.cond(header.height > 0, lambda: tf.reverse(image, [0]), lambda: image)


class _Header(NamedTuple):
    """Fields of the two headers, int64 scalars."""

    offset: tf.Tensor  # of the pixels, in bytes
    size: tf.Tensor  # of the second header, in bytes
    width: tf.Tensor
    height: tf.Tensor  # below 0: the first row is the uppermost
    bits: tf.Tensor  # of a pixel
    colours: tf.Tensor  # in the palette; 0: all that the bits tell apart


def _header(encoded: tf.Tensor) -> _Header:
    """Reads the headers, and asserts that what follows is decoded here."""
    start = _padded(encoded, 0, _HEADER)
    bits = tf.cast(tf.io.decode_raw(start, tf.uint16)[14], tf.int64)
    # Numbers of 4 bytes begin at byte 2.
    fields = tf.io.decode_raw(tf.strings.substr(start, 2, _HEADER - 2), tf.int32)
    fields = tf.cast(fields, tf.int64)
    offset, size, width, height = tf.unstack(fields[2:6], 4)
    header = _Header(offset, size, width, height, bits, colours=fields[11])
    compression = fields[7]
    is_plain = (compression == 0) & tf.reduce_any(bits == image_headers.BMP_BITS)
    in_order = tf.reduce_all(fields[13:16] == image_headers.BMP_MASKS)
    is_masked = (compression == 3) & (bits == 32) & in_order
    count = tf.abs(header.height) * header.width
    allowed = (header.size >= 40) & (is_plain | is_masked) & (header.width > 0)
    checks = [
        tf.debugging.Assert(allowed, ["a BMP of a kind that is not decoded"]),
        tf.debugging.Assert(
            (count > 0) & (count <= image_headers.MOST_PIXELS),
            [f"a BMP of no pixels or more than {image_headers.MOST_PIXELS:,}"],
        ),
    ]
    with tf.control_dependencies(checks):
        return _Header(*map(tf.identity, header))


def _lines(
    encoded: tf.Tensor, offset: tf.Tensor, rows: tf.Tensor, bits: tf.Tensor
) -> tf.Tensor:
    """Returns the bytes of each row, uint8 [rows, bytes]; a row fills whole words."""
    stride = (bits + 31) // 32 * 4
    length = tf.cast(tf.strings.length(encoded), tf.int64)
    is_whole = (offset >= 0) & (offset <= length - rows * stride)
    with tf.control_dependencies([tf.debugging.Assert(is_whole, ["a BMP cut short"])]):
        text = tf.strings.substr(encoded, offset, rows * stride)
    return tf.reshape(tf.io.decode_raw(text, tf.uint8), tf.stack([rows, stride]))


def _numbers(lines: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Returns the palette's number of each pixel, uint8 [rows, pixels]."""
    # The high bits of a byte come first.
    shifts = tf.cast(tf.range(8 - bits, -1, -bits), tf.uint8)
    parts = tf.bitwise.right_shift(lines[..., tf.newaxis], shifts)
    mask = tf.cast(_two_to(bits) - 1, tf.uint8)
    numbers = tf.bitwise.bitwise_and(parts, mask)
    return tf.reshape(numbers, tf.stack([tf.shape(lines)[0], -1]))


def _palette(
    encoded: tf.Tensor, start: tf.Tensor, colours: tf.Tensor, bits: tf.Tensor
) -> tf.Tensor:
    """Returns the palette's colours, uint8 [256, 3], black behind its end."""
    every = _two_to(tf.minimum(bits, 8))
    count = tf.where((colours > 0) & (colours < every), colours, every)
    text = _padded(_padded(encoded, start, 4 * count), 0, 4 * 256)
    return tf.reshape(tf.io.decode_raw(text, tf.uint8), [256, 4])[:, 2::-1]


def _colours(lines: tf.Tensor, width: tf.Tensor, channels: tf.Tensor) -> tf.Tensor:
    """Returns pixels that are stored as blue, green, red."""
    shape = tf.stack([tf.shape(lines, tf.int64)[0], width, channels])
    return tf.reshape(lines[:, : width * channels], shape)[..., 2::-1]


def _two_to(power: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.left_shift(tf.ones([], tf.int64), power)


def _padded(
    text: tf.Tensor, start: tf.Tensor | int, count: tf.Tensor | int
) -> tf.Tensor:
    """Returns `count` bytes, 1,024 at most; zeros stand behind a string's end."""
    start, count = tf.cast(start, tf.int64), tf.cast(count, tf.int64)
    length = tf.cast(tf.strings.length(text), tf.int64)
    there = tf.strings.substr(text, tf.minimum(start, length), count)
    return tf.strings.substr(
        tf.strings.join([there, b"\0" * 1024]), tf.zeros([], tf.int64), count
    )
