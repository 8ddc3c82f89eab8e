"""Local files that appear whole or not at all."""

import contextlib
import os
import pathlib
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
