"""Refuses uploads that would take too much memory or time to decode.

Nothing is decoded here: headers and frames are read. The limits are for files of
strangers, so they are stricter than those of `data.image_headers`.
"""

from efficientnet_tf.data import image_headers

# A progressive JPEG has about ten. Each one takes a pass over all pixels, and a hundred
# bytes are enough for one.
MOST_SCANS = 100


def reason(encoded: bytes, max_pixels: int) -> str | None:
    """Says why an upload is not decoded.

    Args:
        encoded: the bytes of the file.
        max_pixels: int, most pixels of an image, those of all its frames together.

    Returns:
        Words for a line, such as "a TIFF; allowed are ..."; None if it may be decoded.
    """
    try:
        header = image_headers.read(encoded)
    except ValueError as error:
        return str(error)
    pixels = header.height * header.width
    if header.format == "GIF":
        pixels = max(pixels, _gif_pixels(encoded))
    if header.format == "WebP":
        pixels *= max(1, encoded.count(b"ANMF"))
    if pixels > max_pixels:
        return _too_many(header, pixels, max_pixels)
    scans = encoded.count(b"\xff\xda") if header.format == "JPEG" else 0
    if scans > MOST_SCANS:
        return f"a JPEG of {scans} scans; allowed are {MOST_SCANS}"
    return None


def _too_many(header: image_headers.Header, pixels: int, most: int) -> str:
    size = f"{header.width}x{header.height} pixels"
    in_all = f", {pixels:,} in all frames" * (pixels > header.width * header.height)
    return f"a {header.format} of {size}{in_all}; allowed are {most:,} in all"


def _gif_pixels(encoded: bytes) -> int:
    """Counts the pixels of all frames, though only the first is decoded: see above."""
    return sum(height * width for height, width in image_headers.gif_frames(encoded))
