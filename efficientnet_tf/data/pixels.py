"""Keeps the pixels of images in memory, and gives out windows of them.

A window of a JPEG with halved colour is not always the same as the window of the whole
image: at its sides libjpeg-turbo lacks the colour beyond, up to 62 levels in a photo's
last column. Such a window is decoded from the file, as without a cache.
"""

import struct
import threading

import numpy as np
import tensorflow as tf

from efficientnet_tf.data import decoding, graphs, image_headers

# Height, width, orientation and colour block, and a length that leaves the pixels
# aligned, so that TensorFlow does not copy them once more.
_HEADER, _HEADER_BYTES = struct.Struct("<4i"), 64
_LEAST = 5  # columns that libjpeg-turbo decodes before it smooths colour


class Pixels:
    """Whole images as they are stored in files, by a hash of the files' bytes.

    Two of a million images share a hash of 64 bits with a probability of 3e-8.

    Args:
        limit: int, bytes to keep at most; images beyond are decoded each time.
    """

    def __init__(self, limit: int):
        self._left = limit
        self._lock = threading.Lock()
        with tf.device("CPU:0"):
            self._images = tf.lookup.experimental.MutableHashTable(
                tf.int64, tf.string, default_value=b""
            )

    def decode_window(
        self, encoded: tf.Tensor, window: decoding.Window, *, exif: bool = False
    ) -> tf.Tensor:
        """Returns a window as `decoding.decode_window` does, and keeps the image."""
        key = tf.raw_ops.Fingerprint(data=[encoded], method="farmhash64")[0]
        key = tf.bitcast(key, tf.int64)
        found = self._images.lookup(key)

        def keep() -> tf.Tensor:
            packed = graphs.call_python(self._keep, [key, encoded], tf.string)
            return tf.ensure_shape(packed, [])

        packed = tf.cond(
            tf.equal(found, b""), graphs.apart(keep), lambda: tf.identity(found)
        )

        def decode() -> tf.Tensor:
            return decoding.decode_window(encoded, window, exif=exif)

        return tf.cond(
            tf.equal(packed, b""),
            graphs.apart(decode),
            lambda: _window(packed, encoded, window, exif=exif),
        )

    def _keep(self, key: np.int64, encoded: bytes) -> bytes:
        """Decodes and keeps an image; returns nothing where that is not possible."""
        if self._left <= 0:
            return b""
        try:
            block = image_headers.colour_block(encoded)
            image, orientation = decoding.decode_stored(tf.constant(encoded))
        except (ValueError, tf.errors.OpError):
            return b""  # perhaps a window of it can be decoded
        sides = image.shape[:2]
        header = _HEADER.pack(*sides, int(orientation), block)
        packed = header.ljust(_HEADER_BYTES, b"\0") + image.numpy().tobytes()
        with self._lock:
            self._left -= len(packed)
        self._images.insert(key, tf.constant(packed))
        return packed


def _window(
    packed: tf.Tensor, encoded: tf.Tensor, window: decoding.Window, *, exif: bool
) -> tf.Tensor:
    """Takes a window out of an image that `Pixels` packed."""
    header = tf.io.decode_raw(tf.strings.substr(packed, 0, _HEADER.size), tf.int32)
    height, width, orientation, block = tf.unstack(header, 4)
    shape = tf.stack([height, width, 3])

    def read(at: tf.Tensor) -> tf.Tensor:
        y, x, rows, columns = tf.unstack(at, 4)

        def cut() -> tf.Tensor:
            image = tf.io.decode_raw(packed, tf.uint8)[_HEADER_BYTES:]
            return tf.reshape(image, shape)[y : y + rows, x : x + columns]

        def decode() -> tf.Tensor:
            return tf.image.decode_and_crop_jpeg(encoded, at, channels=3)

        whole = is_exact(x, columns, width=width, block=block)
        return tf.cond(whole, cut, graphs.apart(decode))

    turned = tf.cast(orientation, tf.int64) if exif else None
    return decoding.upright(read, shape, window, turned)


def is_exact(
    x: tf.Tensor, columns: tf.Tensor, *, width: tf.Tensor, block: tf.Tensor
) -> tf.Tensor:
    """Whether a JPEG's window, decoded alone, has the pixels of the whole image.

    libjpeg-turbo decodes whole blocks from the left, and smooths colour between two
    neighbours in a row. At a window's last column the right neighbour may be missing,
    and the left one where a block begins.

    Args:
        x: int32 scalar, the window's first column.
        columns: int32 scalar, the window's width.
        width: int32 scalar, the image's width.
        block: int32 scalar, see `image_headers.colour_block`.

    Returns:
        bool scalar; False may also mean that it is not known.
    """
    in_block = x % tf.maximum(block, 1)
    left = (x == 0) | (in_block > 0)
    right = (x + columns == width) | ((x + columns) % 2 == 1)
    return (block == 0) | (left & right & (in_block + columns >= _LEAST))
