"""Scores that a run's metrics.jsonl has, so that nobody has to compute them again."""

from typing import Any

import tensorflow as tf

from efficientnet_tf.config import Config
from efficientnet_tf.data import tfrecord
from efficientnet_tf.runs import checkpoint_files, metrics, restoring
from efficientnet_tf.runs.run_dir import RunDir

_OF_THE_LINE = ("kind", "step", "epoch")


def find(run: RunDir, split: tfrecord.Split) -> dict[str, Any] | None:
    """Finds the scores of the weights to serve on all images of a split.

    Args:
        run: the run's folder, with a checkpoint.
        split: the images.

    Returns:
        What `evaluation.evaluate` returns, without the names of the classes; None if no
        line has it, or if the checkpoint is damaged.

    Raises:
        ValueError: if the folder holds no checkpoint, or metrics.jsonl cannot be read.
    """
    path = run.to_serve().first
    if path is None:
        return None
    wanted = {
        "kind": "eval",
        "step": checkpoint_files.step_of(path),
        "split": split.name,
        "examples": split.images,
        "data_dir": None,
    }
    for line in reversed(metrics.read(run.path)):
        fits = all(line.get(name) == value for name, value in wanted.items())
        scores = {n: value for n, value in line.items() if n not in _OF_THE_LINE}
        if fits and None not in scores.values():
            # In place of a damaged checkpoint another one will be served.
            return None if restoring.damage(path) else scores | {"checkpoint": path}
    return None


def other_data(run: RunDir, config: Config) -> dict[str, str]:
    """Returns what a line of metrics says of data that are not the run's own.

    Args:
        run: the run's folder.
        config: configuration of the evaluation.
    """
    own = run.read_config().data_dir
    return {} if config.data_dir in (None, own) else {"data_dir": config.data_dir}


def is_reported(run: RunDir, report: str | None) -> bool:
    """Whether a report was made after a run's last checkpoint.

    Args:
        run: the run's folder.
        report: path of the report; None for none.
    """
    path = run.latest_checkpoint()
    if report is None or path is None or not tf.io.gfile.exists(report):
        return False
    saved, made = (tf.io.gfile.stat(p).mtime_nsec for p in (f"{path}.index", report))
    return made >= saved
