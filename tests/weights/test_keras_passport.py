"""Passports in the files that Keras's own save and save_weights write."""

import dataclasses
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
import weight_helpers as helpers
from keras_conventions_support import (
    OTHER,
    OTHER_PIXELS,
    SMALL,
    TEST,
    assert_alike,
    changed,
    forgetful,
    saved,
)
from slow_cases import slow
from weight_helpers import images

import efficientnet_tf as en
from efficientnet_tf.models import pretrained
from efficientnet_tf.runs import run_model
from efficientnet_tf.weights import checksums, keras_config


@pytest.fixture(scope="module")
def other():
    """A network whose conventions are not those of its name."""
    return helpers.build(changed(**OTHER), **SMALL)


@pytest.mark.parametrize("file", ["a.keras", "a.h5", "a.weights.h5"])
def test_the_passport_travels_with_keras_own_files(other, file, tmp_path):
    told = dataclasses.replace(
        other.passport, class_names=("a", "b", "ü"), crop="exact"
    )
    other.passport = told
    path = saved(other, tmp_path / file, keep_passport=True)
    ours = en.EfficientNet(TEST, weights=path, **SMALL)
    assert ours.passport == dataclasses.replace(told, source=path)
    assert ours.load_report.decided == ()
    x = images(16)
    np.testing.assert_array_equal(helpers.outputs(ours, x), helpers.outputs(other, x))
    # Keras reads over it.
    theirs = forgetful(other)
    if file.endswith(".weights.h5"):
        theirs.load_weights(path)
    else:
        theirs = keras.models.load_model(path)
    np.testing.assert_array_equal(helpers.outputs(theirs, x), helpers.outputs(other, x))


def test_a_passport_travels_inside_a_larger_model(other, tmp_path):
    outer = keras.Sequential([other, keras.layers.Dense(2)])
    outer.build((None, 16, 16, 3))
    path = saved(outer, tmp_path / "outer.keras", keep_passport=True)
    with zipfile.ZipFile(path) as archive:
        network = keras_config.find(keras_config.parse(archive.read("config.json")))
    assert json.loads(network.passport)["variant"]["name"] == TEST
    weights = saved(outer, tmp_path / "outer.weights.h5", keep_passport=True)
    with h5py.File(weights) as file:  # its digest would be of the inner weights only
        assert "passport" not in file.attrs


def test_a_model_that_keras_loaded_takes_only_weights_of_its_conventions(
    other, tmp_path
):
    loaded, standard = forgetful(other), helpers.build(TEST, **SMALL)
    fitting, wrong = str(tmp_path / "a.weights.h5"), str(tmp_path / "b.weights.h5")
    en.save_weights(other, fitting)
    en.save_weights(standard, wrong)
    expected = helpers.values(other)
    en.load_weights(helpers.randomize(loaded), fitting)
    helpers.assert_same(loaded, expected)
    with pytest.raises(ValueError, match=r"b\.weights\.h5 .*: needs "):
        en.load_weights(loaded, wrong)
    helpers.assert_same(loaded, expected)


@pytest.mark.parametrize(
    "file",
    ["a.weights.h5", "a.safetensors", *slow("a.h5")],
)
def test_weights_of_a_model_that_keras_loaded_say_its_conventions(
    other, file, tmp_path
):
    path = str(tmp_path / file)
    en.save_weights(forgetful(other), path)
    assert_alike(en.EfficientNet(TEST, weights=path, **SMALL), other)


@pytest.mark.parametrize(
    "file",
    [
        *("a.keras", "a.weights.h5"),
        *slow("a.h5", "a.safetensors"),
    ],
)
def test_a_network_of_normalised_images_gets_no_pixels(file, tmp_path):
    source = helpers.build(TEST, include_preprocessing=False, **SMALL)
    path = str(tmp_path / file)
    if file in ("a.keras", "a.h5"):
        saved(source, path)
    elif file == "a.weights.h5":
        saved(source, path, keep_passport=True)
    else:
        en.save_weights(source, path)
    for model in (TEST, helpers.build(TEST, **SMALL)):
        with pytest.raises(ValueError, match="include_preprocessing=False"):
            if model is TEST:
                en.EfficientNet(TEST, weights=path, **SMALL)
            else:
                en.load_weights(model, path)
    with pytest.raises(ValueError, match=r"in Python, .*include_preprocessing=False"):
        run_model.open_weights(path, TEST)  # commands feed it pixels
    ours = en.EfficientNet(TEST, weights=path, include_preprocessing=False, **SMALL)
    assert_alike(ours, source, images(16) / 255)


