"""The likeliest classes of image files."""

import concurrent.futures
import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from efficientnet_tf.inference.classifier import BATCH, Classifier
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
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as readers:
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
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
    probabilities = classifier.predict(images)
    likely = np.zeros(len(images), int)
    if classifier.multi_label:
        likely = (probabilities >= LIKELY).sum(1)
    k = min(max(top_k, likely.max()), classifier.classes)
    ranked = tf.math.top_k(probabilities, k=k)
    names, offset = classifier.class_names, classifier.label_offset
    return [
        {
            "predictions": [
                {
                    "class": int(output) - offset,
                    "name": names[output],
                    "probability": float(probability),
                }
                for output, probability in zip(
                    outputs[: max(top_k, count)], values, strict=False
                )
            ]
        }
        for outputs, values, count in zip(
            ranked.indices.numpy(), ranked.values.numpy(), likely, strict=True
        )
    ]
