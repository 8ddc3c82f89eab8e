"""Local files that appear whole or not at all."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a path to write to, which takes the file's place if all goes well.

    Args:
        path: of the file; its folder is made if need be. Two processes may write it
            at once: the last one's is kept.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    partial = f"{path}.{os.getpid()}.partial"
    try:
        yield partial
        os.replace(partial, path)
    finally:
        pathlib.Path(partial).unlink(missing_ok=True)


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
