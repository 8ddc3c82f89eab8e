"""Damages records and image files in ways that are met in practice, by a seed."""

import io
import pathlib
import struct

import numpy as np
import tensorflow as tf
from PIL import Image

from efficientnet_tf.data import tfrecord

CLASSES = 4
FORMATS = ("JPEG", "PNG", "GIF", "BMP")


def picture(label: int, number: int, kind: str = "JPEG") -> bytes:
    """A picture whose grey says its label, and whose bytes no other has."""
    rng = np.random.default_rng(number)
    grey = 32 + 64 * label + rng.integers(-4, 5, (10, 9 + number % 3))
    buffer = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


def example(**features) -> bytes:
    """A serialized record of `encoded`, `label` or others, of the type they have."""
    names = {"encoded": "image/encoded", "label": "image/class/label"}
    made = {}
    for name, value in features.items():
        kinds = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
        feature = tf.train.Feature(**{kinds[type(value)]: {"value": [value]}})
        made[names.get(name, name)] = feature
    return tf.train.Example(features={"feature": made}).SerializeToString()


def write(path: pathlib.Path, records) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def spans(path: pathlib.Path) -> list[tuple[int, int]]:
    """Offset and length of each record, by the format; the last may be cut short."""
    size = path.stat().st_size
    found, content, offset = [], path.read_bytes(), 0
    while offset < size:
        head = content[offset : offset + 8]
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        found.append((offset + 12, length))
        offset += 12 + length + 4
    return found


def flip_byte(path: pathlib.Path, record: int, *, in_length: bool = False) -> None:
    """Changes a byte of a record, or of its length, but no checksum."""
    content = bytearray(path.read_bytes())
    offset, length = spans(path)[record]
    content[offset - 12 if in_length else offset + length // 2] ^= 0x10
    path.write_bytes(content)


def damaged(encoded: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Damages an image's bytes; returns the kind of damage and the result."""
    kind = rng.choice(["truncated", "flipped", "swapped", "zeroed", "empty", "text"])
    content = np.frombuffer(encoded, np.uint8).copy()
    size = len(content)
    if kind == "truncated":
        content = content[: rng.integers(1, size)]
    elif kind == "flipped":
        content[rng.integers(0, size, 1 + size // 50)] ^= np.uint8(
            1 << rng.integers(0, 8)
        )
    elif kind == "swapped":
        half, length = size // 2, max(1, size // 8)
        start = rng.integers(0, half - length)
        first = content[start : start + length].copy()
        content[start : start + length] = content[half : half + length]
        content[half : half + length] = first
    elif kind == "zeroed":
        start = rng.integers(0, size)
        content[start : start + size // 4] = 0
    return str(kind), {"empty": b"", "text": b"no image"}.get(kind, content.tobytes())


def split_of(paths, images: int, name: str = "train") -> tfrecord.Split:
    return tfrecord.Split(name, tuple(map(str, paths)), images)
