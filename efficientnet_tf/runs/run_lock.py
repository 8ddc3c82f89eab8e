"""Keeps a second run out of a run's folder.

On a disk the kernel locks the file `.lock` and frees it when the process ends, however
it ends. Buckets and some network disks have no such locks, and others know only those
of one machine. So the file also says who holds it, and its time is renewed. A holder
on another machine counts as gone when its time is too old, one on this machine when
its process has ended.

In a bucket no request both looks and writes. Two runs that begin within a second may
both begin; the first of them ends at its next renewal, without saving.
"""

import abc
import contextlib
import math
import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self, TextIO

from efficientnet_tf import disk, file_locks, files
from efficientnet_tf.runs import holder as holders
from efficientnet_tf.runs.holder import Holder

NAME = ".lock"
RENEWED = 30.0  # seconds between renewals
SILENT = 120.0  # seconds without one after which a holder elsewhere counts as gone
_REMOVED = 10.0  # seconds to wait, at the end, for a renewal that has begun


@contextlib.contextmanager
def held(model_dir: str) -> Iterator[Callable[[], None]]:
    """Holds a run's folder within a `with` block; makes the folder if need be.

    A folder that was made for the block and is empty at its end is removed.

    Args:
        model_dir: local folder or gs:// URL.

    Yields:
        A function that raises ValueError where another run has taken the folder over.

    Raises:
        ValueError: naming the process that holds it.
    """
    if files.is_url(model_dir):
        with _renewed(_Object(model_dir)) as check:
            yield check
        return
    with _made(model_dir), _File(model_dir) as file, _renewed(file) as check:
        yield check


def holder(model_dir: str) -> Holder | None:
    """Returns who holds a folder in a bucket; None where nobody does.

    Args:
        model_dir: gs:// URL.
    """
    return _Object(model_dir).living()


class _Lock(abc.ABC):
    """The file or object that says who holds a folder."""

    has_kernel_lock = False

    def __init__(self, model_dir: str):
        self.model_dir = model_dir
        self.path = f"{model_dir}/{NAME}"

    @abc.abstractmethod
    def read(self) -> Holder | None: ...

    @abc.abstractmethod
    def write(self, ours: Holder) -> None: ...

    @abc.abstractmethod
    def renew(self, ours: Holder) -> None: ...

    @abc.abstractmethod
    def remove(self) -> None: ...

    @abc.abstractmethod
    def seconds_silent(self) -> float:
        """The time since the last renewal, if the clocks of both machines agree."""

    def living(self) -> Holder | None:
        """Returns the holder, unless it is known or taken to be gone."""
        found = self.read()
        if found is None or found.has_ended:
            return None
        if self.has_kernel_lock and found.shares_kernel:
            return None  # else the kernel would have refused us
        return found if self.seconds_silent() < SILENT else None

    def refusal(self, found: Holder | None) -> ValueError:
        who = str(found) if found else "another process"
        text = f"model_dir={self.model_dir}: {who} trains there; wait for it or stop it"
        if found and not found.shares_kernel:
            text += (
                f" (if it is gone, this is known {SILENT:.0f} seconds after its last "
                f"sign in {self.path})"
            )
        return ValueError(f"{text}, or name another model_dir")


class _Object(_Lock):
    """An object in a bucket."""

    def read(self) -> Holder | None:
        return holders.loads(files.read_text(self.path))

    def write(self, ours: Holder) -> None:
        files.write_whole(self.path, ours.dumps())

    renew = write

    def remove(self) -> None:
        import tensorflow as tf

        tf.io.gfile.remove(self.path)

    def seconds_silent(self) -> float:
        import tensorflow as tf

        try:
            renewed = tf.io.gfile.stat(self.path).mtime_nsec / 1e9
        except tf.errors.NotFoundError:
            return math.inf
        return time.time() - renewed


class _File(_Lock):
    """A file on a disk, which the kernel locks if it can; use as a context manager."""

    def __enter__(self) -> Self:
        while True:
            self._file = self._opened()
            # The holder before us may have removed it when we had opened it.
            if self._is_there():
                return self
            self._file.close()

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _opened(self) -> TextIO:
        try:
            file = open(self.path, "a+", errors="replace")  # noqa: SIM115
        except OSError as error:
            raise ValueError(
                f"{self.path}: cannot be opened ({error.strerror}); delete it if no "
                "run is in its folder"
            ) from None
        try:
            self.has_kernel_lock = file_locks.lock_if_possible(file.fileno())
        except BlockingIOError:
            file.close()
            raise self.refusal(self.read()) from None
        return file

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False

    def read(self) -> Holder | None:
        try:
            return holders.loads(pathlib.Path(self.path).read_text(errors="replace"))
        except OSError:
            return None

    def write(self, ours: Holder) -> None:
        with disk.writing(self.path):
            self._file.truncate(0)
            self._file.write(ours.dumps())
            self._file.flush()

    def renew(self, ours: Holder) -> None:
        os.utime(self.path)

    def remove(self) -> None:
        if self._is_there():
            os.unlink(self.path)

    def seconds_silent(self) -> float:
        return time.time() - os.fstat(self._file.fileno()).st_mtime


@contextlib.contextmanager
def _renewed(lock: _Lock) -> Iterator[Callable[[], None]]:
    """Takes a lock that nobody else holds, and renews it; see `held`."""
    if found := lock.living():
        raise lock.refusal(found)
    ours = Holder.new()
    lock.write(ours)
    renewal = _Renewal(lock, ours)
    renewal.check()  # another run may have begun at the same moment
    renewal.start()
    try:
        yield renewal.check_known
    finally:
        renewal.end()


class _Renewal:
    """Renews a lock from a thread, because steps and evaluations may take long."""

    def __init__(self, lock: _Lock, ours: Holder):
        self._lock, self._ours = lock, ours
        self._other: Holder | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def check(self) -> None:
        """Reads who holds the folder; raises ValueError if that is another run."""
        found = self._lock.read()
        if found not in (None, self._ours):
            self._other = found  # for good: it may have ended after its last step
        self.check_known()

    def check_known(self) -> None:
        """Raises ValueError if another run is known to have taken the folder over."""
        if self._other:
            raise ValueError(
                f"model_dir={self._lock.model_dir}: {self._other} has taken it over; "
                "this run ends without saving"
            )

    def _run(self) -> None:
        while not self._ended.wait(RENEWED):
            # A bucket may not answer for a while; the next renewal asks again.
            with contextlib.suppress(Exception):
                self.check()
                self._lock.renew(self._ours)

    def end(self) -> None:
        """Frees the folder; a lock that cannot be removed is known to be over."""
        self._ended.set()
        self._thread.join(_REMOVED)
        with contextlib.suppress(Exception):
            if self._lock.read() == self._ours:
                self._lock.remove()


@contextlib.contextmanager
def _made(folder: str) -> Iterator[None]:
    """Makes a folder and those above it; removes those that are empty at the end."""
    made, there = [], os.path.abspath(folder)
    while not os.path.exists(there):
        made.append(there)
        there = os.path.dirname(there)
    os.makedirs(folder, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for path in made:
                os.rmdir(path)
