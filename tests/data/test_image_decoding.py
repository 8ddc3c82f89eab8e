"""Every kind of image file becomes the pixels that Pillow shows, or is refused."""

import io
import os
import pathlib
import struct

import numpy as np
import pytest
import tensorflow as tf
from image_support import encode, photo
from PIL import Image

from efficientnet_tf.data import decoding

SHARED = pathlib.Path(__file__).parents[3] / "shared" / "data"
ODD_IMAGES = (
    pathlib.Path(os.environ.get("EFFICIENTNET_TF_TEST_DATA", SHARED)) / "odd_images"
)
PIXELS = photo(13, 19)
ALPHA = np.dstack([PIXELS, np.arange(13 * 19, dtype=np.uint8).reshape(13, 19)])


@pytest.fixture(scope="module")
def decode():
    """Decodes whole images in one graph, as pipelines do."""

    def whole(shape):
        return tf.concat([[0, 0], shape[:2]], 0)

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def graph(encoded):
        return decoding.decode_window(encoded, whole)

    return lambda encoded: graph(tf.constant(encoded)).numpy()


def _shown(encoded: bytes) -> np.ndarray:
    """What Pillow shows; transparency is left out."""
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image.convert("RGB"))


def _palette(colours: int) -> Image.Image:
    adaptive = Image.Palette.ADAPTIVE
    return Image.fromarray(PIXELS).convert("P", palette=adaptive, colors=colours)


def _saved(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _bmp(bits: int, rows: bytes, palette=b"", *, height=13, compression=0) -> bytes:
    """A BMP as the specification lays it out; `height` below 0: from top to bottom."""
    masks = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF) if compression else b""
    colours = len(palette) // 4
    header = struct.pack(
        "<IiiHHIIiiII", 40, 19, height, 1, bits, compression, 0, 0, 0, colours, 0
    )
    start = 14 + len(header + masks + palette)
    return (
        b"BM" + struct.pack("<IHHI", 0, 0, 0, start) + header + masks + palette + rows
    )


def _four_bits() -> bytes:
    numbers = np.asarray(_palette(16))[::-1]
    numbers = np.pad(numbers, ((0, 0), (0, 24 - 19)))  # whole words: 12 bytes
    packed = numbers[:, ::2] << 4 | numbers[:, 1::2]
    palette = np.asarray(_palette(16).getpalette()[: 3 * 16], np.uint8).reshape(16, 3)
    palette = np.pad(palette[:, ::-1], ((0, 0), (0, 1)))
    return _bmp(4, packed.astype(np.uint8).tobytes(), palette.tobytes())


EXACT = {
    "png-1-bit": encode(PIXELS, mode="1"),
    "png-grey": encode(PIXELS, mode="L"),
    "png-palette": _saved(_palette(200), "PNG"),
    "png-palette-4-bits": _saved(_palette(16), "PNG", bits=4),
    "png-palette-2-bits": _saved(_palette(4), "PNG", bits=2),
    "png-palette-transparent": _saved(_palette(200), "PNG", transparency=3),
    "png-colour-transparent": encode(PIXELS, transparency=tuple(PIXELS[0, 0].tolist())),
    "png-alpha": _saved(Image.fromarray(ALPHA), "PNG"),
    "png-grey-alpha": _saved(Image.fromarray(ALPHA).convert("LA"), "PNG"),
    "gif": _saved(_palette(200), "GIF"),
    "gif-moving": _saved(
        _palette(200), "GIF", save_all=True, append_images=[_palette(16)]
    ),
    "bmp-1-bit": encode(PIXELS, "BMP", "1"),
    "bmp-grey": encode(PIXELS, "BMP", "L"),
    "bmp-4-bits": _four_bits(),
    "bmp-palette": _saved(_palette(200), "BMP"),
    "bmp-few-colours": _saved(_palette(5), "BMP"),
    "bmp": encode(PIXELS, "BMP"),
    "bmp-from-the-top": _bmp(24, np.pad(PIXELS, ((0, 0), (0, 1), (0, 0)))[
        ..., ::-1
    ].reshape(13, 60)[:, :60].tobytes(), height=-13),
    "bmp-alpha": _saved(Image.fromarray(ALPHA), "BMP"),
    "bmp-masks": _bmp(32, ALPHA[::-1, :, [2, 1, 0, 3]].tobytes(), compression=3),
    "webp": encode(PIXELS, "WEBP"),
    "webp-lossless": encode(PIXELS, "WEBP", lossless=True),
    "webp-alpha": _saved(Image.fromarray(ALPHA), "WEBP"),
    "webp-lossless-alpha": _saved(Image.fromarray(ALPHA), "WEBP", lossless=True),
    "webp-moving": _saved(
        Image.fromarray(PIXELS),
        "WEBP",
        lossless=True,
        save_all=True,
        append_images=[Image.fromarray(PIXELS[::-1])],
    ),
    "png-of-one-pixel": encode(PIXELS[:1, :1]),
    "bmp-of-one-pixel": encode(PIXELS[:1, :1], "BMP", "P"),
}  # fmt: skip


