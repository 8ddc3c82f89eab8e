"""Says what a file is that does not hold what its name says, by its first bytes."""

import re

_HEAD = 512  # bytes that tell

# What a file is, by how it begins; suffixes of files that rightly begin so.
_BEGINNINGS: tuple[tuple[bytes, str, tuple[str, ...]], ...] = (
    (rb"\s*<(!doctype html|html|head|body|!--)", "an HTML page; download it again", ()),
    (rb"\s*<\?xml", "an XML document; download it again", ()),
    (
        rb"version https://git-lfs\.github\.com/spec/",
        "a Git LFS pointer to the file; `git lfs pull` fetches the file",
        (),
    ),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file; name it .h5", (".h5", ".hdf5")),
    (rb".{8}\{\"", "a safetensors file; name it .safetensors", (".safetensors",)),
    (rb"PK\x03\x04", "a zip archive", (".keras",)),
    (rb"\x80[\x02-\x05]", "a pickle", ()),
    (rb"\x1f\x8b|\x28\xb5\x2f\xfd|BZh|\xfd7zXZ", "a compressed file; unpack it", ()),
    (rb".{257}ustar", "a tar archive; unpack it", ()),
    (rb"\s*[{\[]\s*[\"\]}]", "a JSON document", ()),
)


def kind(path: str) -> str | None:
    """Tells what a file is that cannot be read as what its name says.

    Args:
        path: path of a local file.

    Returns:
        A few words, such as "an HTML page", and what helps; None if the file is not
        known, or begins as its name says.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf")
    if not head:
        return "an empty file"
    for pattern, words, rightly in _BEGINNINGS:
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            return None if path.endswith(rightly) else words
    return None
