"""Says what a file is that does not hold what its name says, by its first bytes."""

import re
import struct
import zipfile
import zlib
from collections.abc import Collection

from efficientnet_tf import suffixes

_HEAD = 512  # bytes that tell
# Errors that zipfile raises for damaged archives.
DAMAGED_ZIP: tuple[type[Exception], ...] = (
    *(zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError),
    *(EOFError, OSError, OverflowError),
)
_NO_ARCHIVE: tuple[type[Exception], ...] = (*DAMAGED_ZIP, ValueError)

# What a file is, by how it begins; suffixes of files that rightly begin so.
_BEGINNINGS: tuple[tuple[bytes, str, tuple[str, ...]], ...] = (
    (
        rb"\s*<(!doctype html|html|head|body|!--)",
        "an HTML page; download the file again",
        (),
    ),
    (rb"\s*<\?xml", "an XML document; download the file again", ()),
    (
        rb"version https://git-lfs\.github\.com/spec/",
        "a Git LFS pointer to the file; `git lfs pull` fetches the file",
        (),
    ),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file; name it .h5", (".h5", ".hdf5")),
    # Eight bytes are the length of a header, which is below a terabyte.
    (rb".{5}\0{3}\{\"", "a safetensors file; name it .safetensors", (".safetensors",)),
    (rb"PK\x03\x04", "a zip archive", (".keras",)),
    (rb"\x80[\x02-\x05]", "a pickle, as torch.save writes it; name it .pth", ()),
    (rb"\x1f\x8b|\x28\xb5\x2f\xfd|BZh|\xfd7zXZ", "a compressed file; unpack it", ()),
    (rb"Rar!|7z\xbc\xaf", "a compressed archive; unpack it", ()),
    (rb".{257}ustar", "a tar archive; unpack it", ()),
    (rb"\x93NUMPY", "an array of NumPy (.npy)", ()),
    (rb".{4}TFL3", "a LiteRT model, whose weights cannot be taken out", ()),
    (rb"GGUF", "a GGUF file, which holds language models", ()),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF.{4}WEBP|BM.{4}\0{4}", "an image", ()),
    (rb"%PDF-", "a PDF document", ()),
    (rb"\x7fELF|MZ|#!", "a program", ()),
    (
        rb"(all_)?model_checkpoint_paths?: ",
        "the list of a folder's checkpoints; name the folder",
        (),
    ),
    (rb"\s*[{\[]\s*[\"\]}]", "a JSON document", ()),
)
_PART = re.compile(r"(.+)\.(index|meta|data-\d{5}-of-\d{5})", re.DOTALL)


def kind(path: str) -> str | None:
    """Tells what a file is that cannot be read as what its name says.

    Args:
        path: path of a local file.

    Returns:
        A few words, such as "an HTML page", and what helps; None if the file is not
        known, cannot be read, or begins as its name says.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf")
    except OSError:
        return None
    if not head:
        return "an empty file"
    for pattern, words, rightly in _BEGINNINGS:
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            if suffixes.has(path, rightly):
                return None
            return _archive_at(path) if words == "a zip archive" else words
    part = _PART.fullmatch(path)
    if part:
        return f"a part of a TF1 checkpoint; name its prefix, {part[1]}"
    if not head.strip(b"\0"):
        return "a file that begins with zeros, as one whose download was cut off"
    return None


def archive(names: Collection[str]) -> str:
    """Tells what a zip archive is.

    Args:
        names: the names of its entries.

    Returns:
        A few words, and what helps.
    """
    if "model.weights.h5" in names:
        return "a Keras archive; name it .keras"
    if any(name.endswith("/data.pkl") for name in names):
        return "a zip archive of torch.save; name it .pth"
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of NumPy's arrays (.npz)"
    return "a zip archive of other files; unpack it"


def _archive_at(path: str) -> str:
    try:
        with zipfile.ZipFile(path) as opened:
            return archive(opened.namelist())
    except _NO_ARCHIVE:
        return "a damaged zip archive"