@pytest.mark.parametrize("kind", EXACT)
def test_pixels_are_pillows(decode, kind):
    np.testing.assert_array_equal(decode(EXACT[kind]), _shown(EXACT[kind]))


def test_a_palette_bmp_is_not_grey(decode):
    colours = Image.new("P", (4, 4), 1)
    colours.putpalette([0, 0, 0, 200, 30, 30])
    assert (decode(_saved(colours, "BMP")) == [200, 30, 30]).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_of_16_bits_the_high_8_are_kept(decode, channels):
    deep = ALPHA[..., :channels].astype(np.uint16) * 256 + 201
    wanted = ALPHA[..., [0, 0, 0] if channels < 3 else [0, 1, 2]]
    np.testing.assert_array_equal(decode(tf.io.encode_png(deep).numpy()), wanted)


def test_transparent_pixels_of_a_gif_are_black(decode):
    encoded = _saved(_palette(200), "GIF", transparency=3)
    with Image.open(io.BytesIO(encoded)) as image:
        visible = np.asarray(image.convert("RGBA"))[..., 3:] > 0
    assert 0 < visible.mean() < 1
    np.testing.assert_array_equal(decode(encoded), _shown(encoded) * visible)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("RGB", {"progressive": True}),
        ("RGB", {"subsampling": 2, "restart_marker_blocks": 1}),
        ("RGB", {"keep_rgb": True}),
        ("L", {}),
        ("CMYK", {}),
    ],
)
def test_jpegs_are_pillows_but_for_the_fast_transform(decode, mode, options):
    encoded = encode(PIXELS, "JPEG", mode, quality=95, **options)
    difference = np.abs(decode(encoded).astype(int) - _shown(encoded))
    assert difference.mean() < 3 and difference.max() < 12


# The greatest mean difference from Pillow's levels. TensorFlow's fast inverse cosine
# transform makes it: with dct_method=INTEGER_ACCURATE all files are equal, those of
# four channels but for 1 level.
MEANS = {
    "jpegdec_4x261.jpg": 0.2,
    "jpegdec_cmyk_prog.jpg": 0.6,
    "jpegdec_grayscale_square.jpg": 1.1,
    "jpegdec_partial_progressive.jpg": 9.0,  # 4x4 pixels of half of the scans
    "jpegdec_restarts.jpg": 1.5,
    "jpegdec_rgb.jpg": 0.6,
    "jpegdec_ycck.jpg": 1.0,
    "pillow_flower.jpg": 1.2,
    "pillow_flower2.jpg": 1.6,
    "pillow_hopper.bmp": 0,
    "pillow_hopper.gif": 0,
    "pillow_hopper.jpg": 1.3,
    "pillow_hopper.png": 0,
    "pillow_hopper.webp": 0,
    "pillow_hopper_gray.jpg": 0.9,
    "pillow_imagedraw_polygon_kite_L.png": 0,
    "pillow_invalid-exif.jpg": 0.6,
    "pillow_mode_16bit.png": 0,
    "pillow_multiple_exif.jpg": 0,
    "pillow_pil123rgba.png": 0,
    "pillow_pil_sample_cmyk.jpg": 0.9,
    "pillow_pil_sample_rgb.jpg": 0.8,
    "pillow_transparent.png": 0,
    "png_named.JPEG": 0,
}
REFUSED = {
    "jpegdec_truncated.jpg": "a JPEG cut short: it has no end marker",
    "pillow_16_bit_binary.pgm": "a PBM, PGM or PPM; allowed are JPEG",
    "pillow_truncated_image.png": "a PNG cut short in its chunk IDAT",
}
needs_odd_images = pytest.mark.skipif(
    not ODD_IMAGES.is_dir(), reason=f"no images in {ODD_IMAGES}"
)


