"""Reads HDF5 files of strangers: nothing beyond the file, and in bounded memory.

HDF5 lets a file lead to other files (external links, external storage, virtual data
sets), state values that it does not hold, and compress a gigabyte into a megabyte.
"""

import contextlib
import io
import math
import mmap
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import h5py

from efficientnet_tf import files
from efficientnet_tf.weights import checksums, foreign_files, zip_entries
from efficientnet_tf.weights.words import shown

# How many bytes of values a file may hold for each of its own bytes. Weights hardly
# compress (by a tenth), those of a pruned network by its zeros.
_MOST_TIMES = 16
_SLACK = 1 << 20  # bytes, for small files
_GZIP, _SHUFFLE, _FLETCHER32 = 1, 2, 3  # HDF5's numbers of its filters
_HEAP = b"GCOL\x01\0\0\0"
_CHECKSUM = 4  # bytes that Fletcher's checksum adds to a chunk

# Errors that h5py and zipfile raise for damaged files.
_DAMAGED: tuple[type[Exception], ...] = (
    *foreign_files.DAMAGED_ZIP,
    *(KeyError, AttributeError, TypeError, RuntimeError, UnicodeError),
)


class Refused(Exception):
    """What a file holds, and may not hold; names no path."""


class Group(Mapping[str, Any]):
    """A group from which only groups and values of the same file are reached.

    Args:
        group: the group of h5py.
        budget: what its data sets may take.
    """

    def __init__(self, group: h5py.Group, budget: "Budget") -> None:
        self._group = group
        self._budget = budget

    @property
    def attrs(self) -> h5py.AttributeManager:
        """The group's attributes."""
        return self._group.attrs

    @property
    def size(self) -> int:
        """Size of the file on the disk, in bytes."""
        return self._budget.file_bytes

    def __getitem__(self, path: str) -> Any:
        found = self._group
        for name in path.split("/"):
            found = _member(found, name)
        if isinstance(found, h5py.Group):
            return Group(found, self._budget)
        self._budget.take(found)
        return found

    def __contains__(self, path: object) -> bool:
        return path in self._group

    def __iter__(self) -> Iterator[str]:
        return iter(self._group)

    def __len__(self) -> int:
        return len(self._group)


class Budget:
    """The bytes that the values of a file may still take in memory.

    Args:
        file_bytes: int, size of the file on the disk.
    """

    def __init__(self, file_bytes: int) -> None:
        self.file_bytes = file_bytes
        self._left = _most_bytes(file_bytes)

    def take(self, dataset: h5py.Dataset) -> None:
        """Takes the bytes of a data set; raises Refused if it is none to read."""
        name, size = shown(dataset.name), dataset.dtype.itemsize
        if dataset.external or dataset.is_virtual:
            raise Refused(f"the values of {name} lie in other files, which is not read")
        if dataset.shape is None:
            raise Refused(f"{name} holds no values")
        held = math.prod(dataset.shape) * size
        if held and not dataset.id.get_storage_size():
            raise Refused(f"states the shape {dataset.shape} of {name}, but no values")
        chunk = math.prod(dataset.chunks or ()) * size
        self._left -= max(held, chunk)
        if self._left < 0:
            raise Refused(
                f"its values, with {name} of shape {dataset.shape}, take more than "
                f"{_MOST_TIMES} times the file's {files.size_in_words(self.file_bytes)}"
            )
        if dataset.chunks:
            _check_filters(dataset)
            _check_chunks(dataset, chunk, self.file_bytes)


def _most_bytes(file_bytes: int) -> int:
    """Returns how many bytes may be made of a file of so many bytes."""
    return _MOST_TIMES * file_bytes + _SLACK