def test_a_file_alone_says_that_it_takes_normalised_images(tmp_path):
    source = helpers.build(TEST, include_preprocessing=False, **SMALL)
    path = str(tmp_path / "own.weights.h5")
    en.save_weights(source, path)
    ours = pretrained.from_weights(path, input_shape=(16, 16, 3))
    assert ours.passport.include_preprocessing is False
    assert_alike(ours, source, images(16) / 255)


def test_a_built_model_that_normalises_nothing_takes_weights_of_other_pixels(tmp_path):
    source = helpers.build(changed(pixels=OTHER_PIXELS), **SMALL)
    path = str(tmp_path / "a.weights.h5")
    en.save_weights(source, path)
    ours = helpers.build(TEST, include_preprocessing=False, **SMALL)
    en.load_weights(ours, path)
    (said,) = ours.load_report.decided
    assert said.startswith("include_preprocessing=False")
    with pytest.raises(ValueError, match="needs pixels="):
        en.load_weights(helpers.build(TEST, **SMALL), path)


@pytest.mark.parametrize("file", ["a.keras", "a.weights.h5", "own.weights.h5"])
def test_statistics_of_the_callers_own_layer_are_weights(file, tmp_path):
    def network(seed):
        layer = keras.layers.Normalization(name=f"normalization_{7 + seed}")
        inputs = layer(keras.Input((16, 16, 3)))
        layer.adapt(np.random.default_rng(seed).normal(size=(4, 16, 16, 3)))
        kwargs = {"blocks": SMALL["blocks"], "classes": 3}
        return en.EfficientNet(
            TEST, input_tensor=inputs, include_preprocessing=False, **kwargs
        )

    source, ours = network(0), network(1)
    path = str(tmp_path / file)
    if file == "own.weights.h5":
        en.save_weights(source, path)
    else:
        saved(source, path, keep_passport=True)
    en.load_weights(ours, path)
    assert ours.load_report.checked == "SHA-256"
    for ours_one, theirs in zip(ours.weights, source.weights, strict=True):
        np.testing.assert_array_equal(ours_one, theirs)


def test_normalising_outside_is_the_callers_choice_and_said(tmp_path):
    source = helpers.build(changed(pixels=OTHER_PIXELS), **SMALL)
    path = str(tmp_path / "a.weights.h5")
    en.save_weights(source, path)
    ours = en.EfficientNet(TEST, weights=path, include_preprocessing=False, **SMALL)
    x = images(16)
    normalised = (x - OTHER_PIXELS.mean) / np.array(OTHER_PIXELS.stddev)
    np.testing.assert_allclose(
        helpers.outputs(ours, normalised.astype("float32")),
        helpers.outputs(source, x),
        rtol=1e-4,
        atol=1e-6,
    )
    (said,) = ours.load_report.decided
    assert said.startswith("include_preprocessing=False")


def test_resizing_that_a_file_states_is_a_built_models_too(other, tmp_path):
    path = str(tmp_path / "a.weights.h5")
    en.save_weights(other, path)
    pixels = dataclasses.replace(OTHER_PIXELS, resize="bicubic")
    ours = helpers.build(changed(**OTHER | {"pixels": pixels}), **SMALL)
    en.load_weights(ours, path)
    assert ours.passport.variant == other.passport.variant


def test_an_older_passport_says_nothing_of_preprocessing(other, tmp_path):
    path = str(tmp_path / "a.weights.h5")
    en.save_weights(other, path)
    with h5py.File(path, "a") as file:
        fields = json.loads(file.attrs["passport"])
        del fields["include_preprocessing"]
        del file.attrs[checksums.PASSPORT]  # which older versions did not write
        file.attrs["passport"] = json.dumps(fields)
    (said,) = en.EfficientNet(TEST, weights=path, **SMALL).load_report.decided
    assert said.startswith("include_preprocessing=True: assumed")


def test_weights_changed_after_keras_saved_them_are_noticed(tmp_path):
    source = helpers.build(TEST, **SMALL)
    path = saved(source, tmp_path / "a.weights.h5", keep_passport=True)
    with h5py.File(path, "a") as file:
        file["layers/dense/vars/1"][0] += 1
    with pytest.raises(ValueError, match="damaged or was changed"):
        en.EfficientNet(TEST, weights=path, **SMALL)
