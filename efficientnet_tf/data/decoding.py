"""Decodes JPEG, PNG, GIF (first frame), BMP and WebP in TensorFlow's graph.

The bytes decide the format, because ImageNet has a PNG named .JPEG. As Pillow's
`convert("RGB")` does, transparency is left out: a transparent pixel shows the colour
that the file stores there, without a background. Transparent pixels of a GIF are black.
Of 16 bits the high 8 are kept. CMYK becomes (255 - C) * (255 - K) / 255, and so on.
"""

import functools
from collections.abc import Callable
from typing import Protocol

import tensorflow as tf

from efficientnet_tf import files
from efficientnet_tf.data import bitmaps, gifs, graphs, image_headers, orientation

_TWO_14 = 1 << 14  # WebP's sides have 14 bits
Window = Callable[[tf.Tensor], tf.Tensor]


class Decode(Protocol):
    """Decodes a window of an image, as `decode_window` does."""

    def __call__(
        self, encoded: tf.Tensor, window: Window, *, exif: bool = False
    ) -> tf.Tensor:
        """See `decode_window`."""


def decode_window(
    encoded: tf.Tensor, window: Window, *, exif: bool = False
) -> tf.Tensor:
    """Decodes a window of an image; of a JPEG nothing else is decoded.

    Args:
        encoded: string scalar.
        window: maps the image's shape, int32 [3], to the window, int32 [4]: y, x,
            height and width. Both are of the upright image.
        exif: whether to turn the image upright, as its EXIF orientation says.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        tf.errors.InvalidArgumentError: if the bytes cannot be decoded.
    """

    def jpeg() -> tf.Tensor:
        shape = _jpeg_shape(encoded)

        def read(at: tf.Tensor) -> tf.Tensor:
            return tf.image.decode_and_crop_jpeg(encoded, at, channels=3)

        turned = orientation.of_jpeg(encoded) if exif else None
        return upright(read, shape, window, turned)

    def other() -> tf.Tensor:
        image, turned = _decode_other(encoded)

        def read(at: tf.Tensor) -> tf.Tensor:
            y, x, height, width = tf.unstack(at)
            return image[y : y + height, x : x + width]

        return upright(read, tf.shape(image), window, turned if exif else None)

    return tf.cond(tf.io.is_jpeg(encoded), jpeg, graphs.apart(other))


