"""Uploads that would take too much memory or time are refused before decoding."""

import io
import tracemalloc

import numpy as np
import pytest
import serve_support
from PIL import Image

from efficientnet_tf.serve import upload_checks


def animation(kind: str, frames: int, side: int = 40) -> bytes:
    pictures = [
        Image.new("RGB", (side, side), (25 * n % 256, n, 0)) for n in range(frames)
    ]
    encoded = io.BytesIO()
    pictures[0].save(encoded, kind, save_all=True, append_images=pictures[1:])
    return encoded.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WebP"])
def test_a_plain_image_is_let_through(kind):
    encoded = serve_support.photo(kind=kind)
    assert upload_checks.reason(encoded, 40 * 36) is None
    told = f"a {kind} of 40x36 pixels; allowed are 1,439 in all"
    assert upload_checks.reason(encoded, 40 * 36 - 1) == told


@pytest.mark.parametrize("kind", ["GIF", "WebP"])
def test_the_frames_of_an_animation_count(kind):
    encoded = animation(kind, 10)
    assert upload_checks.reason(encoded, 16_000) is None
    told = f"a {kind} of 40x40 pixels, 16,000 in all frames; allowed are 15,999 in all"
    assert upload_checks.reason(encoded, 15_999) == told


def test_frames_that_are_larger_than_the_screen_count():
    encoded = bytearray(animation("GIF", 1))
    encoded[6:10] = b"\1\0\1\0"
    assert "1,600 in all frames" in upload_checks.reason(bytes(encoded), 100)


def test_every_start_of_a_gif_is_followed_without_an_error():
    encoded = animation("GIF", 3)
    for length in range(len(encoded)):
        upload_checks.reason(encoded[:length], 10**6)


def test_a_progressive_jpeg_has_few_scans():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), "uint8")
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", progressive=True)
    assert upload_checks.reason(encoded.getvalue(), 10**6) is None
    start = encoded.getvalue()
    at = start.index(b"\xff\xda")
    bomb = start[:at] + start[at:-2] * 50
    assert "scans; allowed are 100" in upload_checks.reason(bomb, 10**6)


def test_checking_takes_no_memory():
    encoded = animation("GIF", 200, side=400)
    tracemalloc.start()
    assert upload_checks.reason(encoded, 10**6)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
