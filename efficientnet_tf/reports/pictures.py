"""Images of a report's galleries, read again and drawn with their maps."""

import base64
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from efficientnet_tf.data import places, tfrecord
from efficientnet_tf.inference import cam, cam_pictures
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.reports.contents import Photo
from efficientnet_tf.training.tables import LabelTable, Table

SHOWN = 24  # images of a gallery
_SIDE = 128  # pixels, the sides of a thumbnail at most
_QUALITY = 82  # of JPEG


def most_confident_mistakes(found: Table | LabelTable) -> np.ndarray:
    """Returns the most confident mistakes.

    Returns:
        int [at most `SHOWN`, 2]: rows of the table and outputs of the model.
    """
    if isinstance(found, LabelTable):
        wrong = (found.predicted != found.labels) & found.known[:, np.newaxis]
        return _first(wrong, -np.abs(found.logits))
    return _first_rows(found, ~found.correct & found.known, -found.confidence)


def most_uncertain(found: Table | LabelTable) -> np.ndarray:
    """Returns the least confident predictions; see `most_confident_mistakes`."""
    if isinstance(found, LabelTable):
        known = np.broadcast_to(found.known[:, np.newaxis], found.labels.shape)
        return _first(known, np.abs(found.logits))
    return _first_rows(found, found.known, found.confidence)


def _first(wanted: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Returns the places, of those wanted, with the smallest keys."""
    places = np.argwhere(wanted)
    return places[np.argsort(keys[wanted], kind="stable")[:SHOWN]]


def _first_rows(found: Table, wanted: np.ndarray, keys: np.ndarray) -> np.ndarray:
    rows = _first(wanted, keys)[:, 0]
    return np.stack([rows, found.predicted[rows]], axis=1)


def photos(
    shown: np.ndarray,
    found: Table | LabelTable,
    *,
    split: tfrecord.Split,
    there: Mapping[int, places.Place],
    classifier: Classifier,
    names: Sequence[str],
) -> list[Photo]:
    """Reads the images of some predictions and maps their classes.

    Args:
        shown: int [photos, 2], rows of the table and outputs.
        found: the predictions.
        split: the split that was evaluated.
        there: places of the split's images; without any there are no photos.
        classifier: the model that predicted, with its preparation of images.
        names: names of the model's outputs.
    """
    if not (there and len(shown)):
        return []
    rows, outputs = shown.T
    taken = [there[int(number)] for number in found.numbers[rows]]
    images = places.read(split, taken, classifier.preparation)
    maps = _maps(classifier, images, outputs)
    return [
        Photo(
            file=short_name(place),
            picture=data_uri(image),
            map=None if overlay is None else data_uri(overlay),
            predicted=names[output],
            **_of_label(found, row, output, names)
            if isinstance(found, LabelTable)
            else _of_class(found, row, names),
        )
        for (row, output), place, image, overlay in zip(
            shown, taken, images, maps, strict=True
        )
    ]


def _of_class(found: Table, row: int, names: Sequence[str]) -> dict[str, Any]:
    return {
        "true": names[found.labels[row]],
        "probability": float(found.confidence[row]),
        "is_right": bool(found.correct[row]),
    }


def _of_label(
    found: LabelTable, row: int, output: int, names: Sequence[str]
) -> dict[str, Any]:
    is_there, is_said = found.labels[row, output], found.predicted[row, output]
    true = [names[label] for label in np.flatnonzero(found.labels[row])]
    notes = {(True, False): "missed", (False, True): "not there"}
    return {
        "true": ", ".join(true) or "none",
        "probability": float(found.probabilities[row, output]),
        "is_right": bool(is_there == is_said),
        "note": notes.get((bool(is_there), bool(is_said)), ""),
    }


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
