"""Says what a file is that does not hold what its name says, by its first bytes."""

import os
import re

_HEAD = 512  # bytes that tell

_BEGINNINGS = (
    (rb"\s*<(!doctype html|html|head|body|!--)", "an HTML page; its download failed"),
    (rb"\s*<\?xml", "an XML document; its download failed"),
    (
        rb"version https://git-lfs\.github\.com/spec/",
        "a Git LFS pointer to the file; `git lfs pull` fetches the file",
    ),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file; name it .h5"),
    (rb"PK\x03\x04", "a zip archive"),
    (rb"\x80[\x02-\x05]", "a pickle"),
    (rb"\x1f\x8b|\x28\xb5\x2f\xfd|BZh|\xfd7zXZ", "a compressed file; unpack it first"),
    (rb".{257}ustar", "a tar archive; unpack it first"),
    (rb"\s*[{\[]\s*[\"\]}]", "a JSON document"),
)


def kind(path: str) -> str | None:
    """Tells what a file is.

    Args:
        path: path of a local file.

    Returns:
        A few words, such as "an HTML page", and what helps; None if it is not known.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf")
    if not head:
        return "an empty file"
    # A safetensors file begins with the length of its header, an object of JSON.
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length <= os.path.getsize(path):
        return "a safetensors file; name it .safetensors"
    for pattern, words in _BEGINNINGS:
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            return words
    return None