@contextlib.contextmanager
def opened(path: str) -> Iterator[Group]:
    """Opens an HDF5 file, or the one in a `.keras` archive.

    Args:
        path: path of a local file.

    Raises:
        ValueError: naming what the file is instead, what is damaged, or what it holds
            that is not read. A ValueError within the `with` block gets the path in
            front of its words; another error there is taken for damage too.
        PermissionError, MemoryError: if the file may not be read, or does not fit.
    """
    size = os.path.getsize(path)
    try:
        content: str | io.BytesIO = path
        if zipfile.is_zipfile(path):
            entry = zip_entries.read(path, "model.weights.h5", most=_most_bytes(size))
            _check_heaps(entry)
            content = io.BytesIO(entry)
        elif size:
            checksums.check_bytes(path)
            with _mapped(path) as mapped:
                _check_heaps(mapped)
        with h5py.File(content, "r") as file:
            yield Group(file, Budget(size))
    except Refused as error:
        raise ValueError(f"{path}: {error}") from None
    except (PermissionError, MemoryError):
        raise  # `reading` says that the file may not be read, or does not fit
    except _DAMAGED as error:
        kind = foreign_files.kind(path)
        found = f"is {kind}" if kind else f"is no Keras weights file ({shown(error)})"
        raise ValueError(f"{path}: {found}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


@contextlib.contextmanager
def _mapped(path: str) -> Iterator[mmap.mmap]:
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        yield content


def _check_heaps(content: bytes | mmap.mmap) -> None:
    """Raises Refused at a heap of texts that HDF5's library would read for ever.

    The library steps from object to object by their sizes, and a size of 0 never
    advances. Source: H5HGcache.c.
    """
    begin = content.find(_HEAP)
    while begin >= 0:
        size = int.from_bytes(content[begin + 8 : begin + 16], "little")
        place, end = begin + 16, min(begin + size, len(content))
        while place + 16 <= end:
            index = int.from_bytes(content[place : place + 2], "little")
            length = int.from_bytes(content[place + 8 : place + 16], "little")
            # Object 0 is what is free, and its size is that of all of it.
            step = 16 + (length + 7) // 8 * 8 if index else length
            if not step:
                raise Refused("is damaged: an object of its heap has no size")
            place += step
        begin = content.find(_HEAP, begin + len(_HEAP))


def _member(group: Any, name: str) -> Any:
    """Returns a group or data set that lies in a group itself."""
    if not isinstance(group, h5py.Group):
        raise KeyError(f"{group.name} is no group, so it holds no {name}")
    link = group.get(name, getlink=True)
    place = shown(f"{group.name.rstrip('/')}/{name}")
    if isinstance(link, h5py.ExternalLink):
        raise Refused(f"{place} is a link to another file, which is not followed")
    if isinstance(link, h5py.SoftLink):
        raise Refused(f"{place} is a link to {shown(link.path)}, which is not followed")
    found = group[name]
    if not isinstance(found, (h5py.Group, h5py.Dataset)):
        raise KeyError(f"{place} is neither group nor values")
    return found


def _check_filters(dataset: h5py.Dataset) -> None:
    """Raises Refused at filters that may make more bytes than a chunk has."""
    properties = dataset.id.get_create_plist()
    filters = [
        properties.get_filter(number) for number in range(properties.get_nfilters())
    ]
    numbers = [found[0] for found in filters]
    others = [f for f in filters if f[0] not in (_GZIP, _SHUFFLE, _FLETCHER32)]
    if others or numbers.count(_GZIP) > 1:
        name = others[0][3].decode(errors="replace") if others else "gzip, twice"
        raise Refused(
            f"{shown(dataset.name)} is compressed by {shown(name)}, which is not read; "
            "h5repack -f NONE writes it plainly"
        )


def _check_chunks(dataset: h5py.Dataset, size: int, file_bytes: int) -> None:
    """Raises Refused unless each chunk unpacks to a chunk's size."""
    name = shown(dataset.name)
    for number in range(dataset.id.get_num_chunks()):
        chunk = dataset.id.get_chunk_info(number)
        if chunk.size > file_bytes:
            raise Refused(f"a chunk of {name} is larger than the file")
        if dataset.compression is None:
            continue
        _, packed = dataset.id.read_direct_chunk(chunk.chunk_offset)
        most = size + _CHECKSUM
        if len(zlib.decompressobj().decompress(packed, most + 1)) > most:
            raise Refused(f"a chunk of {name} unpacks to more than it holds")
