"""Bytes of TFRecord files, as they are or compressed by GZIP: counting and finding."""

import contextlib
import gzip
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from efficientnet_tf import files

# Length (8 bytes), its checksum (4), the record, its checksum (4).
_HEADER, _AROUND = 8, 8 + 4 + 4
_GZIP = b"\x1f\x8b\x08"  # RFC 1952, sections 2.3.1: two bytes of identity and deflate
_READ_AHEAD = 64


def zipped(paths: Sequence[str]) -> frozenset[str]:
    """Returns the files that are compressed by GZIP, by their contents.

    Args:
        paths: files of one split. In a bucket the first one decides for all: opening
            each would read 64 MB of it.
    """
    if paths and files.is_url(paths[0]):
        return frozenset(paths if _is_zipped(paths[0]) else ())
    return frozenset(filter(_is_zipped, paths))


def _is_zipped(path: str) -> bool:
    with tf.io.gfile.GFile(path, "rb") as file:
        return _begins_zipped(file.read(_READ_AHEAD))


def _begins_zipped(head: bytes) -> bool:
    """Whether bytes begin a compressed file, and no record of a length like that."""
    if not head.startswith(_GZIP):
        return False
    try:
        zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress(head)
    except zlib.error:
        return False
    return True


@contextlib.contextmanager
def opened(path: str) -> Iterator[Any]:
    """Opens a file of records to read and seek what its records are, uncompressed.

    Args:
        path: path or URL of the file.

    Yields:
        A binary file.

    Raises:
        ValueError: if what is read cannot be uncompressed.
    """
    with tf.io.gfile.GFile(path, "rb") as file:
        is_zipped = _begins_zipped(file.read(_READ_AHEAD))
        file.seek(0)
        if not is_zipped:
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as uncompressed:
                yield uncompressed
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"{path} is damaged: GZIP cannot read it to its end ({error})"
            ) from None


def count_records(path: str, *, tolerant: bool = False) -> int:
    """Counts records; see `find_records`.

    Args:
        path: path or URL of a TFRecord file.
        tolerant: whether a record that is cut short counts too, and is no error.
    """
    if tolerant:
        found, is_cut = find_whole_records(path)
        return len(found) + is_cut
    return sum(1 for _ in find_records(path))


def find_whole_records(path: str) -> tuple[list[tuple[int, int]], bool]:
    """Finds the records of a file, and whether another one behind is cut short."""
    found = []
    try:
        for span in find_records(path):
            found.append(span)
    except ValueError:
        return found, True
    return found, False


def find_records(path: str) -> Iterator[tuple[int, int]]:
    """Finds a file's records by hopping from header to header.

    A bucket's client reads blocks of 64 MB, so it reads the whole file in few requests.

    Args:
        path: path or URL of a TFRecord file.

    Yields:
        Offset and length of each record, in bytes of what `opened` reads.

    Raises:
        ValueError: if the file ends in the middle of a record.
    """
    size = tf.io.gfile.stat(path).length
    count = offset = 0
    with opened(path) as file:
        is_zipped = isinstance(file, gzip.GzipFile)
        while is_zipped or offset < size:
            file.seek(offset)
            header = file.read(_HEADER)
            if is_zipped and not header:
                return
            count += 1
            is_whole = len(header) == _HEADER
            length = struct.unpack("<Q", header)[0] if is_whole else 0
            end = offset + _AROUND + length
            if not is_whole or not _reaches(file, end, None if is_zipped else size):
                raise ValueError(
                    f"{path} is damaged: record {count} (from 1) is cut short"
                )
            yield offset + _HEADER + 4, length
            offset = end


def _reaches(file: Any, end: int, size: int | None) -> bool:
    """Whether a file has so many bytes; those of a compressed one have to be read."""
    if size is not None:
        return end <= size
    file.seek(end - 1)
    return len(file.read(1)) == 1
