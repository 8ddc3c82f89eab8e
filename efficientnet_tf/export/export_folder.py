"""The folder of an export, which is replaced whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Callable

import tensorflow as tf

from efficientnet_tf import disk, files

PREPARATION = "preparation.json"
# TensorFlow writes both; nothing else writes the fingerprint.
_FINGERPRINT, _GRAPH = "fingerprint.pb", "saved_model.pb"
# A folder with one of them is an export. A run's folder has none.
_MARKS = {_GRAPH, _FINGERPRINT, PREPARATION}

Fill = Callable[[str], None]  # writes all files into a local folder


def check_target(export_dir: str) -> None:
    """Raises ValueError for a folder that cannot be written or holds other files.

    Args:
        export_dir: local folder or gs:// URL.
    """
    files.check_writable(export_dir, label="export_dir=")
    if not (files.is_url(export_dir) or _is_mounted(export_dir)):
        # The new export is written beside the old one.
        beside = os.path.dirname(export_dir.rstrip("/")) or "."
        files.check_writable(beside, label=f"export_dir={export_dir}: ")
    holds = tf.io.gfile.listdir(export_dir) if tf.io.gfile.exists(export_dir) else []
    if _is_mounted(export_dir):
        holds = [name for name in holds if name != "lost+found"]
    if holds and not _MARKS & set(holds):
        raise ValueError(
            f"export_dir={export_dir} holds {sorted(holds)[0]} and no SavedModel; "
            "allowed is a new folder, an empty one, or one to replace an export in"
        )


def write(export_dir: str, fill: Fill) -> None:
    """Writes an export, which replaces the one that is there.

    Args:
        export_dir: local folder or gs:// URL. It is replaced once the new one is
            complete. A bucket, or a folder at which a file system is mounted, takes one
            file after the other: meanwhile it holds no graph, so that no reader takes
            it for a SavedModel.
        fill: writes all files into the folder that it is given. If it fails,
            `export_dir` is as it was.
    """
    if files.is_url(export_dir) or _is_mounted(export_dir):
        with tempfile.TemporaryDirectory() as folder:
            fill(folder)
            with disk.writing(export_dir):
                _upload(folder, export_dir)
        return
    partial = f"{export_dir}.partial"
    with disk.writing(export_dir):
        _remove(partial)
        try:
            tf.io.gfile.makedirs(partial)
            fill(partial)
            _replace(partial, export_dir)
        except BaseException:
            with contextlib.suppress(tf.errors.OpError):
                _remove(partial)
            raise


def _is_mounted(folder: str) -> bool:
    """Whether a file system is mounted at a folder, which then cannot be renamed."""
    return os.path.ismount(folder)


def _upload(source: str, target: str) -> None:
    """Replaces an export: its graph is deleted first, and the new one comes last.

    The fingerprint stays all the while, to mark a folder that may be replaced.
    """
    names = [
        os.path.relpath(f"{folder}/{name}", source)
        for folder, _, found in os.walk(source)
        for name in found
    ]
    patterns = [f"{target}/*", f"{target}/*/*"]
    old = {path.removeprefix(f"{target}/") for path in tf.io.gfile.glob(patterns)}
    if _GRAPH in old:
        tf.io.gfile.remove(f"{target}/{_GRAPH}")
    names.sort(key=lambda name: (name == _GRAPH, name != _FINGERPRINT, name))
    for name in names:
        if not files.is_url(target):
            os.makedirs(os.path.dirname(f"{target}/{name}"), exist_ok=True)
        files.upload(f"{source}/{name}", f"{target}/{name}")
    for name in old - set(names):
        if not tf.io.gfile.isdir(f"{target}/{name}"):
            tf.io.gfile.remove(f"{target}/{name}")


def _replace(source: str, target: str) -> None:
    """Puts one folder in another's place, and deletes the old one last."""
    previous = f"{target}.previous"
    if tf.io.gfile.exists(target):
        _remove(previous)
        tf.io.gfile.rename(target, previous)
    tf.io.gfile.rename(source, target)
    _remove(previous)


def _remove(folder: str) -> None:
    if tf.io.gfile.exists(folder):
        tf.io.gfile.rmtree(folder)
