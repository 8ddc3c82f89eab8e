"""The folder that records are written to: whether it may be, and whether it fits."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator

import tensorflow as tf

from efficientnet_tf import file_locks, files, label_sets
from efficientnet_tf.data import manifest
from efficientnet_tf.data.writing.plan import Plan
from efficientnet_tf.files import size_in_words


def begin(output_dir: str, plan: Plan) -> manifest.Manifest:
    """Returns the manifest of a folder that is empty, or that the same plan began.

    Args:
        output_dir: local folder or URL; it need not be there.
        plan: what will be written.

    Raises:
        ValueError: if it holds anything else, or was begun with another plan.
    """
    files.check_writable(output_dir, label="output_dir=")
    wanted = plan.begun()
    ours = {manifest.FILE, label_sets.FILE, *plan.shards}
    names = [name for name in _listed(output_dir) if not _is_partial(name, ours)]
    if not names:
        return wanted
    found = manifest.read(output_dir) if manifest.FILE in names else None
    if found is not None:
        _check_same(output_dir, found, wanted)
    for name in names:
        if found is None or name not in ours:
            raise ValueError(
                f"output_dir={output_dir}: holds {name}, which is not of these "
                "records; name a new folder"
            )
    return dataclasses.replace(wanted, shards=found.shards if found else {})


def _is_partial(name: str, ours: set[str]) -> bool:
    """Whether a kill may have left a file when one of ours was written."""
    match = files.PARTIAL.fullmatch(name)
    return match is not None and match[1] in ours


def _listed(folder: str) -> list[str]:
    if not tf.io.gfile.isdir(folder):
        return []
    return sorted(name.rstrip("/") for name in tf.io.gfile.listdir(folder))


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


def check_space(output_dir: str, sizes: list[int], *, workers: int) -> str:
    """Compares what will be written with the free disk space.

    Args:
        output_dir: local folder, or URL, to which files go by the temporary folder.
        sizes: bytes of the shards to write.
        workers: int, shards that are written at a time.

    Returns:
        What is needed and what is free, in words.

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
            f"output_dir={output_dir}: needs {size_in_words(needed)} on the disk of "
            f"{place}, which has {size_in_words(free)} free"
        )
    needs, has = size_in_words(needed), size_in_words(free)
    return f"{needs} of {has} that are free on the disk of {place}"


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
        # `begin` has refused those that are not ours.
        for name in filter(files.PARTIAL.fullmatch, os.listdir(output_dir)):
            os.remove(os.path.join(output_dir, name))
        yield
    finally:
        os.close(folder)


def _lock(folder: int, output_dir: str) -> None:
    try:
        file_locks.lock_if_possible(folder)
    except BlockingIOError:
        raise ValueError(
            f"output_dir={output_dir}: another process is writing to it"
        ) from None
