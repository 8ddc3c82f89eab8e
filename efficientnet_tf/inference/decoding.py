"""Names the classes of a model's outputs, as keras.applications does."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from efficientnet_tf import label_sets


def decode_predictions(
    probabilities: Any, top: int = 5, class_names: Sequence[str] | None = None
) -> list[list[tuple]]:
    """Ranks the classes of each image, and names them.

    Args:
        probabilities: float [images, classes].
        top: int, how many classes to return for each image; at most all.
        class_names: names of the classes, such as `Classifier.class_names`; None names
            ImageNet's 1,000.

    Returns:
        For each image a list of (synset, name, probability), most likely first; with
        `class_names`, of (number of the class, name, probability).

    Raises:
        ValueError: if there are not as many names as classes.
    """
    probabilities = np.asarray(probabilities)
    rows = label_sets.imagenet() if class_names is None else enumerate(class_names)
    named = list(rows)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(named):
        raise ValueError(
            f"probabilities of shape {probabilities.shape}: allowed is [images, "
            f"{len(named)}]; class_names names other classes than ImageNet's"
        )
    # Stable, so that of equal ones the first comes first.
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        [(*named[number], values[number]) for number in numbers]
        for numbers, values in zip(ranked, probabilities, strict=True)
    ]
