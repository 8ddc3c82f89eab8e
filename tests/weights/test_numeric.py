"""Weights that cannot be computed with are refused by the tensor's name."""

import re

import keras
import ml_dtypes
import networks
import numpy as np
import pytest
import safetensors.numpy
import torch_saving as torch_support
from weight_helpers import build, randomize, values
from weights_support import FILES, TEST, refuses

import efficientnet_tf as en
from efficientnet_tf.weights import keras_names, model_layout, numeric, torch_files


@pytest.fixture(scope="module")
def built_source():
    return build(TEST)


@pytest.fixture
def source(built_source):
    """Another model to save, built once."""
    return randomize(built_source, seed=1)


def change(model, path, place, value):
    variable = model_layout.variables(model)[path]
    values = np.array(variable)
    values[place] = value
    variable.assign(values)


@pytest.mark.parametrize(
    ("file", "wrong"),
    [*((file, np.nan) for file in FILES), ("own", np.inf), ("timm", -np.inf)],
    ids=str,
)
def test_nan_and_infinity_are_refused_in_every_format(
    model, source, file, wrong, tmp_path
):
    path = str(tmp_path / FILES[file][0])
    change(source, "block2a_se_reduce/kernel", (0, 0, 3, 1), wrong)
    en.save_weights(source, path, format=FILES[file][1])
    refuses(model, path, re.escape(path), "block2a_se_reduce/kernel: ", "NaN or inf")


def test_variances_below_0_are_refused(model, source, tmp_path):
    path = str(tmp_path / "w.weights.h5")
    change(source, "top_bn/moving_variance", 2, -0.5)
    en.save_weights(source, path)
    named = r"top_bn/moving_variance has a value at \[2\] that is below 0"
    assert "statistics" not in refuses(model, path, named)  # the file has them


@pytest.mark.parametrize("skip", [(), ("predictions",)])
def test_only_what_is_loaded_has_to_be_finite(model, source, skip, tmp_path):
    path = str(tmp_path / "w.h5")
    change(source, "predictions/bias", slice(None), np.nan)
    en.save_weights(source, path)
    if not skip:
        refuses(
            model, path, r"predictions/bias has 10 of 10 values, the first at \[0\]"
        )
    else:
        en.load_weights(model, path, skip=skip)
        assert model.load_report.loaded == len(values(model)) - 2


def test_whole_numbers_stay_whole_numbers_in_a_stem_of_other_channels(tmp_path):
    source = build(TEST, blocks=(networks.ONE,))
    path = str(tmp_path / "w.safetensors")
    en.save_weights(source, path)
    tensors = safetensors.numpy.load_file(path)
    tensors["conv_stem.weight"] = tensors["conv_stem.weight"].astype("i1")
    safetensors.numpy.save_file(tensors, path)
    model = build(TEST, blocks=(networks.ONE,), input_shape=(32, 32, 5))
    refuses(model, path, r"conv_stem\.weight has type int8")


@pytest.mark.parametrize(("dtype", "folded"), [("f4", 1), ("i1", 0)])
def test_biases_of_whole_numbers_are_not_folded(dtype, folded):
    kernel = model_layout.Tensor("stem_conv/kernel", "conv", (7, 7, 3, 2))
    names = {
        "stem_conv/kernel": "conv1_conv/kernel",
        "stem_bn/moving_mean": "conv1_bn/moving_mean",
    }
    tensors = {
        "conv1_conv/bias": np.ones(2, dtype),
        "conv1_bn/moving_mean": np.zeros(2, "f4"),
    }
    model = model_layout.Layout((kernel,), ())
    assert len(keras_names.fold_biases(tensors, model, names)) == folded
    np.testing.assert_array_equal(tensors["conv1_bn/moving_mean"], [-folded] * 2)


@pytest.mark.parametrize("statistic", ["mean", "variance"])
def test_statistics_of_pixels_are_checked_too(statistic, tmp_path):
    inputs = keras.Input((8, 8, 3))
    statistics = {"mean": [0.5] * 3, "variance": [0.25] * 3}
    statistics[statistic] = [0.5, np.nan, 0.5]
    layer = keras.layers.Normalization(name="normalization")
    x = keras.layers.Conv2D(4, 1, name="stem_conv")(layer(inputs))
    source = keras.Model(inputs, x)
    for variable in layer.weights:
        if variable.name in statistics:
            variable.assign(statistics[variable.name])
    path = str(tmp_path / "w.weights.h5")
    source.save_weights(path)
    with pytest.raises(ValueError, match=f"normalization/{statistic} has a value at"):
        en.load_weights(TEST, path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("kernel", np.ones(3, "f8"), None),
        ("kernel", np.ones(3, "f2"), None),
        ("kernel", np.ones(3, ml_dtypes.bfloat16), None),
        ("kernel", np.zeros((0, 2), "f4"), None),
        ("moving_variance", np.array([-1e-9, 0.0, 1.0]), None),
        ("moving_mean", np.array([-1.0]), None),
        (
            "kernel",
            np.array([1.0, 1e300]),
            "has a value at [1] that is NaN or infinite",
        ),
        ("kernel", np.array([np.nan], ml_dtypes.bfloat16), "has a value at [0]"),
        (
            "kernel",
            np.array([[1, np.inf], [np.nan, 1]]),
            "has 2 of 4 values, the first",
        ),
        (
            "moving_variance",
            np.array([1.0, -1.0]),
            "has a value at [1] that is below 0",
        ),
        ("kernel", np.ones(3, "i1"), "has type int8"),
        ("kernel", np.ones(3, "c8"), "has type complex64"),
        ("kernel", np.ones(3, "?"), "has type bool"),
        ("kernel", np.array([b"a"]), "has type |S1"),
        ("kernel", np.array(["a"], object), "has type object"),
    ],
    ids=str,
)
def test_what_is_no_weight(name, value, words):
    found = numeric.problem(name, value)
    assert found is None if words is None else found.startswith(words)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i8", "?"])
def test_a_pth_of_whole_numbers_is_refused(dtype, tmp_path):
    content = {
        "conv_stem.weight": np.zeros((8, 3, 3, 3), dtype),
        "bn1.num_batches_tracked": np.array(3),
    }
    path = torch_support.save(tmp_path / "w.pth", torch_support.tensors(content))
    with pytest.raises(ValueError, match=r"w\.pth: conv_stem\.weight has type "):
        torch_files.open_file(path)
