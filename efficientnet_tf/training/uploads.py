"""Keeps files that grow during a run, and uploads them to the run's folder."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from typing import Self

import tensorflow as tf

from efficientnet_tf import files

_SECONDS_BETWEEN_SENDS = 60


class Uploads:
    """A local folder whose files can be appended to; use as a context manager.

    For a local run it is the run's folder. In a bucket nothing can be appended: every
    flush of an event file would upload the whole file. For a run in a bucket it is a
    temporary folder, and the writer calls `send` before each checkpoint, so that a kill
    loses only lines of steps that the run takes again.

    Args:
        model_dir: the run's folder, a local path or a URL.
        check_held: raises ValueError if another run has taken the folder over, to
            which nothing is uploaded then; None for a writer that holds no folder.
    """

    def __init__(self, model_dir: str, check_held: Callable[[], None] | None = None):
        self._target = model_dir
        self._check_held = check_held
        self._here = tempfile.TemporaryDirectory() if files.is_url(model_dir) else None
        self._sent: dict[str, tuple[int, int]] = {}
        self._last = time.monotonic()

    @property
    def folder(self) -> str:
        """The local folder to write to."""
        return self._here.name if self._here else self._target

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After a failure of the run, a failing upload must not hide its error.
        expected = (tf.errors.OpError, ValueError) if kind else ()
        with self._here or contextlib.nullcontext(), contextlib.suppress(*expected):
            self.send()

    def fetch(self, name: str) -> None:
        """Downloads a file of the run's folder, if it exists, to append to it."""
        if not self._here:
            return
        try:
            with tf.io.gfile.GFile(f"{self._target}/{name}", "rb") as file:
                content = file.read()
        except tf.errors.NotFoundError:
            return
        path = f"{self.folder}/{name}"
        files.write_whole(path, content)
        self._sent[path] = _state(path)

    def send(self) -> None:
        """Uploads every file that has changed since it was last uploaded."""
        self._last = time.monotonic()
        if not self._here:
            return
        if self._check_held:
            self._check_held()
        for folder, _, names in os.walk(self.folder):
            for path in (f"{folder}/{name}" for name in sorted(names)):
                state = _state(path)
                if self._sent.get(path) != state:
                    name = os.path.relpath(path, self.folder)
                    files.upload(path, f"{self._target}/{name}")
                    self._sent[path] = state

    def send_at_times(self) -> None:
        """Uploads once a minute, for people who watch the run."""
        if time.monotonic() - self._last > _SECONDS_BETWEEN_SENDS:
            self.send()


def _state(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns
