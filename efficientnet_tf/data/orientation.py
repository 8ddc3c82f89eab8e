"""The EXIF orientation of an image file: reading it, and turning images by it.

An orientation is a number from 1, upright as stored, to 8. It is read in TensorFlow's
graph, so pipelines and a SavedModel need no Python. Sources: EXIF 2.32 (CIPA DC-008),
section 4.6; TIFF 6.0, section 2; the PNG and WebP specifications of their chunks.
"""

from collections.abc import Callable

import tensorflow as tf

from efficientnet_tf.data import graphs

_TAG, _SHORT = 0x0112, 3  # of the entry that holds the orientation; its type
_HIGH = 1 << 16  # what the higher pair of bytes counts in a number of four
# A JPEG whose first segment, or first but one, states orientation 1: after the head of
# TIFF and the number of entries, entries of 12 bytes with smaller tags, then ours. In
# these expressions bytes above 127 have no sign but \C, which is any byte.
_STATES_ONE = (
    r"(?s)(?:\C{6}|\C{24})Exif\x00\x00"
    r"(?:II\*\x00\x08\x00\x00\x00\C\C(?:(?:\C\x00|[\x00-\x11]\x01)\C{10})*"
    r"\x12\x01\x03\x00\x01\x00\x00\x00\x01\x00"
    r"|MM\x00\*\x00\x00\x00\x08\C\C(?:(?:\x00\C|\x01[\x00-\x11])\C{10})*"
    r"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x01)\C*"
)
_BEGIN = b"Exif\0\0"
# From a block's first bytes: its length, whether another one may follow, and whether it
# is the one that is looked for.
_Parse = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]


