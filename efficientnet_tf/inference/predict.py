"""Top predictions for image files."""

from collections.abc import Sequence

import tensorflow as tf

from efficientnet_tf.inference.classifier import Classifier


def predict_files(
    classifier: Classifier, paths: Sequence[str], *, top_k: int = 5
) -> list[dict]:
    """Classifies image files with evaluation's preparation.

    Args:
        classifier: the model, its preparation and its classes.
        paths: JPEG, PNG, GIF or BMP files.
        top_k: int, how many classes to rank; at most all.

    Returns:
        For each file {"file", "predictions": [{"class", "probability"}, ...]}, most
        likely first. Classes count from 0 after the label offset; those before it are
        -1 and below.

    Raises:
        ValueError: naming the first file that is missing or no image, before the
            model runs.
    """
    probabilities = classifier.predict([classifier.read_image(path) for path in paths])
    ranked = tf.math.top_k(probabilities, k=min(top_k, classifier.classes))
    return [
        {
            "file": path,
            "predictions": [
                {
                    "class": int(label) - classifier.label_offset,
                    "probability": float(probability),
                }
                for label, probability in zip(labels, values, strict=True)
            ],
        }
        for path, labels, values in zip(
            paths, ranked.indices.numpy(), ranked.values.numpy(), strict=True
        )
    ]
