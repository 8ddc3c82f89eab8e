"""What a weights file says of itself."""

import dataclasses
import json

import numpy as np
import pytest
import weight_helpers as helpers

import efficientnet_tf as en
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
    ],
)
def test_another_versions_passport_is_refused(change):
    fields = json.loads(full().dumps()) | change
    with pytest.raises(ValueError, match="passport of another version"):
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
    source.passport = dataclasses.replace(source.passport, image_size=48, **told)
    path = str(tmp_path / file_name)
    en.save_weights(source, path)
    model = en.load_weights(helpers.build(TEST), path)
    expected = dataclasses.replace(source.passport, source=path)
    assert model.passport == expected


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
