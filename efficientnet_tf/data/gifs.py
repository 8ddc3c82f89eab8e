"""Cuts a GIF off behind its first frame, in TensorFlow's graph.

TensorFlow's decoder reads every frame before it returns the first, and a megabyte can
hold gigabytes of them. Source: the GIF89a specification, sections 17 to 27.
"""

import tensorflow as tf

_EXTENSION, _IMAGE = 0x21, 0x2C  # how a block begins
_HEADER = 13  # bytes before the canvas's table of colours
_DESCRIPTOR = 10  # bytes before a frame's table of colours


def first_frame(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns a GIF of the first frame alone, and the pixels that it takes to decode.

    Args:
        encoded: string scalar, a file that begins like a GIF.

    Returns:
        The file, string scalar, cut short where `encoded` is; height and width of its
        canvas or of its frame, of each the larger one, int32 scalars.
    """
    blocks = _Blocks(encoded)
    begin = blocks.past_extensions(_HEADER + blocks.colours(10))
    has_frame = blocks.byte(begin) == _IMAGE
    pixels = begin + _DESCRIPTOR + blocks.colours(begin + 9)
    # A byte before the pixels says how they are coded.
    end = tf.where(has_frame, blocks.past_chain(pixels + 1), begin)
    trailer = tf.where(end <= blocks.length, ";", "")
    file = tf.strings.join([tf.strings.substr(encoded, 0, end), trailer])

    def side(of_canvas: int, of_frame: int) -> tf.Tensor:
        frame = tf.where(has_frame, blocks.number(begin + of_frame), 0)
        return tf.maximum(blocks.number(of_canvas), frame)

    return file, side(8, 7), side(6, 5)


class _Blocks:
    """The bytes of a GIF; zeros stand behind their end.

    A place is the number of bytes before it, int32 scalar.
    """

    def __init__(self, encoded: tf.Tensor) -> None:
        values = tf.cast(tf.io.decode_raw(encoded, tf.uint8), tf.int32)
        self.length = tf.size(values)
        self._values = tf.concat([values, [0]], 0)

    def byte(self, place: tf.Tensor | int) -> tf.Tensor:
        return self._values[tf.minimum(place, self.length)]

    def number(self, place: tf.Tensor | int) -> tf.Tensor:
        """Returns the number of two bytes."""
        return self.byte(place) + 256 * self.byte(place + 1)

    def colours(self, place: tf.Tensor | int) -> tf.Tensor:
        """Returns the bytes of the table of colours that the flags at a place say."""
        flags = self.byte(place)
        size = tf.bitwise.left_shift(6, tf.bitwise.bitwise_and(flags, 7))
        return tf.where(flags >= 0x80, size, 0)

    def past_extensions(self, place: tf.Tensor) -> tf.Tensor:
        """Returns the place behind blocks that are no frame."""
        return tf.while_loop(
            lambda place: self.byte(place) == _EXTENSION,
            lambda place: [self.past_chain(place + 2)],
            [place],
        )[0]

    def past_chain(self, place: tf.Tensor) -> tf.Tensor:
        """Returns the place behind parts with their length before them, the last 0."""
        end = tf.while_loop(
            lambda place: self.byte(place) > 0,
            lambda place: [place + 1 + self.byte(place)],
            [place],
        )[0]
        return end + 1
