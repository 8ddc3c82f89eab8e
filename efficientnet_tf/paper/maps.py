"""Figure 7: class activation maps of a network and of four ways to scale it."""

from collections.abc import Mapping, Sequence

import numpy as np

from efficientnet_tf.analysis import cam
from efficientnet_tf.export import predict
from efficientnet_tf.training import build, run_dir


def draw(path: str, runs: Mapping[str, str], photos: Sequence[str]) -> list[dict]:
    """Draws photos in rows, models in columns, each map over what its model sees.

    Args:
        path: of the PNG.
        runs: folders of finished runs by title.
        photos: image files.

    Returns:
        For each photo and run: "photo" (its file name), "run", "class", "probability".
    """
    columns, facts = [], []
    for title, model_dir in runs.items():
        config = run_dir.read_config(model_dir)
        model = build.trained_model(config, model_dir=model_dir)
        how = build.preparation(config)
        images = np.stack(
            [
                predict.read_image(
                    photo,
                    image_size=how["image_size"],
                    fraction=how["crop_fraction"],
                    resize=how["resize"],
                )
                for photo in photos
            ]
        )
        found = cam.cam(model, images)
        pairs = zip(images, found.maps, strict=True)
        columns.append([cam.overlay(image, each) for image, each in pairs])
        if len(columns) == 1:
            columns.insert(0, list(images))
        facts += [
            {
                "photo": photo.rsplit("/", 2)[-2] + "/" + photo.rsplit("/", 1)[-1],
                "run": title,
                "class": int(found.classes[i]),
                "probability": float(found.scores[i]),
            }
            for i, photo in enumerate(photos)
        ]
    rows = [list(row) for row in zip(*columns, strict=True)]
    cam.save_grid(path, rows, titles=["photo", *runs])
    return facts
