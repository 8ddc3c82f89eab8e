"""Files that appear whole or not at all, on local disks and in buckets.

A local disk appends and renames; an object store does neither: a file under a URL
becomes an object when it is closed, and a rename copies it. So a local file is written
under another name and renamed; an object is written to a local file and uploaded once.
"""

import contextlib
import csv
import errno
import io
import os
import pathlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping

from efficientnet_tf import disk

# What a kill leaves of a file, whose name is the group, and of a test of a folder,
# whose group is empty.
PARTIAL = re.compile(r"\.(.+)\.[0-9a-f]{32}\.partial")
TRIAL = re.compile(r"\.trial-()[\w-]{8,36}")

_BLOCK = 1 << 20
# What TensorFlow puts around the words of an error: the graph's nodes and our sources.
_AROUND = re.compile(
    r"(?s)\AGraph execution error:.*(?:\n\n|<stack traces unavailable>\n)"
    r"|\[\[{{.*?}}\]\]|\n\t \[\[\S*?\]\]|{{.*?}}|\[Op:\w+\]( name:)?"
)
_BUCKET = "[a-z0-9][a-z0-9._-]+[a-z0-9]"


def is_url(path: str) -> bool:
    """Whether a path is a URL, which TensorFlow's file systems read."""
    return "://" in path


def check_name(path: str, *, label: str = "") -> None:
    """Raises ValueError for a path that is neither on this machine nor in a bucket.

    Args:
        path: local, or gs://BUCKET/FOLDER.
        label: words before the path in the error, such as "--model_dir=".
    """
    scheme, separator, _ = path.partition("://")
    if separator and scheme != "gs":
        raise ValueError(
            f"{label}{path}: allowed are paths of this machine and gs://BUCKET/...; "
            f"{scheme}:// is not read"
        )
    if path.startswith("gs:") and not re.fullmatch(f"gs://{_BUCKET}(/[^/]+)*/?", path):
        raise ValueError(
            f"{label}{path}: is not a valid path in a bucket; allowed is "
            "gs://BUCKET/FOLDER, with single slashes and a bucket of three or more "
            "small letters or digits"
        )


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a local path to write to; that file replaces `path` if nothing fails.

    Args:
        path: path or URL of the file; its folder is made if need be. Two processes
            may write the file at once; the content of the last one is kept.

    Raises:
        disk.WriteError: naming `path` where the disk is full or cannot be written.
    """
    folder, name = os.path.split(path)
    if is_url(path):
        with tempfile.TemporaryDirectory() as here:
            yield f"{here}/{name}"
            upload(f"{here}/{name}", path)
        return
    # Patterns such as train-* do not match this name, and no other process uses it;
    # PARTIAL does.
    partial = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.partial")
    with disk.writing(path):
        os.makedirs(folder or ".", exist_ok=True)
        try:
            yield partial
            os.replace(partial, path)
        finally:
            with contextlib.suppress(OSError):  # the first error tells more
                pathlib.Path(partial).unlink(missing_ok=True)


def write_whole(path: str, content: str | bytes) -> None:
    """Writes a file, local or under a URL, in one piece.

    Args:
        path: path or URL of the file.
        content: text or bytes.
    """
    if isinstance(content, str):
        # A file's name that is no UTF-8 gets its bytes back.
        content = content.encode(errors="surrogateescape")
    with replacing(path) as partial:
        pathlib.Path(partial).write_bytes(content)


def read_text(path: str) -> str | None:
    """Reads a file, local or under a URL; None if it is not there."""
    import tensorflow as tf

    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as file:
        return file.read()


def upload(source: str, target: str) -> None:
    """Copies a local file to a URL, in two requests whatever its size.

    Args:
        source: path of a local file.
        target: URL of the object.
    """
    import tensorflow as tf

    with open(source, "rb") as read, tf.io.gfile.GFile(target, "wb") as write:
        write.write(b"")  # else an empty file would not be uploaded
        shutil.copyfileobj(read, write, _BLOCK)


def write_csv(path: str, rows: Iterable[Mapping]) -> None:
    """Writes rows with the same keys, local or under a URL, in one piece.

    Args:
        path: path or URL of the file.
        rows: dictionaries, one at least; the first one's keys are the columns.
    """
    text = io.StringIO()
    rows = iter(rows)
    first = next(rows)
    writer = csv.DictWriter(text, first, lineterminator="\n")
    writer.writeheader()
    writer.writerow(first)
    writer.writerows(rows)
    write_whole(path, text.getvalue())


def cache_dir(name: str) -> str:
    """Returns this package's cache folder for one kind of files; does not make it."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "efficientnet_tf", name)


