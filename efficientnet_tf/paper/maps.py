"""Figure 7: class activation maps of a network and of its four scaled versions."""

from collections.abc import Mapping, Sequence

import numpy as np

from efficientnet_tf.inference import cam, cam_pictures
from efficientnet_tf.inference.classifier import Classifier


def draw(path: str, runs: Mapping[str, str], photos: Sequence[str]) -> None:
    """Draws a grid of maps, each over the image that its model gets.

    Args:
        path: path of the PNG file.
        runs: folder of a finished run by title; one column each.
        photos: paths of image files; one row each.
    """
    columns = []
    for model_dir in runs.values():
        classifier = Classifier.of_run(model_dir)
        images = np.stack([classifier.read_image(photo) for photo in photos])
        found = cam.cam(classifier.model, images)
        pairs = zip(images, found.maps, strict=True)
        columns.append([cam_pictures.overlay(image, each) for image, each in pairs])
        if len(columns) == 1:
            columns.insert(0, list(images))
    rows = [list(row) for row in zip(*columns, strict=True)]
    cam_pictures.save_grid(path, rows, titles=["photo", *runs])
