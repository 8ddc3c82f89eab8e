"""Weights in and out of models: round trips, strictness, saving."""

import dataclasses
import os

import h5py
import keras
import numpy as np
import pytest
import weight_helpers as helpers
from weight_helpers import SMALL, assert_same, build, images, models_of, small, values
from weights_support import FILES, TEST

import efficientnet_tf as en


@pytest.mark.parametrize("name", SMALL)
def test_every_tensor_survives_bit_for_bit(name, tmp_path):
    source, target = models_of(name)
    expected = values(source)
    for file_name, format in FILES.values():
        path = str(tmp_path / f"{format}-{file_name}")
        en.save_weights(source, path, format=format)
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


@pytest.mark.parametrize("name", SMALL)
def test_a_passport_rebuilds_the_same_function(name, tmp_path):
    source, _ = models_of(name)
    for file in ("own", "timm"):
        path = str(tmp_path / FILES[file][0])
        en.save_weights(source, path, format=FILES[file][1])
        target = en.EfficientNet(
            small(name), weights=path, classes=10, input_shape=(32, 32, 3)
        )
        x = images()
        np.testing.assert_array_equal(
            helpers.outputs(target, x), helpers.outputs(source, x)
        )


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("include_top", [True, False])
def test_files_with_and_without_a_top_fill_a_model_without(file, include_top, tmp_path):
    source = build(TEST, include_top=include_top)
    path = str(tmp_path / FILES[file][0])
    en.save_weights(source, path, format=FILES[file][1])
    target = en.EfficientNet(
        TEST, weights=path, include_top=False, input_shape=(32, 32, 3)
    )
    expected = values(source)
    expected.pop("predictions/kernel", None)
    expected.pop("predictions/bias", None)
    assert_same(target, expected)


def test_other_channels_survive(tmp_path):
    for channels in (1, 5):
        source = build(TEST, input_shape=(32, 32, channels))
        target = build(TEST, input_shape=(32, 32, channels))
        for file_name, format in FILES.values():
            path = str(tmp_path / f"{channels}{file_name}")
            helpers.randomize(source)
            en.save_weights(source, path, format=format)
            en.load_weights(target, path)
            assert_same(target, values(source))
            assert target.load_report.adapted == ()


def test_keras_itself_loads_our_file(saved):
    path, expected = saved
    target = build(TEST)
    target.load_weights(path)
    assert_same(target, expected)


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
    source = build(TEST, classes=1000)
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(source, path)
    target = en.load_weights(TEST, path)
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
    model = build(TEST, blocks=("r1_k3_s11_e1_i8_o8_se0.25",))
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.train_on_batch(images(), np.zeros(2))
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(model, path)
    target = build(TEST, blocks=("r1_k3_s11_e1_i8_o8_se0.25",))
    en.load_weights(target, path)
    assert_same(target, values(model))
