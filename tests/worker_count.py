"""How many processes the suite takes: one a core, if the memory has room for them."""

import os
import pathlib

import joblib

WORKER_BYTES = 3 << 30  # the most that a worker takes, and some room
MEMINFO = pathlib.Path("/proc/meminfo")


def workers() -> int:
    """Returns the number of workers, at least one."""
    return max(1, min(joblib.cpu_count(), available_bytes() // WORKER_BYTES))


def available_bytes() -> int:
    """Returns the memory that processes may take; caches of files give way to them."""
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:  # not Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    (found,) = (line for line in lines if line.startswith("MemAvailable:"))
    return int(found.split()[1]) << 10  # from kB
