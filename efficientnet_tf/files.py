"""Files that appear whole or not at all, on local disks and in buckets.

A local disk appends and renames; an object store does neither: what is written under a
URL becomes an object when it is closed, and a rename copies. So a local file is written
beside its place, and an object is written here and uploaded once.
"""

import contextlib
import os
import pathlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator

_BLOCK = 1 << 20
_BUCKET = "[a-z0-9][a-z0-9._-]+[a-z0-9]"


def is_url(path: str) -> bool:
    """Whether TensorFlow's file systems are to be asked, and not the local one."""
    return "://" in path


def check_name(path: str, *, label: str = "") -> None:
    """Refuses what is neither a place on this machine nor one in a bucket.

    Args:
        path: local, or gs://BUCKET/FOLDER.
        label: before the path in the error, such as "--model_dir=".

    Raises:
        ValueError: naming the path.
    """
    scheme, separator, _ = path.partition("://")
    if separator and scheme != "gs":
        raise ValueError(
            f"{label}{path}: allowed are paths of this machine and gs://BUCKET/...; "
            f"{scheme}:// is not read"
        )
    if path.startswith("gs:") and not re.fullmatch(f"gs://{_BUCKET}(/[^/]+)*/?", path):
        raise ValueError(
            f"{label}{path}: is no place in a bucket; allowed is gs://BUCKET/FOLDER, "
            "with single slashes and a bucket of three or more small letters or digits"
        )


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a local path to write to, which takes the file's place if all goes well.

    Args:
        path: of the file, local or a URL; its folder is made if need be. Two processes
            may write it at once: the last one's is kept.
    """
    folder, name = os.path.split(path)
    if is_url(path):
        with tempfile.TemporaryDirectory() as here:
            yield f"{here}/{name}"
            upload(f"{here}/{name}", path)
        return
    os.makedirs(folder or ".", exist_ok=True)
    # Hidden from patterns such as train-*, and no other process's.
    partial = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        pathlib.Path(partial).unlink(missing_ok=True)


def write_whole(path: str, content: str | bytes) -> None:
    """Writes a file, local or under a URL, in one piece."""
    content = content.encode() if isinstance(content, str) else content
    with replacing(path) as partial:
        pathlib.Path(partial).write_bytes(content)


def upload(source: str, target: str) -> None:
    """Copies a local file to a URL: two requests of a bucket, however large it is."""
    import tensorflow as tf

    with open(source, "rb") as read, tf.io.gfile.GFile(target, "wb") as write:
        write.write(b"")  # an empty file is one too
        shutil.copyfileobj(read, write, _BLOCK)


def make_folder(path: str, *, label: str = "") -> None:
    """Makes a folder to write to, and those above it, or finds it there.

    Args:
        path: of the folder.
        label: before the path in the error, such as "--dump=".

    Raises:
        ValueError: naming the path, if it cannot be made or written.
    """
    try:
        os.makedirs(path, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise ValueError(
            f"{label}{path}: is no folder that can be written ({error.strerror})"
        ) from None


def check_writable(path: str, *, label: str = "") -> None:
    """Finds out whether a folder can be written, before the work; makes none.

    Only trying tells: neither the roles of a bucket nor the modes of /proc do.

    Args:
        path: of the folder, local or a URL, there or to be made.
        label: before the path in the error, such as "model_dir=".

    Raises:
        ValueError: naming the path.
    """
    check_name(path, label=label)
    if is_url(path):
        _try_writing(path, label)
        return
    there = os.path.abspath(path)
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(there)  # refuses a name that is too long
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        tempfile.TemporaryFile(dir=there).close()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        raise ValueError(
            f"{label}{path}: {there} is no folder that can be written"
        ) from None
    except OSError as error:
        raise ValueError(f"{label}{path}: cannot be written: {reason(error)}") from None


def _try_writing(url: str, label: str) -> None:
    import tensorflow as tf

    trial = f"{url.rstrip('/')}/.trial-{uuid.uuid4().hex}"
    try:
        with tf.io.gfile.GFile(trial, "w") as file:
            file.write("whether this folder can be written")
        tf.io.gfile.remove(trial)
    except tf.errors.OpError as error:
        raise ValueError(f"{label}{url}: cannot be written: {reason(error)}") from None


def reason(error: Exception) -> str:
    """Why a file could not be read or written, in one line.

    Args:
        error: an OSError, or what TensorFlow raised.
    """
    told = getattr(error, "strerror", None) or getattr(error, "message", str(error))
    return why_refused(error) or " ".join(told.split())


def why_refused(error: BaseException) -> str | None:
    """What it means that a bucket's service failed for good, in one line.

    Args:
        error: what TensorFlow raised.

    Returns:
        The object and the reason; None if the error is no answer of such a service.
    """
    text = " ".join(str(error).split())
    missing = re.search(r"The specified path (gs://\S+) was not found", text)
    if missing:
        return f"{missing[1]}: is not there"
    if "Error executing an HTTP request" not in text:
        return None
    place = re.search(r"gs://[^\s\[]+", text)
    status = re.search(r"HTTP response code (\d+)", text)
    said = re.search(r'"message": "([^"]*)"|<Message>(.*?)</Message>', text)
    curl = re.search(r"libcurl code \d+ meaning '(.*?)',", text)
    code = status[1] if status else ""
    detail = next(filter(None, said.groups())) if said else curl[1] if curl else ""
    answer = ": ".join(filter(None, (code and f"HTTP {code}", detail)))
    where = place[0].rstrip(":,/") if place else "the bucket"
    return f"{where}: {_meaning(code, detail)} ({answer})"


def _meaning(code: str, detail: str) -> str:
    if code in ("401", "403"):
        return (
            "access is denied; the account, a VM's own or that of `gcloud auth "
            "application-default login`, needs the role Storage Object Admin there"
        )
    if code == "404":
        return "is not there; check the bucket's name"
    if not code and re.search("resolve|connect", detail):
        return "the storage service cannot be reached; check this machine's network"
    return "the storage service keeps failing; try again later"
