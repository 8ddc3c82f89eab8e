"""The process that holds a run's folder, as its lock names it."""

import dataclasses
import datetime
import functools
import json
import os
import socket
import uuid
from typing import Self

import psutil

_SAME_START = 2.0  # seconds: a clock that is set moves when a process began

_MOST_PROCESSES = 1 << 31  # more than a kernel numbers


@dataclasses.dataclass(frozen=True)
class Holder:
    """One holding of a folder by one process.

    Args:
        host: name of the process's machine, for people.
        kernel: what distinguishes running kernels: machines and their starts.
        pid_namespace: what distinguishes containers, which number processes anew.
        pid: int, number of the process in it.
        began: float, when the process began, in seconds since 1970.
        key: what distinguishes this holding from all others.
    """

    host: str
    kernel: str
    pid_namespace: str
    pid: int
    began: float
    key: str

    @classmethod
    def new(cls) -> Self:
        """Returns a new holding by this process."""
        began = psutil.Process().create_time()
        return cls(*_here(), os.getpid(), began, uuid.uuid4().hex)

    @property
    def shares_kernel(self) -> bool:
        """Whether the process is or was on this machine, since its last start."""
        return self.kernel == _here()[1]

    @property
    def has_ended(self) -> bool:
        """Whether it is known that the process has ended; else it may live."""
        if (self.kernel, self.pid_namespace) != _here()[1:]:
            return False
        try:
            found = psutil.Process(self.pid)
            is_other = abs(found.create_time() - self.began) > _SAME_START
            return is_other or found.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def __str__(self) -> str:
        began = datetime.datetime.fromtimestamp(self.began).strftime("%Y-%m-%d %H:%M")
        return f"process {self.pid} on {self.host}, begun at {began},"

    def dumps(self) -> str:
        """Returns the contents of a lock."""
        return json.dumps(dataclasses.asdict(self)) + "\n"


def loads(text: str | None) -> Holder | None:
    """Reads what a lock contains; None where it names nobody, or is cut short."""
    try:
        found = Holder(**json.loads(text or ""))
        datetime.datetime.fromtimestamp(found.began)
        is_number = isinstance(found.pid, int) and 0 < found.pid < _MOST_PROCESSES
        return found if is_number else None
    except (ValueError, TypeError, OverflowError, OSError):
        return None


@functools.cache
def _here() -> tuple[str, str, str]:
    """Returns this host's name, its kernel and this process's container."""
    host = socket.gethostname()
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            kernel = file.read().strip()
        return host, kernel, os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux
        return host, f"{host} {psutil.boot_time():.0f}", ""
