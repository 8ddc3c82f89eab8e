"""What the first bytes of an image file say: format, size, and why it is refused.

The bytes decide, never the file's name. No TensorFlow; `decoding` decodes.
"""

import dataclasses
import re
import struct
import zlib
from collections.abc import Callable, Iterator

ALLOWED = "allowed are JPEG, PNG, GIF, BMP and WebP"
# Pillow refuses images above this number too. It is 0.5 GB of RGB.
MOST_PIXELS = 178_956_970
SERVED_PIXELS = 64_000_000  # the default for images of strangers: 0.2 GB of RGB
# How files begin that are no images we decode, and the names to refuse them by.
_OTHERS = {
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"II+\0": "a TIFF",
    b"MM\0+": "a TIFF",
    b"\0\0\0\x0cjP  ": "a JPEG 2000",
    b"\xff\x4f\xff\x51": "a JPEG 2000",
    b"\0\0\0\x0cJXL ": "a JPEG XL",
    b"\xff\x0a": "a JPEG XL",
    b"8BPS": "a Photoshop file",
    b"\0\0\1\0": "an icon (ICO)",
    b"%PDF": "a PDF",
    b"PK\3\4": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    **{b"P%d" % kind: "a PBM, PGM or PPM" for kind in range(1, 7)},
}
_HEIF = {
    **dict.fromkeys((b"avif", b"avis"), "an AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"mif1", b"msf1"), "a HEIC"),
}
_MARKER = re.compile(rb"(?s)\xff+([\x01-\xfe])")  # of a segment of JPEG
BMP_BITS = (1, 4, 8, 24, 32)
BMP_MASKS = (0xFF0000, 0xFF00, 0xFF)  # the masks of red, green and blue


@dataclasses.dataclass(frozen=True)
class Header:
    """The format of an image, "JPEG", "PNG", "GIF", "BMP" or "WebP", and its size."""

    format: str
    height: int  # in pixels, as stored: before EXIF turns the image
    width: int


def reason(encoded: bytes) -> str | None:
    """Says why an image would not be decoded, judged by its header alone.

    Args:
        encoded: the bytes of the file.

    Returns:
        Words for parentheses, such as "a TIFF; allowed are ..."; None if nothing in the
        header speaks against decoding, though what follows may be damaged.
    """
    try:
        read(encoded)
    except ValueError as error:
        return str(error)
    return None


def read(encoded: bytes) -> Header:
    """Reads the header of an image; raises ValueError with the words of `reason`."""
    if not encoded:
        raise ValueError("an empty file")
    magic = next(filter(encoded.startswith, _FORMATS), None)
    if magic is None:
        raise ValueError(f"{_other(encoded)}; {ALLOWED}")
    name, parse = _FORMATS[magic]
    try:
        header = Header(name, *parse(encoded))
    except (struct.error, IndexError):
        raise ValueError(f"a {name} cut short after {len(encoded)} bytes") from None
    pixels = header.height * header.width
    if pixels <= 0:
        raise ValueError(f"a {name} of no pixels")
    if pixels > MOST_PIXELS:
        raise ValueError(_too_many(header.height, header.width))
    return header


def _too_many(height: int, width: int) -> str:
    return f"{width}x{height} pixels; allowed are {MOST_PIXELS:,} in all"


def damage(encoded: bytes) -> str | None:
    """Says where an image of a known format is cut short or damaged, where that shows.

    A PNG has checksums, and a JPEG an end marker. It reads all bytes but decodes none.

    Args:
        encoded: all bytes of the file.
    """
    if encoded.startswith(b"\x89PNG"):
        return _png_damage(encoded)
    if encoded.startswith(b"\xff\xd8") and b"\xff\xd9" not in encoded[-1024:]:
        return "a JPEG cut short: it has no end marker"
    return None


def colour_block(encoded: bytes) -> int:
    """Returns the width of the blocks of a JPEG that has fewer colours than pixels.

    Args:
        encoded: the bytes of the file.

    Returns:
        Pixels, 16 where colour is halved across; 0 where each column has colours of its
        own, as in other formats.
    """
    if read(encoded).format != "JPEG":
        return 0
    position = _jpeg_frame(encoded)
    # For each component its number, sampling across and down, and its table.
    sampling = encoded[position + 9 : position + 8 + 3 * encoded[position + 7] : 3]
    across = {value >> 4 for value in sampling}
    return 8 * max(across) if len(across) > 1 else 0


def _jpeg(encoded: bytes) -> tuple[int, int]:
    position = _jpeg_frame(encoded)
    bits, height, width = struct.unpack_from(">BHH", encoded, position + 2)
    if bits != 8:
        raise ValueError(f"a JPEG of {bits} bits a sample; allowed are 8")
    return height, width


def _jpeg_frame(encoded: bytes) -> int:
    """Finds the frame header, which follows any number of other segments."""
    position = 2
    while True:
        found = _MARKER.search(encoded, position)  # libjpeg skips other bytes too
        if found is None:
            raise IndexError
        marker, position = found[1][0], found.end()
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            break
        if marker in (0xD9, 0xDA):
            raise ValueError("a JPEG without a frame header before its pixels")
        if not 0xD0 <= marker <= 0xD8:  # those have no length
            position += struct.unpack_from(">H", encoded, position)[0]
    if marker & 3 == 3:
        raise ValueError("a lossless JPEG; allowed are baseline and progressive")
    return position


def _png(encoded: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", encoded, 16)
    if encoded[12:16] != b"IHDR":
        raise ValueError("a PNG that does not begin with its header")
    return height, width


def _gif(encoded: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", encoded, 6)
    rows, columns = next(gif_frames(encoded), (0, 0))
    if rows * columns > MOST_PIXELS:  # TensorFlow decodes it before its canvas cuts it
        raise ValueError("a GIF whose first frame has " + _too_many(rows, columns))
    return height, width


def gif_frames(encoded: bytes) -> Iterator[tuple[int, int]]:
    """Yields height and width of the frames, as far as the file can be followed.

    Source: GIF89a specification, sections 18 to 26.
    """
    try:
        position = 13 + _gif_colours(encoded[10])
        while True:
            kind = encoded[position]
            if kind == 0x2C:
                width, height = struct.unpack_from("<HH", encoded, position + 5)
                yield height, width
                position += 11 + _gif_colours(encoded[position + 9])
            elif kind == 0x21:
                position += 2
            else:
                return
            position = _gif_next(encoded, position)
    except (IndexError, struct.error):
        return  # cut short, which the decoder finds too


def _gif_colours(flags: int) -> int:
    """Returns the bytes of a table of colours."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_next(encoded: bytes, position: int) -> int:
    """Returns the place behind a chain of blocks, each with its length before it."""
    while length := encoded[position]:
        position += 1 + length
    return position + 1


def _bmp(encoded: bytes) -> tuple[int, int]:
    size, width, height = struct.unpack_from("<Iii", encoded, 14)
    if size < 40:
        raise ValueError("a BMP of OS/2; allowed is that of Windows")
    bits, compression = struct.unpack_from("<HI", encoded, 28)
    # Compression 3 is none: it gives masks. Pillow and TensorFlow know no other order.
    plain = compression == 0 and bits in BMP_BITS
    masked = compression == 3 and bits == 32
    if masked and struct.unpack_from("<III", encoded, 54) != BMP_MASKS:
        raise ValueError("a BMP of another order of colours than blue, green, red")
    if not (plain or masked):
        kind = {1: "run lengths", 2: "run lengths"}.get(compression)
        of = kind or f"{bits} bits a pixel (compression {compression})"
        raise ValueError(f"a BMP of {of}; allowed are 1, 4, 8, 24 and 32 plain bits")
    return abs(height), width


def _webp(encoded: bytes) -> tuple[int, int]:
    kind = encoded[12:16]
    if encoded[8:12] != b"WEBP":
        raise ValueError(f"a RIFF file, but no WebP; {ALLOWED}")
    if kind == b"VP8X":
        low, width, high, height = struct.unpack_from("<HBHB", encoded, 24)
        width, height = low + (width << 16) + 1, high + (height << 16) + 1
        frames = encoded.count(b"ANMF") if encoded[20] & 2 else 1
        if frames * height * width > MOST_PIXELS:  # TensorFlow decodes all frames
            each = f"{frames} frames of " if frames > 1 else ""
            raise ValueError(each + _too_many(height, width))
        return height, width
    if kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", encoded, 21)
        return ((packed >> 14) & 0x3FFF) + 1, (packed & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", encoded, 26)
    return height & 0x3FFF, width & 0x3FFF


_FORMATS: dict[bytes, tuple[str, Callable[[bytes], tuple[int, int]]]] = {
    b"\xff\xd8\xff": ("JPEG", _jpeg),
    b"\x89PNG": ("PNG", _png),
    b"GIF8": ("GIF", _gif),
    b"BM": ("BMP", _bmp),
    b"RIFF": ("WebP", _webp),
}


def _other(encoded: bytes) -> str:
    """Names what is no image that can be decoded."""
    if encoded[4:8] == b"ftyp":
        return _HEIF.get(encoded[8:12], "a video or HEIC")
    for magic, name in _OTHERS.items():
        if encoded.startswith(magic):
            return name
    start = encoded[:256].lstrip().lower()
    if start.startswith((b"<svg", b"<?xml")):
        return "an SVG or XML file"
    if start.startswith((b"<!doctype", b"<html")):
        return "a page of HTML"
    return "no image of a known format"


def _png_damage(encoded: bytes) -> str | None:
    """Follows a PNG's chunks: length, name, content, and the checksum of the latter."""
    name = b""
    for name, content, checksum in _png_chunks(encoded):
        if checksum is None:
            return f"a PNG cut short in its {_called(name)}"
        if zlib.crc32(content, zlib.crc32(name)) != checksum:
            return f"a PNG whose {_called(name)} has a wrong checksum"
    return None if name == b"IEND" else "a PNG cut short: it has no end chunk"


def _called(name: bytes) -> str:
    return f"chunk {name.decode()}" if name.isalpha() else "nameless chunk"


def _png_chunks(encoded: bytes) -> Iterator[tuple[bytes, bytes, int | None]]:
    """Yields name, content and checksum; None in place of one that is cut off."""
    position = 8
    while position < len(encoded):
        name = encoded[position + 4 : position + 8]
        length = int.from_bytes(encoded[position : position + 4])
        end = position + 8 + length
        whole = end + 4 <= len(encoded)
        checksum = int.from_bytes(encoded[end : end + 4]) if whole else None
        yield name, encoded[position + 8 : end], checksum
        if name == b"IEND":
            return
        position = end + 4
