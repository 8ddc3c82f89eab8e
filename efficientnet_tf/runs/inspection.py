"""Says what is wrong with each file of a run's folder."""

import functools
import os
import sys
from collections.abc import Callable

import tensorflow as tf

from efficientnet_tf import disk, files, label_sets
from efficientnet_tf.runs import checkpoint_files, metrics, restoring, run_files
from efficientnet_tf.runs.run_dir import CONFIG, DATA, PASSPORT, RunDir, output_names
from efficientnet_tf.weights import passport as passports

_WRITTEN_ANEW = "the training command writes it anew"
_LEFT_OUT = "no curve shows them, and the training command moves them aside"


def warn(run: RunDir) -> None:
    """Prints a line for each damaged file that no computation needs.

    Args:
        run: the run's folder.
    """
    for path, fault in _faults_of_spare_files(run).items():
        if fault:
            print(f"warning       {path}: {fault}", file=sys.stderr, flush=True)


def inspect(run: RunDir) -> dict[str, str | None]:
    """Reads every file that a run consists of, checkpoints with their checksums.

    Args:
        run: the run's folder.

    Returns:
        What is wrong with each file or checkpoint, by its path; None if nothing is.
    """
    found = {}
    for name, read in ((CONFIG, run.read_config), (PASSPORT, run.read_passport)):
        path = f"{run.path}/{name}"
        found[path] = _without_path(path, _fault_of(read))
    found |= _faults_of_spare_files(run)
    for name in ("checkpoints", "best"):
        there = checkpoint_files.read(f"{run.path}/{name}")
        if there.found or there.faults:
            record = f"{run.path}/{name}/{checkpoint_files.RECORD}"
            found[record] = _without_path(record, next(iter(there.faults), None))
        for one in there.found:
            found[one.path] = one.fault or restoring.damage(one.path)
    return found


def _faults_of_spare_files(run: RunDir) -> dict[str, str | None]:
    """Returns what is wrong with the files that no computation needs."""
    is_of_this_version = run_files.is_sealed(f"{run.path}/{CONFIG}")
    is_begun = (
        is_of_this_version and checkpoint_files.read(f"{run.path}/checkpoints").found
    )
    readers: dict[str, Callable[[str], object]] = {
        label_sets.FILE: lambda path: _of_names(run, path),
        DATA: lambda path: run_files.read(path, remedy=_WRITTEN_ANEW),
        metrics.NAME: lambda path: _of_lines(run),
    }
    found = {}
    for name, read in readers.items():
        path = f"{run.path}/{name}"
        if tf.io.gfile.exists(path):
            found[path] = _without_path(path, _fault_of(functools.partial(read, path)))
        elif is_begun:
            found[path] = f"is missing; {_WRITTEN_ANEW}"
    if is_begun and not run.has_passport():
        found[f"{run.path}/{PASSPORT}"] = (
            f"is missing, and with it the names of the classes; {_WRITTEN_ANEW}"
        )
    if is_begun and not checkpoint_files.read(f"{run.path}/best").found:
        found[f"{run.path}/best"] = _fault_of(lambda: _of_best(run))
    return found


def _fault_of(read: Callable[[], object]) -> str | None:
    """Calls a function that reads a file; returns its error, or the text it gives."""
    try:
        found = read()
    except ValueError as error:
        return str(error)
    return found if isinstance(found, str) else None


def _without_path(path: str, fault: str | None) -> str | None:
    return fault and fault.removeprefix(f"{path}: ")


def _of_lines(run: RunDir) -> str | None:
    """Says what is wrong with metrics.jsonl, which is written before a checkpoint."""
    if fault := metrics.damage(run.path):
        return f"{fault}; {_LEFT_OUT}"
    last = max((line["step"] for line in metrics.read(run.path)), default=0)
    saved = checkpoint_files.read(f"{run.path}/checkpoints").first
    if saved is None or last >= checkpoint_files.step_of(saved):
        return None
    return f"ends at step {last}, before {os.path.basename(saved)}; the rest is lost"


def _of_best(run: RunDir) -> str | None:
    """Says that best/ is gone, if an evaluation of held-out images has filled it."""
    lines = metrics.read(run.path)
    had = any(line.get("split") == "minival" for line in lines)
    return "is gone; the newest checkpoint is taken for the best one" if had else None


def _of_names(run: RunDir, path: str) -> str | None:
    """Compares labels.txt, which nothing reads, with the passport."""
    try:
        text, stated = files.read_text(path), run.read_passport()
    except UnicodeDecodeError:
        return f"is damaged (holds bytes that are no text); {_WRITTEN_ANEW}"
    except ValueError:
        return None  # of the passport, which is named by whoever reads it
    except tf.errors.OpError as error:
        told = disk.answer(error) or files.reason(error)
        return f"cannot be read ({told}); {_WRITTEN_ANEW}"
    if stated == passports.Passport(None):
        return None  # no passport is there to compare with
    if text != label_sets.dumps(output_names(stated)):
        return f"differs from {PASSPORT}, whose names count; {_WRITTEN_ANEW}"
    return None
