"""Digests in the files that this package writes, beside that of the weights.

A passport holds the digest of the weights (`passport.checked`), but may be damaged
itself. An HDF5 file has one more digest behind its end, of all its bytes: HDF5's
library may never return from reading a damaged file. The library drops that digest
whenever it changes the file.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

PASSPORT = "passport_sha256"  # of the passport and of the names of the classes
_END = b"\nSHA-256 of the bytes before this line, by efficientnet_tf: "
_BLOCK = 1 << 20
_HEX = 64  # digits of a SHA-256


def of_passport(text: str, class_names: Sequence[str] | None = None) -> str:
    """Returns the SHA-256, in hex, of a passport.

    Args:
        text: the passport's JSON.
        class_names: names of the classes, where the file holds them beside it.
    """
    whole = "\n".join((text, *(class_names or ())))
    return hashlib.sha256(whole.encode(errors="surrogatepass")).hexdigest()


def append(path: str) -> None:
    """Writes the digest of a file's bytes behind them."""
    with open(path, "r+b") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0, os.SEEK_END)
        file.write(_END + digest.encode() + b"\n")


def check_bytes(path: str) -> None:
    """Raises ValueError if a file ends in a digest that is not that of its bytes.

    The error names no path.
    """
    whole = os.path.getsize(path) - len(_END) - _HEX - 1
    if whole < 0:
        return
    with open(path, "rb") as file:
        file.seek(whole)
        if file.read(len(_END)) != _END:
            return
        stated = file.read(_HEX)
        file.seek(0)
        digest, left = hashlib.sha256(), whole
        while left:
            block = file.read(min(left, _BLOCK))
            digest.update(block)
            left -= len(block)
    if stated != digest.hexdigest().encode():
        raise ValueError(
            "its bytes do not match the SHA-256 at its end: the file is damaged; fetch "
            "or write it again"
        )


def check(
    stated: Mapping[str, Any],
    passport: str | None,
    *,
    class_names: Sequence[str] | None = None,
) -> None:
    """Checks the digest that a file states of its passport.

    Args:
        stated: what the file states beside its weights: attributes or metadata.
        passport: the passport's JSON; None if the file has none.
        class_names: names of the classes, where the file holds them beside it.

    Raises:
        ValueError: if the passport was changed; names no path.
    """
    if PASSPORT not in stated:
        return  # earlier versions wrote none
    expected = stated[PASSPORT]
    digest = of_passport(passport or "", class_names)
    if not isinstance(expected, str) or expected != digest:
        raise ValueError(
            "its passport does not match its SHA-256: the file is damaged or was "
            "changed; fetch or write it again"
        )
