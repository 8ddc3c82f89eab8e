"""What a weights file says of itself."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import weight_helpers as helpers

import efficientnet_tf as en
from efficientnet_tf import variants
from efficientnet_tf.weights import neighbours, weights_file
from efficientnet_tf.weights import passport as passports

TEST = "efficientnet-test"


def full():
    return passports.Passport(
        en.get_variant("efficientnet-lite0"),
        classes=1001,
        label_set="imagenet-1k",
        label_offset=1,
        image_size=224,
        crop="padded",
        averaged=True,
        source="imagenet",
        skipped=("predictions/kernel", "predictions/bias"),
        sha256="0" * 64,
    )


@pytest.mark.parametrize("name", en.list_variants())
def test_round_trip(name):
    stated = dataclasses.replace(full(), variant=en.get_variant(name))
    assert passports.loads(stated.dumps()) == stated
    assert passports.loads(passports.Passport(None).dumps()) == passports.Passport(None)


def test_a_mean_below_0_survives():
    pixels = variants.Pixels((-127.5,) * 3, (255.0,) * 3, "bicubic")
    variant = dataclasses.replace(en.get_variant(TEST), pixels=pixels)
    stated = dataclasses.replace(full(), variant=variant)
    assert passports.loads(stated.dumps()) == stated


def test_what_lies_beside_names_a_network_that_a_passport_does_not():
    found = weights_file.WeightsFile("f", "timm", {}, dict, lambda t, v: v)
    beside = neighbours.Neighbours(network=TEST)
    found = dataclasses.replace(found, passport=passports.Passport(None), beside=beside)
    assert found.variant == TEST


def test_names_of_classes_survive_and_older_passports_have_none():
    stated = dataclasses.replace(full(), class_names=("rose", "Gänseblümchen"))
    assert passports.loads(stated.dumps()) == stated
    fields = json.loads(full().dumps())
    del fields["class_names"]
    assert passports.loads(json.dumps(fields)) == full()


def test_turning_survives_and_older_passports_turned_no_image():
    for exif in (True, False, None):
        stated = dataclasses.replace(full(), exif=exif)
        assert passports.loads(stated.dumps()) == stated
    fields = json.loads(full().dumps())
    del fields["exif"]
    assert passports.loads(json.dumps(fields)).exif is False


def test_sigmoids_survive_and_older_passports_have_none(tmp_path):
    stated = dataclasses.replace(full(), multi_label=True)
    assert passports.loads(stated.dumps()) == stated
    fields = json.loads(full().dumps())
    del fields["multi_label"]
    assert passports.loads(json.dumps(fields)).multi_label is False
    source = helpers.build(TEST, classifier_activation="sigmoid")
    assert source.passport.multi_label and not helpers.build(TEST).passport.multi_label
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(source, path)
    for made in (en.EfficientNet(TEST, weights=path, classes=10), path):
        model = made if made is not path else en.load_weights(TEST, path)
        assert model.layers[-1].activation is keras.activations.sigmoid
        assert model.passport.multi_label
    logits = helpers.build(TEST, classifier_activation=None)
    assert en.load_weights(logits, path).passport.multi_label


def test_json_says_what_to_feed():
    fields = json.loads(full().dumps())
    assert fields["input_range"] == [0, 255]
    assert fields["variant"]["pixels"]["mean"] == [127.0] * 3


@pytest.mark.parametrize(
    "change",
    [
        {"unknown": 1},
        {"variant": {"name": "a"}},
        {"variant": {"name": "a", "pixels": {}, "blocks": []}},
        {"skipped": None},
        {"class_names": 3},
        {"multi_label": 3},
        {"class_names": ["a", 3]},
    ],
)
def test_another_versions_passport_is_refused(change):
    fields = json.loads(full().dumps()) | change
    with pytest.raises(ValueError, match="passport is damaged, or of another version"):
        passports.loads(json.dumps(fields))


def test_another_versions_file_is_refused_by_name(tmp_path):
    import h5py

    path = str(tmp_path / "w.weights.h5")
    model = helpers.build(TEST)
    en.save_weights(model, path)
    for text in ('{"format": 2}', "no JSON"):
        with h5py.File(path, "a") as file:
            file.attrs["passport"] = text
        with pytest.raises(ValueError, match=r"w\.weights\.h5"):
            en.load_weights(model, path)


def test_a_new_model_says_how_it_was_built():
    stated = helpers.build(TEST).passport
    assert stated.variant == en.get_variant(TEST)
    assert (stated.classes, stated.source, stated.averaged) == (10, "random", None)
    headless = en.EfficientNet(TEST, include_top=False, include_preprocessing=False)
    assert headless.passport.classes is None


@pytest.mark.parametrize("file_name", ["w.weights.h5", "w.safetensors"])
def test_what_a_file_says_is_the_models(file_name, tmp_path):
    source = helpers.build(TEST)
    told = {"label_set": "ten", "label_offset": 1, "crop": "fixed", "averaged": True}
    told["class_names"] = tuple("abcdefghé")
    source.passport = dataclasses.replace(source.passport, image_size=48, **told)
    path = str(tmp_path / file_name)
    en.save_weights(source, path)
    model = en.load_weights(helpers.build(TEST), path)
    expected = dataclasses.replace(source.passport, source=path)
    assert model.passport == expected


@pytest.mark.parametrize("file_name", ["w.weights.h5", "w.safetensors"])
def test_files_hold_the_names_of_thousands_of_classes(file_name, tmp_path):
    # HDF5 holds no attribute above 64 KB.
    names = tuple(f"{number:05}_a_species_with_a_long_name" for number in range(3000))
    source = helpers.build(TEST, classes=3000)
    source.passport = dataclasses.replace(source.passport, class_names=names)
    path = str(tmp_path / file_name)
    en.save_weights(source, path)
    model = en.load_weights(TEST, path)
    assert model.passport.class_names == names
    if file_name.endswith(".h5"):  # Keras's own reader
        helpers.randomize(model)
        model.load_weights(path)
        helpers.assert_same(model, helpers.values(source))


def test_a_file_of_a_known_label_set_without_names_gets_them(tmp_path):
    source = helpers.build(TEST)
    source.passport = dataclasses.replace(source.passport, label_set="digits")
    path = str(tmp_path / "older.weights.h5")
    en.save_weights(source, path)
    names = en.load_weights(TEST, path).passport.class_names
    assert names == tuple(map(str, range(10)))


def test_a_new_classifier_takes_no_names(tmp_path):
    source = helpers.build(TEST)
    source.passport = dataclasses.replace(
        source.passport, class_names=tuple("abcdefghij"), label_set="letters"
    )
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(source, path)
    model = en.load_weights(helpers.build(TEST), path, skip=["predictions"])
    assert (model.passport.class_names, model.passport.label_set) == (None, None)


@pytest.mark.parametrize(("classes", "offset"), [(1000, 0), (1001, 1)])
def test_released_weights_have_imagenets_names(classes, offset):
    bias = {"predictions/bias": np.zeros(classes)}
    file = weights_file.WeightsFile("f", "keras", bias, dict, lambda t, v: v)
    released = dataclasses.replace(file, release=f"{TEST} imagenet")
    assert released.class_names[985] == "daisy"
    assert (len(released.class_names), released.label_offset) == (1000, offset)
    assert file.class_names is None
    larger = dataclasses.replace(file, release=f"{TEST} imagenet21k")
    assert larger.class_names is None


def test_digest_is_of_paths_shapes_and_values():
    tensors = {"a": np.zeros((2, 3)), "b": np.ones(4)}
    digest = passports.digest(tensors)
    assert digest == passports.digest(dict(reversed(tensors.items())))
    assert digest == passports.digest({p: v.astype("f2") for p, v in tensors.items()})
    for other in (
        {"a": np.zeros((3, 2)), "b": np.ones(4)},
        {"a": np.zeros((2, 3)), "c": np.ones(4)},
        {"a": np.zeros((2, 3)), "b": np.ones(4) * (1 + 2**-20)},
        {"a": np.zeros((2, 3))},
    ):
        assert passports.digest(other) != digest


@pytest.mark.parametrize(
    ("crop", "is_earlier", "expected"),
    [
        ("fixed", True, "exact"),  # 0.875, with which they were evaluated
        ("fixed", False, "fixed"),
        ("padded", True, "padded"),
        (None, True, None),
    ],
)
def test_the_crop_of_an_earlier_version_is_kept(crop, is_earlier, expected):
    told = dataclasses.replace(passports.Passport(en.get_variant(TEST)), crop=crop)
    fields = json.loads(told.dumps())
    if is_earlier:
        del fields["multi_label"]
    assert passports.loads(json.dumps(fields)).crop == expected
