"""Fixtures that several files of this folder share."""

import networks
import numpy as np
import pytest
import weight_helpers
from PIL import Image

import efficientnet_tf as en


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of small weights for 5 classes, its model, and two photos of one name."""
    folder = tmp_path_factory.mktemp("weights")
    model = weight_helpers.build(
        networks.own(*networks.STRIDED.split(",")),
        classes=5,
        input_shape=(96, 96, 3),
    )
    en.save_weights(model, folder / "own.weights.h5")
    rng = np.random.default_rng(3)
    for name in ("a", "b"):
        (folder / name).mkdir()
        pixels = rng.integers(0, 256, (140, 120, 3), "uint8")
        Image.fromarray(pixels).save(folder / name / "photo.png")
    return folder, model
