"""The folder that records are written to: whether it may be, and whether it fits."""

import contextlib
import dataclasses
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator

import tensorflow as tf

from efficientnet_tf import files, label_sets
from efficientnet_tf.data import manifest
from efficientnet_tf.data.writing.plan import Plan

_PARTIAL = re.compile(r"\.(.+)\.[0-9a-f]{32}\.partial")  # see files.replacing


def begin(output_dir: str, plan: Plan) -> manifest.Manifest:
    """Returns the manifest of a folder that is empty, or that the same plan began.

    Args:
        output_dir: local folder or URL; it need not be there.
        plan: what will be written.

    Raises:
        ValueError: if it holds anything else, or was begun with another plan.
    """
    files.check_writable(output_dir, label="output_dir=")
    names = _listed(output_dir)
    wanted = plan.begun()
    if not names:
        return wanted
    found = manifest.read(output_dir) if manifest.FILE in names else None
    ours = {manifest.FILE, label_sets.FILE, *plan.shards}
    for name in names:
        partial = _PARTIAL.fullmatch(name)
        if found is None or (partial[1] if partial else name) not in ours:
            _refuse_other(output_dir, name, found, wanted)
    if found is not None:
        _check_same(output_dir, found, wanted)
    return dataclasses.replace(wanted, shards=found.shards if found else {})


def _listed(folder: str) -> list[str]:
    if not tf.io.gfile.isdir(folder):
        return []
    return sorted(name.rstrip("/") for name in tf.io.gfile.listdir(folder))


def _refuse_other(
    output_dir: str,
    name: str,
    found: manifest.Manifest | None,
    wanted: manifest.Manifest,
) -> None:
    if found is not None:
        _check_same(output_dir, found, wanted)
    raise ValueError(
        f"output_dir={output_dir}: holds {name}, which is not of these records; name a "
        "new folder"
    )


def _check_same(
    output_dir: str, found: manifest.Manifest, wanted: manifest.Manifest
) -> None:
    """Raises ValueError naming the first difference of two manifests."""
    differing = {
        "dataset": (found.dataset, wanted.dataset),
        "seed": (found.seed, wanted.seed),
        "shards": (dict(found.shard_counts), dict(wanted.shard_counts)),
    }
    for name, (before, now) in differing.items():
        if before != now:
            raise ValueError(
                f"output_dir={output_dir}: was begun with {name}={before}, not {now}; "
                "name a new folder, or repeat the command as it was"
            )
    if found.digest != wanted.digest:
        raise ValueError(
            f"output_dir={output_dir}: was begun with other images; a name, a label, a "
            "size or the share for validation has changed, so name a new folder"
        )


def check_space(output_dir: str, sizes: list[int], *, workers: int) -> tuple[int, int]:
    """Compares what will be written with the free disk space.

    Args:
        output_dir: local folder, or URL, to which files go by the temporary folder.
        sizes: bytes of the shards to write.
        workers: int, shards that are written at a time.

    Returns:
        Bytes needed and bytes free on the disk that is written to.

    Raises:
        ValueError: if there is too little space.
    """
    needed, place = sum(sizes), os.path.abspath(output_dir)
    if files.is_url(output_dir):
        needed, place = sum(sorted(sizes)[-workers:]), tempfile.gettempdir()
    while not os.path.exists(place):
        place = os.path.dirname(place)
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ValueError(
            f"output_dir={output_dir}: needs {in_gb(needed)} on the disk of {place}, "
            f"which has {in_gb(free)} free"
        )
    return needed, free


def in_gb(size: int) -> str:
    """Returns a number of bytes in words."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"


@contextlib.contextmanager
def held(output_dir: str) -> Iterator[None]:
    """Keeps other processes from writing to a folder; removes what a kill left there.

    Raises:
        ValueError: if another process is writing to it.
    """
    if files.is_url(output_dir):
        yield
        return
    os.makedirs(output_dir, exist_ok=True)
    folder = os.open(output_dir, os.O_RDONLY)
    try:
        _lock(folder, output_dir)
        for name in filter(_PARTIAL.fullmatch, os.listdir(output_dir)):
            os.remove(os.path.join(output_dir, name))
        yield
    finally:
        os.close(folder)


def _lock(folder: int, output_dir: str) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(
            f"output_dir={output_dir}: another process is writing to it"
        ) from None
    except OSError:
        pass  # some network disks have no locks