@needs_odd_images
def test_odd_real_files_are_all_tried():
    there = {path.name for path in ODD_IMAGES.iterdir()}
    assert there - {*MEANS, *REFUSED} <= {
        "LICENSE-Pillow", "LICENSE-jpeg-decoder-MIT",
    }  # fmt: skip


@needs_odd_images
@pytest.mark.parametrize("name", MEANS)
def test_odd_real_files_look_as_pillow_shows_them(decode, name):
    encoded = (ODD_IMAGES / name).read_bytes()
    found = decode(encoded)
    assert np.abs(found.astype(int) - _shown(encoded)).mean() <= MEANS[name]
    assert decoding.reason(encoded) is None


@needs_odd_images
@pytest.mark.parametrize("name", REFUSED)
def test_odd_real_files_that_are_damaged_are_refused(decode, name):
    encoded = (ODD_IMAGES / name).read_bytes()
    assert decoding.reason(encoded).startswith(REFUSED[name])
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(encoded)


def _large(kind: str) -> bytes:
    """A file whose header promises 20,000 x 20,000 pixels."""
    encoded = EXACT[kind]
    sides = struct.pack(">II", 20_000, 20_000)
    if kind == "png-alpha":
        return encoded[:16] + sides + encoded[24:]
    if kind == "bmp":
        return encoded[:18] + struct.pack("<II", 20_000, 20_000) + encoded[26:]
    if kind == "gif":
        return encoded[:6] + struct.pack("<HH", 20_000, 20_000) + encoded[10:]
    return encoded[:24] + b"\x1f\x4e\0" * 2 + encoded[30:]


BROKEN = {
    "empty": b"",
    "one-byte": b"\xff",
    "start-of-a-jpeg": b"\xff\xd8\xff",
    "half-a-jpeg": encode(photo(90, 90), "JPEG", quality=95)[:3000],
    "half-a-png": EXACT["png-alpha"][:300],
    "half-a-gif": EXACT["gif"][:-40],
    "half-a-bmp": EXACT["bmp"][:-40],
    "half-a-palette": EXACT["bmp-palette"][:300],
    "half-a-webp": EXACT["webp"][:60],
    "riff": b"RIFF1234WEBP",
    "bmp-run-lengths": EXACT["bmp-palette"][:30] + b"\1" + EXACT["bmp-palette"][31:],
    "bmp-16-bits": _bmp(16, b"\0" * 40 * 13),
    "tiff": encode(PIXELS, "TIFF"),
    **{f"large-{kind}": _large(kind) for kind in ("png-alpha", "bmp", "gif")},
    "large-webp": _large("webp-alpha"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_decoded_has_one_clear_line(decode, kind):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        decode(BROKEN[kind])
    assert "OOM" not in str(error.value)
    reason = decoding.reason(BROKEN[kind])
    assert reason.startswith(("a ", "an ", "no ", "20000x")) and reason.isprintable()
    assert not [words for words in ("{", "[[", "node", "Op:") if words in reason]
    assert ("20000x20000" in reason) == kind.startswith("large")


def test_random_damage_never_crashes(decode):
    draws = np.random.default_rng(0)
    for kind in ("png-palette", "gif", "bmp-4-bits", "webp-alpha", "webp-moving"):
        for _ in range(20):
            damaged = bytearray(EXACT[kind])
            for place in draws.integers(0, len(damaged), 3):
                damaged[place] = draws.integers(256)
            damaged = bytes(damaged[: draws.integers(len(damaged) // 2, 9999)])
            try:
                assert decode(damaged).shape[2] == 3
            except tf.errors.InvalidArgumentError:
                assert decoding.reason(damaged).isprintable()
