"""Reads entries of zip archives of strangers in bounded memory."""

import zipfile

from efficientnet_tf import files
from efficientnet_tf.weights import foreign_files

_BLOCK = 1 << 20
# Python bounds what it unpacks at a time for these alone.
_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read(path: str, name: str, *, most: int) -> bytes:
    """Reads an entry, and checks its CRC-32.

    Args:
        path: path of the archive.
        name: name of the entry.
        most: int, the bytes that it may unpack to; what it states is not believed.

    Raises:
        ValueError: if the entry is not there, or may not be read.
        zipfile.BadZipFile, OSError, EOFError, zlib.error, RuntimeError,
            NotImplementedError: if the archive is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        entry = _entry(archive, name)
        parts, left = [], most
        with archive.open(entry) as stream:
            while part := stream.read(_BLOCK):
                parts.append(part)
                left -= len(part)
                if left < 0:
                    raise ValueError(
                        f"its entry {name} unpacks to more than "
                        f"{files.size_in_words(most)}, too much for an archive of "
                        "this size"
                    )
    return b"".join(parts)


def _entry(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    found = [entry for entry in archive.infolist() if entry.filename == name]
    if not found:
        names = archive.namelist()
        if "model.weights.h5" in names:
            raise ValueError(f"is a Keras archive without its entry {name}")
        raise ValueError(f"is {foreign_files.archive(names)} (no {name} in it)")
    if len(found) > 1:
        raise ValueError(f"has the entry {name} twice")
    if found[0].compress_type not in _KINDS:
        raise ValueError(f"its entry {name} is packed in a way that is not read")
    return found[0]
