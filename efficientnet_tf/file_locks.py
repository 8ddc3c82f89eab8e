"""Locks on files of this machine's disks; each ends with the process that holds it."""

import fcntl
import os
from typing import TextIO


def lock(path: str, *, wait: bool = True) -> TextIO:
    """Locks a file until the returned file is closed or the process ends.

    Args:
        path: path of the file; file and folder are made if need be.
        wait: whether to wait until no other process has the lock.

    Returns:
        The open file.

    Raises:
        BlockingIOError: if another process has the lock and `wait` is False.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    file = open(path, "a")  # noqa: SIM115, the lock lasts as long as it is open
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        raise
    return file


def lock_if_possible(number: int) -> bool:
    """Locks an open file or folder, without waiting, where its disk has locks.

    Args:
        number: number of the open file.

    Returns:
        Whether it is locked; False on a disk without locks.

    Raises:
        BlockingIOError: if another process has the lock.
    """
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False  # some network disks have no locks
    return True
