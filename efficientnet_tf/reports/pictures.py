"""Images of a report's galleries, read again and drawn with their maps."""

import base64
import io
import os
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from efficientnet_tf.data import places, tfrecord
from efficientnet_tf.inference import cam, cam_pictures
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.reports.contents import Photo
from efficientnet_tf.training.predictions import Table

SHOWN = 24  # images of a gallery
_SIDE = 128  # pixels, the sides of a thumbnail at most
_QUALITY = 82  # of JPEG


def most_confident_mistakes(found: Table) -> np.ndarray:
    """Returns the rows of the most confident mistakes, int [at most `SHOWN`]."""
    wrong = np.flatnonzero(~found.correct & (found.predicted >= 0))
    return wrong[np.argsort(-found.confidence[wrong], kind="stable")][:SHOWN]


def most_uncertain(found: Table) -> np.ndarray:
    """Returns the rows of the least confident predictions, int [at most `SHOWN`]."""
    known = np.flatnonzero(found.predicted >= 0)
    return known[np.argsort(found.confidence[known], kind="stable")][:SHOWN]


def photos(
    rows: np.ndarray,
    found: Table,
    *,
    split: tfrecord.Split,
    there: Mapping[int, places.Place],
    classifier: Classifier,
    names: Sequence[str],
) -> list[Photo]:
    """Reads the images of some rows and maps their predicted classes.

    Args:
        rows: int [images], rows of the table.
        found: the predictions.
        split: the split that was evaluated.
        there: places of the split's images; without any there are no photos.
        classifier: the model that predicted, with its preparation of images.
        names: names of the model's outputs.
    """
    if not (there and len(rows)):
        return []
    taken = [there[int(number)] for number in found.numbers[rows]]
    images = places.read(split, taken, classifier.preparation)
    maps = _maps(classifier, images, found.predicted[rows])
    return [
        Photo(
            file=short_name(place),
            true=names[found.labels[row]],
            predicted=names[found.predicted[row]],
            probability=float(found.confidence[row]),
            picture=data_uri(image),
            map=None if overlay is None else data_uri(overlay),
            is_right=bool(found.correct[row]),
        )
        for row, place, image, overlay in zip(rows, taken, images, maps, strict=True)
    ]


def short_name(place: places.Place) -> str:
    """Returns a place's last folder and file, with the number of a record."""
    if place.record is None:
        return "/".join(place.file.split("/")[-2:])
    return f"{os.path.basename(place.file)}, record {place.record}"


def data_uri(pixels: np.ndarray) -> str:
    """Encodes an image as a data: URI of a JPEG with at most 128 pixels a side.

    Args:
        pixels: uint8 [height, width, 3], RGB.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _maps(
    classifier: Classifier, images: np.ndarray, classes: np.ndarray
) -> Sequence[np.ndarray | None]:
    """Draws each image's map over it; None where the model compares no places."""
    if cam.find_head(classifier.model).features.shape[1:3] == (1, 1):
        return [None] * len(images)
    found = cam.cam(classifier.model, images, classes)
    pairs = zip(images, found.maps, strict=True)
    return [cam_pictures.overlay(image, drawn) for image, drawn in pairs]
