"""Checks a TF1 checkpoint's index before TensorFlow reads it.

TensorFlow ends the process at an entry that it cannot parse, and takes a shape's memory
before it compares the shape with the file. Sources: table/format.cc of LevelDB, from
which TensorFlow has its tables, and tensor_bundle.proto.
"""

import math
import os
from collections.abc import Iterator

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import tensor_bundle_pb2

_FOOTER = 48  # bytes: two handles, padding and a magic number
_MAGIC = bytes.fromhex("57fb808b247547db")
_LONGEST_NAME = 4096  # bytes
_MOST_SHARDS = 100_000  # files have their number in five digits
_PLAIN = 0  # the kind of a block that is not compressed


def check(prefix: str) -> None:
    """Raises ValueError unless every tensor that the index states fits the data.

    Args:
        prefix: path of the checkpoint, whose file PREFIX.index is there.
    """
    with open(f"{prefix}.index", "rb") as file:
        content = file.read()
    try:
        _check_entries(content, prefix)
    except (IndexError, TypeError, DecodeError, UnicodeDecodeError):
        raise ValueError("its index is damaged") from None


def _check_entries(content: bytes, prefix: str) -> None:
    sizes: dict[int, int] = {}
    shards, left = 0, 0
    for name, value in _entries(content):
        if not name:
            shards = tensor_bundle_pb2.BundleHeaderProto.FromString(value).num_shards
            if not 0 < shards < _MOST_SHARDS:
                raise ValueError("its index is damaged")
            sizes = dict(enumerate(_data_sizes(prefix, shards)))
            left = sum(sizes.values())
            continue
        entry = tensor_bundle_pb2.BundleEntryProto.FromString(value)
        # The names of slices are in a code of their own.
        shown = "a slice" if name.startswith(b"\0") else name.decode()[:80]
        _check_entry(entry, shown, sizes)
        left -= entry.size
        if left < 0:
            raise ValueError(f"its index states more values than the data ({shown})")


def _data_sizes(prefix: str, shards: int) -> Iterator[int]:
    for number in range(shards):
        path = f"{prefix}.data-{number:05d}-of-{shards:05d}"
        if not os.path.isfile(path):
            raise ValueError(f"its file {os.path.basename(path)} is missing")
        yield os.path.getsize(path)


def _check_entry(
    entry: tensor_bundle_pb2.BundleEntryProto, name: str, sizes: dict[int, int]
) -> None:
    shape = [dimension.size for dimension in entry.shape.dim]
    dtype = tf.as_dtype(entry.dtype)
    held = sizes.get(entry.shard_id, 0)
    last = entry.offset + entry.size
    if min((entry.offset, entry.size, *shape)) < 0 or last > held:
        raise ValueError(
            f"its index places {name} outside of the data: one was cut off"
        )
    if not dtype.is_numpy_compatible or dtype == tf.string:
        return
    needed = math.prod(shape) * dtype.size
    # A variable in parts has no values of its own, only those of its slices.
    if needed > sum(sizes.values()) or (needed != entry.size and not entry.slices):
        raise ValueError(
            f"its index gives {name} the shape {shape}, not that of its data"
        )


def _entries(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the names and values of a table; nothing of a compressed one."""
    if content[-len(_MAGIC) :] != _MAGIC:
        raise ValueError("its index is no table of TensorFlow's, or was cut off")
    _, _, begin, size, _ = _varints(content, len(content) - _FOOTER, 4)
    behind = 0
    for _, handle in _block(content, begin, size):
        place, length, _ = _varints(handle, 0, 2)
        if place < behind:
            raise IndexError("a block is in another one")
        behind = place + length
        yield from _block(content, place, length)


def _block(content: bytes, begin: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yields names and values of a block; a name shares its beginning with the last."""
    block = content[begin : begin + size]
    if len(block) != size or size < 4:
        raise IndexError("a block is cut off")
    if content[begin + size] != _PLAIN:
        return
    restarts = int.from_bytes(block[-4:], "little")
    place, end, name = 0, size - 4 * (restarts + 1), b""
    while place < end:
        shared, unshared, length, place = _varints(block, place, 3)
        behind = place + unshared + length
        if behind > end or shared > len(name) or unshared > _LONGEST_NAME:
            raise IndexError("an entry is cut off")
        name = name[:shared] + block[place : place + unshared]
        if len(name) > _LONGEST_NAME:
            raise IndexError("a name is too long")
        yield name, block[place + unshared : behind]
        place = behind


def _varints(content: bytes, place: int, count: int) -> tuple[int, ...]:
    """Reads numbers of 7 bits a byte; returns them and where they end."""
    found = []
    for _ in range(count):
        value = shift = 0
        while content[place] & 0x80:
            value |= (content[place] & 0x7F) << shift
            place, shift = place + 1, shift + 7
        found.append(value | content[place] << shift)
        place += 1
    return (*found, place)
