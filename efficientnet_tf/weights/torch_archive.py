"""Opens the two containers of PyTorch's files: a zip archive, and the older format.

Either holds a pickle, and beside it the numbers of each storage that the pickle names.
Source: torch/serialization.py.
"""

import contextlib
import dataclasses
import io
import os
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from efficientnet_tf.weights import foreign_files, torch_pickle
from efficientnet_tf.weights.words import shown

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_OLD = 0x1950A86A20F9469CFC6C  # the first pickle of a file of the older format
_OLD_PROTOCOL = 1001

_PICKLE_BYTES = 1 << 26  # 64 MiB, for names and shapes alone


@dataclasses.dataclass(frozen=True)
class Archive:
    """An open file.

    Args:
        content: what was saved, as `torch_pickle.load` returns it.
        read: returns the bytes of a storage; raises ValueError if they are not there.
        byte_order: "<" or ">", as NumPy writes it.
        size: int, the file's size in bytes.
        checked: "CRC-32" if the archive has one of each storage; None: nothing checks
            the values.
    """

    content: Any
    read: Callable[[torch_pickle.Storage], bytes]
    byte_order: str
    size: int
    checked: str | None = None


@contextlib.contextmanager
def opened(path: str) -> Iterator[Archive]:
    """Opens a file that `torch.save` wrote; runs nothing of it.

    Raises:
        ValueError: naming what the file is instead, or what is damaged.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(4)
        file.seek(0)
        if head == _ZIP:
            with _zip_file(file) as archive:
                yield _zipped(archive, size)
        elif head[:1] == _PICKLE:
            yield _old(file, size)
        else:
            kind = foreign_files.kind(path) or "no file that torch.save writes"
            raise ValueError(f"is {kind}")


@contextlib.contextmanager
def _zip_file(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except foreign_files.DAMAGED_ZIP as error:
        raise ValueError(f"is a damaged zip archive ({error})") from None


def _zipped(archive: zipfile.ZipFile, size: int) -> Archive:
    entries = _entries(archive, size)
    root = _root(entries)

    def read(storage: torch_pickle.Storage) -> bytes:
        entry = entries.get(f"{root}/data/{storage.key}")
        if entry is None:
            raise ValueError(_missing(storage))
        if entry.file_size != _bytes(storage):
            raise ValueError(
                f"storage {shown(storage.key)} has {entry.file_size:,} "
                f"bytes, not {_bytes(storage):,}"
            )
        return archive.read(entry)

    pickled = entries[f"{root}/data.pkl"]
    if pickled.file_size > _PICKLE_BYTES:
        raise ValueError(f"its pickle has {pickled.file_size:,} bytes")
    content = torch_pickle.load(io.BytesIO(archive.read(pickled))).value
    # Releases before 2.1 wrote no byte order.
    order = entries.get(f"{root}/byteorder")
    byte_order = archive.read(order) if order else b"little"
    if byte_order not in (b"little", b"big"):
        raise ValueError("its byte order is neither little nor big")
    checked = all(hasattr(entry, "CRC") for entry in entries.values())
    return Archive(
        content=content,
        read=read,
        byte_order="<" if byte_order == b"little" else ">",
        size=size,
        checked="CRC-32" if checked else None,
    )


def _entries(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Returns the archive's entries by name, if each is stored once and as it is."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        name = shown(entry.filename)
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"its entry {name} is compressed; torch.save stores")
        if entry.flag_bits & 1 or entry.file_size != entry.compress_size:
            raise ValueError(f"its entry {name} is encrypted or has two sizes")
        if entry.filename in entries:
            raise ValueError(f"has the entry {name} twice")
        if not entry.CRC and entry.file_size:
            del entry.CRC  # torch.serialization.set_crc32_options(False) writes 0
        entries[entry.filename] = entry
    if sum(entry.file_size for entry in entries.values()) > size:
        raise ValueError("is a damaged zip archive (its entries are larger than it)")
    return entries


def _root(entries: dict[str, zipfile.ZipInfo]) -> str:
    """Finds the folder in the archive that holds the pickle."""
    roots = [name.split("/")[0] for name in entries if name.endswith("/data.pkl")]
    if not roots:
        kind = foreign_files.archive(entries)
        raise ValueError(f"is {kind} (no data.pkl in it)")
    if len(roots) > 1 or f"{roots[0]}/data.pkl" not in entries:
        raise ValueError("is a zip archive, but not of torch.save (its data.pkl)")
    (root,) = roots
    if any(n.startswith((f"{root}/code/", f"{root}/constants.pkl")) for n in entries):
        raise ValueError(
            "is a TorchScript archive, which holds a program; save the weights alone: "
            "torch.save(torch.jit.load(FILE).state_dict(), OTHER)"
        )
    return root


def _old(file: BinaryIO, size: int) -> Archive:
    stream = io.BytesIO(file.read(min(size, _PICKLE_BYTES)))
    for expected in (_OLD, _OLD_PROTOCOL):
        if torch_pickle.load(stream).value != expected:
            raise ValueError("is a pickle, but not of torch.save")
    torch_pickle.load(stream)  # the writing machine; numbers are always little-endian
    pickled = torch_pickle.load(stream)
    keys = torch_pickle.load(stream).value
    places = _places(file, keys, pickled.storages, begin=stream.tell(), size=size)

    def read(storage: torch_pickle.Storage) -> bytes:
        if storage.key not in places:
            raise ValueError(_missing(storage))
        file.seek(places[storage.key])
        return file.read(_bytes(storage))

    return Archive(pickled.value, read, "<", size)


def _places(
    file: BinaryIO,
    keys: Any,
    storages: dict[str, torch_pickle.Storage],
    *,
    begin: int,
    size: int,
) -> dict[str, int]:
    """Returns where the numbers of each storage begin in a file of the older format.

    Behind the pickles, each storage is its number of values, an int64, and the values.
    """
    places = {}
    for key in keys if isinstance(keys, list) else ():
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or key in places:
            raise ValueError(f"storage {shown(key)} belongs to no tensor")
        file.seek(begin)
        count = int.from_bytes(file.read(8), "little", signed=True)
        places[key] = begin + 8
        begin += 8 + _bytes(storage)
        if begin > size:
            raise ValueError(f"ends before the end of storage {key}: it was cut off")
        if count != storage.count:
            raise ValueError(
                f"storage {key} has {count:,} values, not {storage.count:,}"
            )
    return places


def _bytes(storage: torch_pickle.Storage) -> int:
    return storage.count * np.dtype(torch_pickle.DTYPES[storage.dtype]).itemsize


def _missing(storage: torch_pickle.Storage) -> str:
    return f"its storage {shown(storage.key)} is missing"
