"""What is read of an image's header, without decoding it."""

import io
import struct
import zlib

import pytest
from image_support import encode, photo
from PIL import Image

from efficientnet_tf.data import image_headers

PIXELS = photo(13, 19)


def _bmp(bits: int, compression: int = 0, masks=(), *, size=(19, 13)) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, *size, 1, bits, compression, *[0] * 5)
    masked = struct.pack(f"<{len(masks)}I", *masks)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + header + masked + b"\0" * 64


def _png(width: int, height: int) -> bytes:
    """A header alone, whose checksum is right."""
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n\0\0\0\r" + content + struct.pack(">I", zlib.crc32(content))
    )


def _jpeg(width: int, height: int, *, marker=0xC0, bits=8) -> bytes:
    frame = struct.pack(">BBHBHHB", 0xFF, marker, 17, bits, height, width, 3)
    return b"\xff\xd8\xff\xfe\0\x06\xff\xd9no" + frame + b"\0" * 9 + b"\xff\xd9"


def _webp(kind: bytes, *fields: int) -> bytes:
    chunk = kind + b"\0\0\0\0" + bytes(fields)
    return b"RIFF\0\0\0\0WEBP" + chunk.ljust(32, b"\0")


@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "L", {"progressive": True}),
        ("JPEG", "CMYK", {"comment": b"\xff\xc0" * 99}),
        ("PNG", "RGBA", {}),
        ("GIF", "P", {}),
        ("BMP", "P", {}),
        ("BMP", "1", {}),
        ("BMP", "RGB", {}),
        ("WebP", "RGB", {}),
        ("WebP", "RGB", {"lossless": True}),
        ("WebP", "RGBA", {}),
    ],
)
def test_format_and_size_are_pillows(format, mode, options):
    encoded = encode(PIXELS, format, mode, **options)
    with Image.open(io.BytesIO(encoded)) as image:
        assert (image.format, image.size) == (format.upper(), (19, 13))
    assert image_headers.read(encoded) == image_headers.Header(format, 13, 19)
    assert image_headers.reason(encoded) is image_headers.damage(encoded) is None


@pytest.mark.parametrize(
    ("encoded", "told"),
    [
        (b"", "an empty file"),
        (b"\xff\xd8\xff", "a JPEG cut short after 3 bytes"),
        (b"\x89PNG\r\n", "a PNG cut short after 6 bytes"),
        (b"GIF89a", "a GIF cut short after 6 bytes"),
        (b"BM123", "a BMP cut short after 5 bytes"),
        (b"RIFF1234WEBPVP8 ", "a WebP cut short"),
        (b"RIFF1234WAVEfmt ", "no WebP"),
        (b"hello", "no image of a known format"),
        (encode(PIXELS, "TIFF"), "a TIFF"),
        (encode(PIXELS, "PPM"), "a PBM, PGM or PPM"),
        (encode(PIXELS, "ICO"), "an icon"),
        (encode(PIXELS, "JPEG2000"), "a JPEG 2000"),
        (b"\0\0\0\x1cftypavif\0\0", "an AVIF"),
        (b"\0\0\0\x18ftypheic\0\0", "a HEIC"),
        (b"\n<!DOCTYPE html><html>", "a page of HTML"),
        (b'<?xml version="1.0"?><svg/>', "an SVG"),
        (_bmp(16, 3, [0xF800, 0x7E0, 0x1F]), "a BMP of 16 bits a pixel"),
        (_bmp(8, 1), "a BMP of run lengths"),
        (_bmp(32, 3, [0xFF, 0xFF00, 0xFF0000]), "a BMP of another order of colours"),
        (b"BM" + b"\0" * 12 + b"\x0c" + b"\0" * 60, "a BMP of OS/2"),
        (_jpeg(8, 8, marker=0xC3), "a lossless JPEG"),
        (_jpeg(8, 8, marker=0xC1, bits=12), "a JPEG of 12 bits"),
        (b"\xff\xd8\xff\xda\0\x02", "without a frame header"),
        (_jpeg(8, 0), "a JPEG of no pixels"),
        (_bmp(24, size=(0, 8)), "a BMP of no pixels"),
    ],
)
def test_what_is_not_decoded_is_refused_by_name(encoded, told):
    reason = image_headers.reason(encoded)
    assert told in reason and "\n" not in reason


@pytest.mark.parametrize(
    "encoded",
    [
        _jpeg(20_000, 20_000),
        _png(20_000, 20_000),
        b"GIF89a" + struct.pack("<HH", 20_000, 20_000),
        _bmp(24, size=(20_000, -20_000)),
        _webp(b"VP8X", 0, 0, 0, 0, *[0x1F, 0x4E, 0] * 2),
    ],
    ids=["jpeg", "png", "gif", "bmp", "webp"],
)
def test_more_pixels_than_memory_is_meant_for_are_refused(encoded):
    assert "20000x20000 pixels; allowed are 178,956,970" in image_headers.reason(
        encoded
    )


def test_the_largest_photos_and_the_smallest_are_read():
    assert image_headers.reason(_png(16_000, 11_000)) is None
    assert image_headers.reason(_png(1, 1)) is None
    assert image_headers.reason(_png(178_956_971, 1)) is not None


def test_all_frames_of_an_animation_count():
    frames = b"ANMF" * 200
    moving = _webp(b"VP8X", 2, 0, 0, 0, 0xFF, 3, 0, 0xFF, 3, 0) + frames
    assert "200 frames of 1024x1024 pixels" in image_headers.reason(moving)
    assert image_headers.reason(moving[: -4 * 100]) is None


def test_damage_of_a_png_is_found_by_its_chunks():
    encoded = encode(PIXELS)
    content = encoded.index(b"IDAT") + 9
    changed = bytes([*encoded[:content], encoded[content] ^ 1, *encoded[content + 1 :]])
    assert (
        image_headers.damage(changed) == "a PNG whose chunk IDAT has a wrong checksum"
    )
    assert image_headers.damage(encoded[:-30]) == "a PNG cut short in its chunk IDAT"
    assert image_headers.damage(encoded[:-12]).startswith("a PNG cut short")
    unknown = encoded.replace(b"IDAT", b"I\n\xffT")
    told = "a PNG whose nameless chunk has a wrong checksum"
    assert image_headers.damage(unknown) == told


def test_a_jpeg_without_its_end_is_cut_short():
    encoded = encode(PIXELS, "JPEG")
    assert (
        image_headers.damage(encoded[:-2]) == "a JPEG cut short: it has no end marker"
    )
