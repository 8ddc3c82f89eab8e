"""Weights in and out of models: round trips, strictness, saving."""

import dataclasses
import os

import h5py
import keras
import networks
import numpy as np
import pytest
import weight_helpers as helpers
from slow_cases import all_but
from weight_helpers import SMALL, assert_same, build, images, small, values
from weights_support import FILES, TEST

import efficientnet_tf as en
from efficientnet_tf.weights import reading

# Tensors of the other networks are named as those of one of these.
NAMED_APART = (
    *("efficientnet-test", "efficientnet-condconv-b0-4e", "efficientnetv2-s"),
    "resnet-50-v1",
)


@pytest.mark.parametrize("name", all_but(NAMED_APART, SMALL))
def test_every_tensor_survives_bit_for_bit(name, tmp_path):
    source, kwargs = build(small(name)), {"classes": 10, "input_shape": (32, 32, 3)}
    expected = values(source)
    paths = {file: str(tmp_path / f"{file}-{FILES[file][0]}") for file in FILES}
    for file, path in paths.items():
        en.save_weights(source, path, format=FILES[file][1])
    target = en.EfficientNet(small(name), weights=paths["own"], **kwargs)
    # Both formats that state a network's conventions state those of this one.
    assert target.passport.variant == source.passport.variant == small(name)
    timm = reading.read_weights(paths["timm"], small(name))
    assert timm.adapt(small(name)) == small(name)
    assert_same(target, expected)
    x = images()
    np.testing.assert_array_equal(
        helpers.outputs(target, x), helpers.outputs(source, x)
    )
    for path in paths.values():
        helpers.randomize(target)
        en.load_weights(target, path)
        assert_same(target, expected)
        report = target.load_report
        assert report.loaded == len(expected)
        assert (report.skipped, report.adapted) == ((), ())


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", en.list_variants())
def test_every_variant_survives_bit_for_bit(name, file, tmp_path):
    variant, kwargs = name, {"classes": 1000, "input_shape": (64, 64, 3)}
    if name.startswith(("efficientnet-l2", "efficientnetv2-xl")):
        variant = dataclasses.replace(en.get_variant(name), width=0.25)
    source = build(variant, **kwargs)
    expected = values(source)
    file_name, format = FILES[file]
    path = str(tmp_path / file_name)
    en.save_weights(source, path, format=format)
    keras.backend.clear_session()
    target = en.EfficientNet(variant, weights=path, **kwargs)
    assert_same(target, expected)


@pytest.fixture(scope="module")
def headless():
    return build(TEST, include_top=False)


@pytest.mark.parametrize("file", FILES)
def test_files_with_and_without_a_top_fill_a_model_without(
    file, model, headless, tmp_path
):
    for source in (model, helpers.randomize(headless)):
        path = str(tmp_path / f"{source.name}{source.count_params()}{FILES[file][0]}")
        en.save_weights(source, path, format=FILES[file][1])
        expected = values(source)
        expected.pop("predictions/kernel", None)
        expected.pop("predictions/bias", None)
        helpers.randomize(headless)
        en.load_weights(headless, path, skip=["predictions"])
        assert_same(headless, expected)


def test_a_model_without_a_top_is_built_of_a_file_with_one(saved):
    path, expected = saved
    target = en.EfficientNet(
        TEST, weights=path, include_top=False, input_shape=(32, 32, 3)
    )
    found = values(target)
    assert expected.keys() - found.keys() == {"predictions/kernel", "predictions/bias"}
    assert_same(target, {name: expected[name] for name in found})


@pytest.mark.parametrize("channels", [1, 5])
def test_other_channels_survive(channels, tmp_path):
    model = build(
        TEST, blocks=(networks.ONE,), input_shape=(32, 32, channels), classes=10
    )
    for file_name, format in FILES.values():
        path = str(tmp_path / f"{format}-{file_name}")
        expected = values(helpers.randomize(model))
        en.save_weights(model, path, format=format)
        helpers.randomize(model)
        en.load_weights(model, path)
        assert_same(model, expected)
        assert model.load_report.adapted == ()


def test_keras_itself_loads_our_file(model, saved):
    path, expected = saved
    model.load_weights(path)
    assert_same(model, expected)


def test_format_goes_by_suffix(model, tmp_path):
    for file_name in ("a.weights.h5", "b.h5", "d.safetensors", "e"):
        en.save_weights(model, str(tmp_path / file_name))
    with h5py.File(tmp_path / "a.weights.h5") as file:
        assert "passport" in file.attrs
    with h5py.File(tmp_path / "b.h5") as file:
        assert "layer_names" in file.attrs
    assert sorted(os.listdir(tmp_path)) == [
        "a.weights.h5",
        "b.h5",
        "d.safetensors",
        "e.data-00000-of-00001",
        "e.index",
    ]


def test_a_variants_name_builds_the_model(tmp_path):
    source, path = build(TEST.name), str(tmp_path / "w.weights.h5")
    en.save_weights(source, path)
    target = en.load_weights(TEST.name, path)
    assert_same(target, values(source))
    assert target.input_shape == (None, 32, 32, 3)


def test_models_loaded_by_keras_take_and_give_weights(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = values(loaded)
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(loaded, path)
    helpers.randomize(loaded)
    en.load_weights(loaded, path)
    assert_same(loaded, expected)


def test_a_compiled_models_optimizer_stays_out(tmp_path):
    source, target = (build(TEST, blocks=(networks.ONE,)) for _ in range(2))
    # Eagerly: what is fitted once needs no graph.
    source.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    source.train_on_batch(images(), np.zeros(2))
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(source, path)
    en.load_weights(target, path)
    assert_same(target, values(source))
