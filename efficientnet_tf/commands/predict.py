"""--mode=predict: the likeliest classes of image files."""

import sys
from collections.abc import Sequence
from typing import Any

from efficientnet_tf import files, progress
from efficientnet_tf.data import photos
from efficientnet_tf.inference import classifier, predict, prediction_rows

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
    """
    paths = photos.find(images)
    if output:
        files.check_file(output, label="output=")
    opened = classifier.open_classifier(**origin)
    results = _predict(opened, paths)
    if output:
        ranked = (len(result.get("predictions", ())) for result in results)
        top_k = max(min(_TOP, opened.classes), *ranked)
        files.write_csv(output, prediction_rows.csv_rows(results, top_k=top_k))
    failed = [result for result in results if "error" in result]
    read = [result for result in results if "error" not in result]
    if failed:
        print(
            f"error: {len(failed)} of {len(paths)} images cannot be read",
            file=sys.stderr,
        )
    return {"results": read, "failed": failed}


def _predict(opened: classifier.Classifier, paths: Sequence[str]) -> list[dict]:
    """Predicts, prints each image's line, and returns all results."""
    table = prediction_rows.Table(
        paths, opened.class_names, multi_label=opened.multi_label
    )
    results = []
    with progress.Images(len(paths)) as counted:
        for result in counted.count(predict.predict_each(opened, paths, top_k=_TOP)):
            results.append(result)
            if "error" in result:
                counted.say(result["error"])
            else:
                counted.say(table.line(result), stream=sys.stdout)
    return results
