"""A run's folder for one run alone, without what a killed run left half-written."""

import collections
import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator

import tensorflow as tf

from efficientnet_tf import files, label_sets
from efficientnet_tf.hardware import agreement
from efficientnet_tf.runs import checkpoint_files, metrics, run_dir, run_lock

# What TensorFlow renames once it is whole, as `files.replacing` does PARTIAL.
_UNFINISHED = re.compile(r"ckpt-.*\.tempstate\d+|checkpoint\.tmp[0-9a-f]{32}")
# Files of a checkpoint. A save removes the folder _temp last, but for the record.
_OF_CHECKPOINT = re.compile(r"(ckpt-\d+)(\.index|\.data-\d{5}-of-\d{5}|_temp)")
# Files that only a run writes; evaluations and reports may write others beside it.
_OF_THE_RUN = (
    *(run_dir.CONFIG, run_dir.DATA, run_dir.PASSPORT),
    *(label_sets.FILE, metrics.NAME),
)
_LONG_AGO = 3600.0  # seconds; a small file is written in less than one


@contextlib.contextmanager
def alone(model_dir: str, hosts: agreement.Hosts) -> Iterator[Callable[[], None]]:
    """Keeps other runs out of a run's folder, and removes leftovers of killed ones.

    Only the chief of several hosts does so, since it alone writes.

    Args:
        model_dir: the run's folder.
        hosts: the hosts of the run.

    Yields:
        A function that raises ValueError if another run has taken the folder over.

    Raises:
        ValueError: naming the process that trains in the folder, or the lock's file if
            it cannot be written.
    """
    if not hosts.is_chief:
        yield lambda: None
        return
    with run_lock.held(model_dir) as check_held:
        removed = [name for name in _leftovers(model_dir) if _remove(model_dir, name)]
        if removed:
            print(
                f"removed       what a killed run left in {model_dir}: "
                f"{', '.join(removed)}",
                file=sys.stderr,
                flush=True,
            )
        yield check_held


def _leftovers(model_dir: str) -> Iterator[str]:
    """Lists what nothing reads and no living process writes, below the folder."""
    for name in checkpoint_files.entries(model_dir):
        partial = files.PARTIAL.fullmatch(name) or files.TRIAL.fullmatch(name)
        if partial and (
            partial[1] in _OF_THE_RUN or _seconds_old(model_dir, name) > _LONG_AGO
        ):
            yield name
    for folder in ("checkpoints", "best"):
        names = checkpoint_files.entries(f"{model_dir}/{folder}")
        unfinished = _unfinished(names)
        if unfinished:
            # Those that were whole once are damaged, not unfinished.
            unfinished -= set(checkpoint_files.recorded(f"{model_dir}/{folder}"))
        # The folder _temp goes last, because it shows that the others are not whole.
        for name in sorted(names, key=lambda name: name.endswith("_temp")):
            of = _OF_CHECKPOINT.fullmatch(name)
            is_partial = _UNFINISHED.fullmatch(name) or files.PARTIAL.fullmatch(name)
            if is_partial or (of and of[1] in unfinished):
                yield f"{folder}/{name}"


def _unfinished(names: set[str]) -> set[str]:
    """Returns the checkpoints whose save ended before all files were in place."""
    endings = collections.defaultdict(set)
    for match in filter(None, map(_OF_CHECKPOINT.fullmatch, names)):
        endings[match[1]].add(match[2])
    return {n for n, has in endings.items() if "_temp" in has or ".index" not in has}


def _seconds_old(folder: str, name: str) -> float:
    try:
        return time.time() - tf.io.gfile.stat(f"{folder}/{name}").mtime_nsec / 1e9
    except tf.errors.NotFoundError:
        return 0.0  # its process has just finished it


def _remove(model_dir: str, name: str) -> bool:
    try:
        checkpoint_files.remove(f"{model_dir}/{name}")
    except tf.errors.OpError:
        return False  # it harms nothing; what else cannot be written is told
    return True
