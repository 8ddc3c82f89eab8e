"""Table 8: writes predictions for ImageNet's test images in its server's format.

There is one line for each image, in the order of the file names: its five most likely
classes, best first, as numbers from 1 (ILSVRC 2012 development kit, readme.txt,
section 3).
"""

from collections.abc import Sequence

from efficientnet_tf import files
from efficientnet_tf.inference import predict
from efficientnet_tf.inference.classifier import Classifier

_BATCH = 64


def write(
    path: str,
    photos: Sequence[str],
    *,
    model: str,
    weights: str | None,
    class_ids: str | None = None,
) -> None:
    """Writes the predictions file.

    Args:
        path: path of the file.
        photos: paths of the image files.
        model: name of the variant.
        weights: path of a weights file, or name of a release.
        class_ids: path of a text file with the server's number of each class, one a
            line in the order of the model's classes. None numbers the classes from 1
            in the model's order (sorted names), which is not the development kit's.

    Raises:
        ValueError: naming the missing or wrong argument.
    """
    if not photos:
        raise ValueError("test_dir: no images there; name ImageNet's test folder")
    if weights is None:
        raise ValueError("weights is missing: name a file or a release")
    classifier = Classifier.of_weights(weights, model)
    numbers = _numbers(class_ids, classifier.classes - classifier.label_offset)
    lines = []
    for start in range(0, len(photos), _BATCH):
        for found in predict.predict_files(classifier, photos[start : start + _BATCH]):
            best = (each["class"] for each in found["predictions"])
            # The server has no background class: its first number is written instead.
            lines.append(" ".join(str(numbers[max(0, label)]) for label in best))
    files.write_whole(path, "\n".join(lines) + "\n")


def _numbers(path: str | None, classes: int) -> list[int]:
    if path is None:
        return list(range(1, classes + 1))
    with open(path) as file:
        lines = file.read().split()
    if sorted(lines) != sorted(str(number) for number in range(1, classes + 1)):
        raise ValueError(
            f"class_ids={path}: allowed are the numbers 1 to {classes}, each once"
        )
    return [int(line) for line in lines]
