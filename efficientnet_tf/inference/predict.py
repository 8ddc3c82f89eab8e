"""The likeliest classes of image files."""

import concurrent.futures
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from efficientnet_tf.hardware import machine
from efficientnet_tf.inference import batch_sizes
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.inference.prediction_rows import LIKELY


def predict_files(
    classifier: Classifier, paths: Sequence[str], *, top_k: int = 5
) -> list[dict]:
    """Classifies image files that can all be read; see `predict_each`.

    Raises:
        ValueError: naming the first file that is missing or no image.
    """
    results = []
    for result in predict_each(classifier, paths, top_k=top_k):
        if "error" in result:
            raise ValueError(result["error"])
        results.append(result)
    return results


def predict_each(
    classifier: Classifier, paths: Sequence[str], *, top_k: int = 5
) -> Iterator[dict]:
    """Classifies image files with evaluation's preparation, a batch at a time.

    Args:
        classifier: the model, its preparation and its classes.
        paths: JPEG, PNG, GIF, BMP or WebP files.
        top_k: int, how many classes to rank; at most all. Where an image may have
            several, all that are likelier than not are ranked.

    Yields:
        For each file {"file", "predictions": [{"class", "name", "probability"}, ...]},
        most likely first. Classes count from 0 after the label offset; those before it
        are -1 and below. For a file that is missing or no image {"file", "error"}, with
        a line that names the file.
    """
    # One for each core: TensorFlow decodes an image on one.
    with concurrent.futures.ThreadPoolExecutor(machine.cores()) as readers:
        for start in range(0, len(paths), batch_sizes.MOST):
            batch = paths[start : start + batch_sizes.MOST]
            read = list(readers.map(lambda path: _read(classifier, path), batch))
            images = [one for one in read if not isinstance(one, str)]
            ranked = iter(_rank(classifier, images, top_k) if images else ())
            for path, one in zip(batch, read, strict=True):
                told = {"error": one} if isinstance(one, str) else next(ranked)
                yield {"file": path} | told


def _read(classifier: Classifier, path: str) -> tf.Tensor | str:
    """Returns an image, or the line that says why it cannot be read."""
    try:
        return classifier.read_image(path)
    except ValueError as error:
        return str(error)


def _rank(
    classifier: Classifier, images: Sequence[tf.Tensor], top_k: int
) -> list[dict]:
    ranked = rank(
        classifier.predict(images),
        classifier.class_names,
        label_offset=classifier.label_offset,
        multi_label=classifier.multi_label,
        top_k=top_k,
    )
    return [{"predictions": predictions} for predictions in ranked]


def rank(
    probabilities: np.ndarray,
    class_names: Sequence[str],
    *,
    label_offset: int = 0,
    multi_label: bool = False,
    top_k: int = 5,
) -> list[list[dict]]:
    """Ranks the classes of images, and names them.

    Args:
        probabilities: float [images, classes].
        class_names: names of the classes.
        label_offset: int, outputs before the first label.
        multi_label: whether an image may have several classes: all that are likelier
            than not are then ranked.
        top_k: int, how many classes to rank; at most all.

    Returns:
        For each image [{"class", "name", "probability"}, ...], see `predict_each`.
    """
    # Stable, so that of equal ones the first comes first.
    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    likely = (probabilities >= LIKELY).sum(1) * multi_label
    return [
        [
            {
                "class": output - label_offset,
                "name": class_names[output],
                "probability": float(values[output]),
            }
            for output in outputs[: max(top_k, count)].tolist()
        ]
        for outputs, values, count in zip(ranked, probabilities, likely, strict=True)
    ]