def of_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the orientation of a JPEG, int64 scalar; 1 where it states none.

    It is in a segment APP1, before any segment but APP0 to APP15 and comments.

    Args:
        encoded: string scalar.
    """
    upright = tf.ones([], tf.int64)
    return tf.cond(_is_upright(encoded), lambda: upright, lambda: _searched(encoded))


@graphs.of_bytes
def _searched(encoded: tf.Tensor) -> tf.Tensor:
    """Follows a JPEG's segments to its orientation."""

    def parse(text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        marker, length = tf.unstack(_words(tf.strings.substr(text, 0, 4), big=True), 2)
        is_app = (marker >= 0xFFE0) & (marker <= 0xFFEF) | (marker == 0xFFFE)
        found = (marker == 0xFFE1) & (tf.strings.substr(text, 4, 6) == _BEGIN)
        return 2 + length, is_app, found

    return _of_block(encoded, 2, 10, parse)


def _is_upright(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a JPEG is easily seen to state no orientation but 1: most of them."""
    start = tf.strings.substr(encoded, 0, 512)
    states_one = tf.strings.regex_full_match(start, _STATES_ONE)
    # Splitting finds the words in 10 us, a regular expression would take 100.
    parts = tf.raw_ops.StringSplitV2(input=[encoded], sep=_BEGIN, maxsplit=1)
    return states_one | (tf.size(parts.values) < 2)


def of_png(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the orientation of a PNG, from its chunk eXIf; see `of_jpeg`."""

    def parse(text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        words = _words(tf.strings.substr(text, 0, 4), big=True)
        name = tf.strings.substr(text, 4, 4)
        return 12 + words[0] * _HIGH + words[1], name != b"IEND", name == b"eXIf"

    return _of_block(encoded, 8, 8, parse)


def of_webp(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the orientation of a WebP, from its chunk EXIF; see `of_jpeg`."""

    def parse(text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        words = _words(tf.strings.substr(text, 4, 4), big=False)
        length = words[0] + words[1] * _HIGH
        found = tf.strings.substr(text, 0, 4) == b"EXIF"
        return 8 + length + length % 2, tf.constant(True), found

    return _of_block(encoded, 12, 8, parse)


def upright_shape(shape: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Returns the shape of an image after it is turned.

    Args:
        shape: int32 [3], height, width and channels as stored.
        orientation: int64 scalar, 1 to 8.
    """
    return tf.where(_is_transposed(orientation), tf.gather(shape, [1, 0, 2]), shape)


def stored_window(
    window: tf.Tensor, shape: tf.Tensor, orientation: tf.Tensor
) -> tf.Tensor:
    """Returns where a window of the upright image is in the stored one.

    Args:
        window: int32 [4], y, x, height and width in the upright image.
        shape: int32 [3] of the stored image.
        orientation: int64 scalar, 1 to 8.
    """
    turned = tf.gather(window, [1, 0, 3, 2])
    window = tf.where(_is_transposed(orientation), turned, window)
    begin, size = window[:2], window[2:]
    mirrored = tf.stack(_is_mirrored(orientation))
    return tf.concat([tf.where(mirrored, shape[:2] - begin - size, begin), size], 0)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns a stored image, or a window of one, as the orientation says.

    Args:
        image: uint8 [height, width, channels].
        orientation: int64 scalar, 1 to 8.
    """

    def turn() -> tf.Tensor:
        rows, columns = _is_mirrored(orientation)
        turned = tf.cond(rows, lambda: tf.reverse(image, [0]), lambda: image)
        turned = tf.cond(columns, lambda: tf.reverse(turned, [1]), lambda: turned)
        return tf.cond(
            _is_transposed(orientation),
            lambda: tf.transpose(turned, [1, 0, 2]),
            lambda: turned,
        )

    return tf.cond(orientation > 1, turn, lambda: image)


def _is_transposed(orientation: tf.Tensor) -> tf.Tensor:
    return orientation >= 5


def _is_mirrored(orientation: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether stored rows and stored columns run backwards, before transposing."""
    rows = tf.reduce_any(orientation == [3, 4, 6, 7])
    columns = tf.reduce_any(orientation == [2, 3, 7, 8])
    return rows, columns


def _of_block(encoded: tf.Tensor, start: int, head: int, parse: _Parse) -> tf.Tensor:
    """Follows blocks to the one that holds EXIF, and reads it.

    Args:
        encoded: string scalar.
        start: int, place of the first block.
        head: int, bytes that `parse` takes; EXIF follows them.
        parse: the format's own function.
    """
    size = _length(encoded)

    def goes_on(position: tf.Tensor, length: tf.Tensor, *more: tf.Tensor) -> tf.Tensor:
        return more[0] & (position + length + head <= size)

    def follow(position: tf.Tensor, length: tf.Tensor, *_: tf.Tensor) -> tuple:
        position += length
        length, more, found = parse(tf.strings.substr(encoded, position, head))
        return position, length, more & ~found, found

    no, yes = tf.constant(False), tf.constant(True)
    begin = tf.constant(start, tf.int64)
    position, length, _, found = tf.while_loop(
        goes_on, follow, (begin, tf.zeros([], tf.int64), yes, no)
    )

    def read() -> tf.Tensor:
        return _of_tiff(tf.strings.substr(encoded, position + head, length - head))

    return tf.cond(found, read, lambda: tf.ones([], tf.int64))


def _of_tiff(text: tf.Tensor) -> tf.Tensor:
    """Reads the orientation in the first directory of a TIFF; 1 if it is damaged."""
    # WebP files of some programs repeat the beginning that JPEG has.
    begins = tf.strings.substr(text, 0, 6) == _BEGIN
    text = tf.strings.substr(text, tf.where(begins, 6, 0), tf.strings.length(text))
    size = _length(text)
    order = tf.strings.substr(text, 0, 4)
    big = order == b"MM\0*"
    first, second = tf.unstack(_words(_eight(text, 4), big=big)[:2], 2)
    offset = tf.where(big, first * _HIGH + second, second * _HIGH + first)
    count = _words(_eight(text, offset), big=big)[0]
    count = tf.clip_by_value((size - offset - 2) // 12, 0, count)
    start = tf.minimum(offset + 2, size)
    entries = tf.reshape(
        _words(tf.strings.substr(text, start, 12 * count), big=big), [-1, 6]
    )
    is_ours = (entries[:, 0] == _TAG) & (entries[:, 1] == _SHORT)
    value = tf.reduce_max(tf.where(is_ours, entries[:, 4], 0))
    known = (big | (order == b"II*\0")) & (value >= 1) & (value <= 8)
    return tf.where(known, value, 1)


def _words(text: tf.Tensor, *, big: tf.Tensor | bool) -> tf.Tensor:
    """Returns a string's pairs of bytes as numbers, int64; `big`: high bytes first."""
    if isinstance(big, bool):
        words = tf.io.decode_raw(text, tf.uint16, little_endian=not big)
    else:
        orders = [
            tf.io.decode_raw(text, tf.uint16, little_endian=e) for e in (False, True)
        ]
        words = tf.where(big, *orders)
    return tf.cast(words, tf.int64)


def _eight(text: tf.Tensor, start: tf.Tensor | int) -> tf.Tensor:
    """Returns 8 bytes from `start` on; zeros stand behind a string's end."""
    start = tf.minimum(tf.cast(start, tf.int64), _length(text))
    there = tf.strings.substr(text, start, tf.constant(8, tf.int64))
    return tf.strings.substr(tf.strings.join([there, b"\0" * 8]), 0, 8)


def _length(text: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(text), tf.int64)
