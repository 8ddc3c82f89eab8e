"""Weights to and from keras.applications, an independent implementation."""

import gc
import itertools

import h5py
import pytest
import weight_helpers as helpers
from applications import assert_same_function
from keras_files_support import (
    KWARGS,
    SIZE,
    WHOLE,
    ours_of,
    read,
    theirs,
)
from slow_cases import slow
from weight_helpers import assert_same, images

import efficientnet_tf as en

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("mobilenet-v1", ".weights.h5"),
        ("resnet-50-v1", ".h5"),  # biases before batch norms
        *slow(
            *(("mobilenet-v1", ".h5"), ("resnet-50-v1", ".weights.h5")),
            *itertools.product(
                ("efficientnet-b0", "efficientnetv2-b0", "mobilenet-v2"),
                (".h5", ".weights.h5"),
            ),
        ),
    ],
)
def test_keras_applications_and_we_read_what_we_write(name, suffix, tmp_path):
    ours = helpers.randomize(en.EfficientNet(name, **KWARGS), seed=1)
    helpers.calibrate(ours, images(SIZE, batch=4))
    path = str(tmp_path / f"w{suffix}")
    en.save_weights(ours, path, format="keras")
    model = WHOLE[name](weights=path, **KWARGS)
    assert_same_function(name, ours, model, images(SIZE))
    del model
    gc.collect()  # ResNet-50 takes 0.2 GB in float64
    expected = helpers.values(ours)
    helpers.randomize(ours, seed=2)
    en.load_weights(ours, path)
    assert_same(ours, expected)
    biases = [n for n in ours.load_report.adapted if "bias" in n]
    assert len(biases) == (53 if name.startswith("resnet") else 0)


def test_keras_reads_ours_without_a_top(tmp_path):
    kwargs = {"include_top": False, "pooling": "avg", "input_shape": (SIZE, SIZE, 3)}
    ours = helpers.randomize(ours_of("mobilenet-v1", **kwargs), seed=4)
    helpers.calibrate(ours, images(SIZE, batch=4))
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(ours, path, format="keras")
    model = theirs("mobilenet-v1", weights=path, **kwargs)
    assert_same_function("mobilenet-v1", ours, model, images(SIZE))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("efficientnet-b0", (64, 64, 1)),
        ("mobilenet-v1", (None, None, 3)),
        *slow(("resnet-50-v1", (75, 96, 3))),
    ],
)
def test_models_of_any_shape_are_written(name, shape, tmp_path):
    kwargs = {"include_top": False, "input_shape": shape}
    ours = helpers.randomize(ours_of(name, **kwargs), seed=4)
    path = str(tmp_path / "w.h5")
    en.save_weights(ours, path, format="keras")
    target = read(name, path, **kwargs)
    assert_same(target, helpers.values(ours))


def test_a_part_of_a_network_is_written_under_our_names(tmp_path):
    kwargs = {"endpoints": ["reduction_2"], "input_shape": (SIZE, SIZE, 3)}
    ours = helpers.randomize(ours_of("efficientnet-b0", **kwargs))
    path = str(tmp_path / "w.h5")
    en.save_weights(ours, path)
    with h5py.File(path) as file:
        assert "top_conv" not in file
    target = read("efficientnet-b0", path, **kwargs)
    assert_same(target, helpers.values(ours))
