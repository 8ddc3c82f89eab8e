"""--mode=predict: the likeliest classes of image files."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from efficientnet_tf import files
from efficientnet_tf.commands import Incomplete
from efficientnet_tf.data import photos
from efficientnet_tf.inference import classifier, predict, prediction_rows, progress

_TOP = 5


def run(*, images: Sequence[str], output: str | None = None, **origin: Any) -> dict:
    """Predicts the classes of images, and prints a line for each.

    Args:
        images: files, folders and patterns, see `photos.find`.
        output: path of a CSV file to write, see `prediction_rows.csv_rows`.
        **origin: the keyword arguments of `classifier.open_classifier`.

    Returns:
        "results" of the images, see `predict.predict_each`, and "failed", the "file"
        and "error" of those that cannot be read.

    Raises:
        Incomplete: if some images cannot be read; the others are predicted.
    """
    paths = photos.find(images)
    if output:
        _check_output(output)
    opened = classifier.open_classifier(**origin)
    results = _predict(opened, paths)
    if output:
        top_k = min(_TOP, opened.classes)
        files.write_csv(output, prediction_rows.csv_rows(results, top_k=top_k))
        print(f"{output}: {len(results)} images", file=sys.stderr)
    failed = [result for result in results if "error" in result]
    read = [result for result in results if "error" not in result]
    told = {"results": read, "failed": failed}
    if failed:
        raise Incomplete(f"{len(failed)} of {len(paths)} images cannot be read", told)
    return told


def _predict(opened: classifier.Classifier, paths: Sequence[str]) -> list[dict]:
    """Predicts, prints each image's line, and returns all results."""
    table = prediction_rows.Table(paths, opened.class_names)
    results = []
    with progress.Progress(len(paths)) as counted:
        for result in counted.count(predict.predict_each(opened, paths, top_k=_TOP)):
            results.append(result)
            if "error" in result:
                counted.say(result["error"])
            else:
                counted.say(table.line(result), stream=sys.stdout)
    return results


def _check_output(path: str) -> None:
    """Raises ValueError for a file that cannot be written."""
    if os.path.isdir(path):
        raise ValueError(f"output={path}: is a folder; name a file")
    files.check_writable(os.path.dirname(path) or ".", label=f"output={path}: ")
