"""Of an animated GIF only the first frame is decoded, however many there are."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from image_support import photo
from PIL import Image

from efficientnet_tf.data import decoding, gifs


def _animation(frames=3, side=40, **options) -> bytes:
    first, *rest = (
        Image.fromarray(photo(side, side + 7, seed)).quantize(64 >> seed % 3)
        for seed in range(frames)
    )
    encoded = io.BytesIO()
    first.save(encoded, "GIF", save_all=True, append_images=rest, **options)
    return encoded.getvalue()


def _bomb(frames: int, side: int) -> bytes:
    """One frame of one colour, many times."""
    encoded = io.BytesIO()
    Image.new("P", (side, side)).save(encoded, "GIF")
    file = encoded.getvalue()
    start = file.index(b"\x2c\0\0\0\0")
    return file[:start] + file[start:-1] * frames + b";"


ANIMATIONS = {
    "plain": _animation(),
    "endless": _animation(loop=0, duration=40),
    "with comments": _animation(comment=b"x" * 700),
    "transparent": _animation(transparency=3, disposal=2),
    "interlaced": _animation(interlace=True),
    "one frame": _animation(frames=1),
    "larger than a part": _animation(side=300),
    "behind its end": _animation() + b"\x21\xfe\x03abc\0",
}


@pytest.fixture(scope="module")
def graph():
    spec = [tf.TensorSpec([], tf.string)]
    return tf.function(gifs.first_frame, input_signature=spec, autograph=False)


def _frames(encoded: bytes) -> list[np.ndarray]:
    with Image.open(io.BytesIO(encoded)) as image:
        return [_seen(image, index) for index in range(image.n_frames)]


def _seen(image: Image.Image, index: int) -> np.ndarray:
    image.seek(index)
    return np.asarray(image.convert("RGBA"))


@pytest.mark.parametrize("kind", ANIMATIONS)
def test_one_frame_is_left_and_pillow_shows_the_same(graph, kind):
    encoded = ANIMATIONS[kind]
    file, height, width = graph(tf.constant(encoded))
    (left,) = _frames(file.numpy())
    np.testing.assert_array_equal(left, _frames(encoded)[0])
    assert (height, width) == left.shape[:2]
    assert encoded.startswith(file.numpy()[:-1])


def test_a_file_cut_short_is_as_it_was(graph):
    encoded = ANIMATIONS["endless"]
    whole = len(graph(tf.constant(encoded))[0].numpy())
    for length in range(14, whole - 1):
        start = encoded[:length]
        assert graph(tf.constant(start))[0].numpy().rstrip(b";") == start.rstrip(b";")


def test_a_thousand_large_frames_are_one(graph):
    encoded = _bomb(frames=1_000, side=2_000)  # 4 GB
    file = graph(tf.constant(encoded))[0].numpy()
    assert len(file) < len(encoded) / 900
    assert decoding.decode_stored(tf.constant(encoded))[0].shape == (2_000, 2_000, 3)
    assert decoding.pixel_count(tf.constant(encoded)) == 4_000_000


def test_a_frame_larger_than_its_canvas_counts():
    encoded = bytearray(_animation(frames=1))
    frame = encoded.index(b"\x2c\0\0\0\0")
    encoded[frame + 5 : frame + 9] = struct.pack("<HH", 60_000, 50_000)
    assert decoding.pixel_count(tf.constant(bytes(encoded))) == 3_000_000_000
    reason = decoding.reason(bytes(encoded))
    assert reason.startswith("a GIF whose first frame has 60000x50000 pixels")
