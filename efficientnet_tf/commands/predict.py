"""--mode=predict: the likeliest classes of image files."""

from collections.abc import Sequence
from typing import Any

from efficientnet_tf.inference import classifier, predict


def run(*, images: Sequence[str], **origin: Any) -> dict:
    """Predicts the classes of images, and prints them.

    Args:
        images: JPEG, PNG, GIF or BMP files.
        **origin: the keyword arguments of `classifier.open_classifier`.

    Returns:
        "results", see `predict.predict_files`.
    """
    results = predict.predict_files(classifier.open_classifier(**origin), images)
    for result in results:
        print(result["file"])
        for prediction in result["predictions"]:
            print(f"  {prediction['probability']:7.2%}  class {prediction['class']}")
    return {"results": results}
