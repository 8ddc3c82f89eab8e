"""Pixels to normalised images, in the model's first layer."""

import numpy as np
import pytest
from applications import (
    assert_same_values,
)
from models_support import (
    IMAGENET_MEAN,
    IMAGENET_STDDEV,
    assert_counts,
    copy_weights,
    images,
    outputs_by_name,
)

import efficientnet_tf as en


def test_uint8_and_float_inputs_give_the_same():
    model = en.EfficientNet("efficientnet-test", input_shape=(64, 64, 3))
    x = images(64)
    np.testing.assert_array_equal(model(x.astype("uint8")), model(x))
    model.compile(jit_compile=False)
    np.testing.assert_array_equal(
        model.predict(x.astype("uint8"), verbose=0), model.predict(x, verbose=0)
    )


@pytest.mark.parametrize(
    ("name", "mean", "stddev"),
    [
        ("efficientnet-b0", 255 * IMAGENET_MEAN, 255 * IMAGENET_STDDEV),
        ("efficientnet-lite0", 127, 128),
        ("efficientnetv2-s", 128, 128),
        ("mobilenet-v1", 127.5, 127.5),
        ("resnet-50-v1", np.array([123.68, 116.779, 103.939]), 1),
    ],
)
def test_without_preprocessing_the_caller_normalises(name, mean, stddev):
    kwargs = {"input_shape": (64, 64, 3), "endpoints": ["stem"]}
    inside = en.EfficientNet(name, **kwargs)
    outside = en.EfficientNet(name, **kwargs, include_preprocessing=False)
    copy_weights(inside, outside)
    x = images(64)
    got, expected = outside(((x - mean) / stddev).astype("float32")), inside(x)
    assert_same_values(got["stem"], expected["stem"])
    assert len(outside.layers) == len(inside.layers) - 1


@pytest.mark.parametrize("channels", [1, 5])
def test_other_channels_are_normalised_by_the_mean_of_the_statistics(channels):
    model = en.EfficientNet(
        "efficientnet-b0", input_shape=(32, 32, channels), classes=3
    )
    x = images(32, channels=channels)
    got = outputs_by_name(model, ["preprocessing"], x)["preprocessing"]
    expected = (x / 255 - IMAGENET_MEAN.mean()) / IMAGENET_STDDEV.mean()
    assert_same_values(got, expected)
    assert_counts(model, "efficientnet-b0", channels=channels, classes=3)
    assert np.isfinite(model(x)).all()