def decode_stored(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a whole image, not turned; see `decode_window`.

    Args:
        encoded: string scalar.

    Returns:
        uint8 [height, width, 3], RGB, and the EXIF orientation, int64 scalar.
    """

    def jpeg() -> tuple[tf.Tensor, tf.Tensor]:
        with tf.control_dependencies([_jpeg_shape(encoded)]):
            image = tf.image.decode_jpeg(tf.identity(encoded), channels=3)
        return image, orientation.of_jpeg(encoded)

    return tf.cond(tf.io.is_jpeg(encoded), jpeg, lambda: _decode_other(encoded))


def reason(encoded: bytes) -> str | None:
    """Says in one line why an image cannot be decoded, after trying to decode it.

    Args:
        encoded: the bytes of the file.

    Returns:
        Words for parentheses, such as "a PNG cut short in its chunk IDAT"; None if the
        image can be decoded.
    """
    refused = image_headers.reason(encoded)
    if refused:
        return refused
    try:
        decode_window(tf.constant(encoded), whole)
    except tf.errors.OpError as error:
        return image_headers.damage(encoded) or _in_words(encoded, error)
    return None


def _in_words(encoded: bytes, error: tf.errors.OpError) -> str:
    words = files.reason(error)
    if words.startswith("a "):  # an assertion of ours
        return words
    return f"a damaged {image_headers.read(encoded).format}: {words.rstrip('.')}"


def whole(shape: tf.Tensor) -> tf.Tensor:
    """Returns the window of a whole image, int32 [4]; see `decode_window`."""
    return tf.concat([[0, 0], shape[:2]], 0)


def upright(
    read: Callable[[tf.Tensor], tf.Tensor],
    shape: tf.Tensor,
    window: Window,
    turned: tf.Tensor | None,
) -> tf.Tensor:
    """Reads a window of the upright image.

    Args:
        read: reads a window of the stored image.
        shape: int32 [3] of the stored image.
        window: see `decode_window`.
        turned: int64 scalar, the stored image's orientation; None: it is not turned.

    Returns:
        uint8 [height, width, 3].
    """
    if turned is None:
        return read(window(shape))

    def turn() -> tf.Tensor:
        at = window(orientation.upright_shape(shape, turned))
        stored = read(orientation.stored_window(at, shape, turned))
        return orientation.upright(stored, turned)

    return tf.cond(turned > 1, graphs.apart(turn), lambda: read(window(shape)))


def _jpeg_shape(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the shape of a JPEG, int32 [3], after checking it."""
    shape = tf.image.extract_jpeg_shape(encoded)
    with tf.control_dependencies([_bounded(shape[0], shape[1])]):
        return tf.identity(shape)


@graphs.of_bytes
def _decode_other(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes what is no JPEG; returns the image as stored and its orientation."""
    start = tf.strings.substr(encoded, 0, 4)
    upright = tf.ones([], tf.int64)

    def png() -> tuple[tf.Tensor, tf.Tensor]:
        image = _decode_bounded(encoded, *_png_sides(encoded))
        return image, orientation.of_png(encoded)

    def gif() -> tuple[tf.Tensor, tf.Tensor]:
        return _decode_bounded(*gifs.first_frame(encoded)), upright

    def bmp() -> tuple[tf.Tensor, tf.Tensor]:
        return bitmaps.decode(encoded), upright

    def webp() -> tuple[tf.Tensor, tf.Tensor]:
        with tf.control_dependencies([_bounded(*_webp_sides(encoded))]):
            whole = tf.identity(encoded)
        # 0 channels are 4 if there is transparency, else 3. The first frame is taken.
        image = tf.image.decode_webp(whole, channels=0)[0, ..., :3]
        return image, orientation.of_webp(encoded)

    def unknown() -> tuple[tf.Tensor, tf.Tensor]:
        message = f"no image that can be decoded; {image_headers.ALLOWED}"
        with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
            return tf.zeros([1, 1, 3], tf.uint8), upright

    return tf.case(
        [
            (start == b"\x89PNG", png),
            (start == b"GIF8", gif),
            (tf.strings.substr(encoded, 0, 2) == b"BM", bmp),
            (start == b"RIFF", webp),
        ],
        default=unknown,
    )


@graphs.of_bytes
def pixel_count(encoded: tf.Tensor) -> tf.Tensor:
    """Reads the size of an image, before anything of it is decoded.

    Args:
        encoded: string scalar.

    Returns:
        int64 scalar, height times width as the header says: of all frames of a WebP,
        and of a GIF's canvas or first frame, whichever is larger; 0 for what is no
        image that can be decoded.

    Raises:
        tf.errors.InvalidArgumentError: if a JPEG's header is damaged.
    """
    start = tf.strings.substr(encoded, 0, 4)

    def jpeg() -> tuple[tf.Tensor, ...]:
        return tuple(tf.unstack(tf.image.extract_jpeg_shape(encoded)[:2]))

    kinds = [
        (tf.io.is_jpeg(encoded), jpeg),
        (start == b"\x89PNG", lambda: _png_sides(encoded)),
        (start == b"GIF8", lambda: gifs.first_frame(encoded)[1:]),
        (tf.strings.substr(encoded, 0, 2) == b"BM", lambda: _bmp_sides(encoded)),
        (start == b"RIFF", lambda: _webp_sides(encoded)),
    ]
    return tf.case(
        [(is_kind, functools.partial(_area, sides)) for is_kind, sides in kinds],
        default=lambda: tf.zeros([], tf.int64),
    )


def _area(sides: Callable[[], tuple[tf.Tensor, ...]]) -> tf.Tensor:
    height, width = (tf.cast(side, tf.int64) for side in sides())
    return tf.abs(height) * width  # a BMP's rows may begin at the top: negative


def _decode_bounded(
    encoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor
) -> tf.Tensor:
    with tf.control_dependencies([_bounded(height, width)]):
        encoded = tf.identity(encoded)
    return tf.io.decode_image(encoded, channels=3, expand_animations=False)


def _png_sides(encoded: tf.Tensor) -> tuple[tf.Tensor, ...]:
    text = tf.strings.substr(_start(encoded, 24), 16, 8)
    width, height = tf.unstack(tf.io.decode_raw(text, tf.int32, little_endian=False), 2)
    return height, width


def _bmp_sides(encoded: tf.Tensor) -> tuple[tf.Tensor, ...]:
    text = tf.strings.substr(_start(encoded, 26), 18, 8)
    width, height = tf.unstack(tf.io.decode_raw(text, tf.int32), 2)
    return height, width


def _webp_sides(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the height and width of a WebP, the height times its frames.

    Source: the WebP container's specification, RFC 9649 section 2, and those of its
    two bit streams.
    """
    start = _start(encoded, 30)
    kind = tf.strings.substr(start, 12, 4)
    values = tf.cast(tf.io.decode_raw(start, tf.uint8), tf.int64)

    def little(place: int, size: int) -> tf.Tensor:
        places = [256**n for n in range(size)]
        return tf.reduce_sum(values[place : place + size] * places)

    def extended() -> tuple[tf.Tensor, tf.Tensor]:
        rest = tf.strings.regex_replace(encoded, "ANMF", "")
        dropped = tf.strings.length(encoded) - tf.strings.length(rest)
        frames = tf.cast(tf.maximum(1, dropped // 4), tf.int64)
        return frames * (little(27, 3) + 1), little(24, 3) + 1

    def lossless() -> tuple[tf.Tensor, tf.Tensor]:
        packed = little(21, 4)
        return packed // _TWO_14 % _TWO_14 + 1, packed % _TWO_14 + 1

    def lossy() -> tuple[tf.Tensor, tf.Tensor]:
        return little(28, 2) % _TWO_14, little(26, 2) % _TWO_14

    return tf.case([(kind == b"VP8X", extended), (kind == b"VP8L", lossless)], lossy)


def _bounded(height: tf.Tensor, width: tf.Tensor) -> tf.Operation:
    """Asserts that there are pixels, and not more than the memory is meant for."""
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    return tf.debugging.Assert(
        (pixels > 0) & (pixels <= image_headers.MOST_PIXELS),
        [f"an image of no pixels or more than {image_headers.MOST_PIXELS:,}"],
    )


def _start(encoded: tf.Tensor, count: int) -> tf.Tensor:
    """Returns the first bytes; zeros stand behind the end of fewer."""
    there = tf.strings.substr(encoded, 0, count)
    return tf.strings.substr(tf.strings.join([there, b"\0" * count]), 0, count)