def check_cache(name: str) -> None:
    """Raises ValueError unless a cache folder can be written; does not make it.

    Args:
        name: the kind of files, see `cache_dir`.
    """
    try:
        check_writable(cache_dir(name))
    except ValueError as error:
        told = f"cache of {name}: {error}; set XDG_CACHE_HOME to another folder"
        raise ValueError(told) from None


def make_folder(path: str, *, label: str = "") -> None:
    """Makes a folder and those above it; raises ValueError if it cannot be written.

    Args:
        path: path of the folder.
        label: words before the path in the error, such as "--dump=".
    """
    try:
        os.makedirs(path, exist_ok=True)
        _write_trial(path)
    except OSError as error:
        raise ValueError(
            f"{label}{path}: is not a writable folder ({error.strerror})"
        ) from None


def check_writable(path: str, *, label: str = "") -> None:
    """Raises ValueError unless a folder can be written; does not make it.

    It tries to write, because neither a bucket's roles nor the modes of /proc tell.

    Args:
        path: path or URL of the folder, which need not be there yet.
        label: words before the path in the error, such as "model_dir=".
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
        _write_trial(there)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        raise ValueError(f"{label}{path}: {there} is not a writable folder") from None
    except OSError as error:
        raise ValueError(
            f"{label}{path}: cannot be written: {disk.answer(error) or reason(error)}"
        ) from None


def check_file(path: str, *, label: str = "") -> None:
    """Raises ValueError unless a file can be written; does not make it.

    Args:
        path: path or URL of the file, which may be there already.
        label: words before the path in the error, such as "--output=".
    """
    if os.path.isdir(path):
        raise ValueError(f"{label}{path}: is a folder; name a file")
    try:
        if os.path.isfile(path):
            open(path, "ab").close()
    except OSError as error:
        # A file that nobody may write to can be replaced; an immutable one cannot.
        if error.errno != errno.EACCES:
            told = disk.answer(error) or reason(error)
            raise ValueError(f"{label}{path}: cannot be written: {told}") from None
    is_there = is_url(path) or os.path.lexists(path)
    folder = os.path.dirname(path) or "."
    check_writable(folder if is_there else path, label=label)


def _write_trial(folder: str) -> None:
    """Writes and removes a small file: a full disk makes files, which stay empty."""
    with tempfile.NamedTemporaryFile(prefix=".trial-", dir=folder, buffering=0) as file:
        file.write(bytes(4096))
        os.fsync(file.fileno())  # a quota may be counted only now


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
    """Says in one line why a file could not be read or written.

    Args:
        error: an OSError or an error of TensorFlow.
    """
    told = getattr(error, "strerror", None) or getattr(error, "message", None)
    words = _AROUND.sub("", told or str(error))
    words = re.sub(r"(?s)assertion failed: \[(.*?)\]\s*$", r"\1", words)
    return why_refused(error) or " ".join(words.split())


def why_unread(path: str, error: Exception) -> str:
    """Says in one line, with the path, why a file could not be read.

    Args:
        path: the file, which a bucket's answer may name itself.
        error: an error of TensorFlow.
    """
    return why_refused(error) or f"{path} cannot be read ({reason(error)})"


def size_in_words(size: int) -> str:
    """Returns a number of bytes in words."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def why_refused(error: BaseException) -> str | None:
    """Says in one line why a bucket's service refused a request.

    Args:
        error: the error that TensorFlow raised.

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
