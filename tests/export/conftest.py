"""A small classifier, and the photos and folders that tests of exports share."""

import dataclasses

import keras
import networks
import numpy as np
import pytest
from PIL import Image

import efficientnet_tf as en
from efficientnet_tf.data.preparation import Preparation
from efficientnet_tf.inference.classifier import Classifier

NAMES = ("ant", "bee", "Käfer", "dog", "eel", "fly")


@pytest.fixture(scope="session")
def classifier():
    """Seven outputs: a background and six named classes."""
    keras.utils.set_random_seed(0)
    model = en.EfficientNet(
        networks.own(networks.ONE),
        classes=7,
        input_shape=(32, 32, 3),
        classifier_activation=None,
    )
    model.passport = dataclasses.replace(
        model.passport, label_offset=1, class_names=NAMES
    )
    # A random classifier tells images apart by 0.001 of a logit only.
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([30 * kernel, bias])
    prepared = Preparation(32, 1.0, "bicubic", exif=True)
    return Classifier(model, prepared, label_offset=1)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Forty PNG files of coloured squares."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(40):
        coarse = random.integers(0, 256, (5, 6, 3), np.uint8)
        pixels = coarse.repeat(9, 0).repeat(9, 1)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return sorted(str(path) for path in folder.iterdir())
