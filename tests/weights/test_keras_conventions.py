"""What the config of a Keras file says of its network is built, or it is refused."""

import dataclasses
import json
import shutil

import h5py
import keras
import networks
import numpy as np
import pytest
import weight_helpers as helpers
from keras_conventions_support import (
    OTHER,
    SMALL,
    TEST,
    assert_alike,
    changed,
    saved,
)
from slow_cases import slow
from zip_files import read_zip, write_zip

import efficientnet_tf as en
from efficientnet_tf.models import pretrained
from efficientnet_tf.runs import run_model
from efficientnet_tf.weights import (
    checksums,
    evidence,
    keras_config,
    keras_conventions,
    neighbours,
    weights_file,
)


@pytest.mark.parametrize(
    ("fields", "file"),
    [
        *(((field,), "a.keras") for field in ("padding", "batch_norm_epsilon")),
        *slow((("pixels",), "a.keras")),
        (tuple(OTHER), "a.h5"),
    ],
)
def test_what_a_config_says_is_built(fields, file, tmp_path):
    stated = {field: OTHER[field] for field in fields}
    source = helpers.build(changed(**stated), **SMALL)
    ours = en.EfficientNet(TEST, weights=saved(source, tmp_path / file), **SMALL)
    assert_alike(ours, source)
    for name in ("padding", "batch_norm_epsilon"):
        expected = stated.get(name, getattr(changed(), name))
        assert getattr(ours.passport.variant, name) == expected
    # Only the resizing, which is outside of the network, is not in it.
    assert ours.load_report.decided == (
        "resize=bicubic: assumed, because nothing states it",
    )


@pytest.mark.parametrize("keeps", [True, False], ids=["passport", "config"])
def test_another_activation_is_refused(keeps, tmp_path):
    source = helpers.build(TEST, activation="relu6", **SMALL)
    path = saved(source, tmp_path / "a.keras", keep_passport=keeps)
    with pytest.raises(ValueError, match=r"a\.keras.*activation=relu6"):
        en.EfficientNet(TEST, weights=path, **SMALL)
    told = SMALL | {"activation": "relu6"}
    assert_alike(en.EfficientNet(TEST, weights=path, **told), source)
    assert_alike(pretrained.from_weights(path, TEST, **told), source)


def test_swish_is_silu():
    stated, wanted = changed(activation="silu"), changed(activation="swish")
    evidence.check_same_network(wanted, stated)
    with pytest.raises(ValueError, match="activation=relu builds it"):
        evidence.check_same_network(wanted, changed(activation="relu"))


def test_no_layer_of_a_strangers_config_is_built(monkeypatch):
    def never(*args):
        raise AssertionError("Keras built it")

    described = {"class_name": "Dense", "config": {"units": 10**12}}
    layer = keras_config.Layer("predictions", "Dense", {"activation": described})
    monkeypatch.setattr(keras.activations, "get", never)
    network = keras_config.Network({"predictions": layer})
    assert not keras_conventions.ends_in_sigmoids(network)


def edited(path, change):
    """Changes each layer's config in a `.keras` archive."""
    content = read_zip(path)
    config = json.loads(content["config.json"])
    for layer in config["config"]["layers"]:
        change(layer["name"], layer["config"])
    content["config.json"] = json.dumps(config).encode()
    write_zip(path, content)
    return path


def setting(layer, key, value):
    def change(name, config):
        if name == layer:
            config[key] = value

    return change


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    """A `.keras` file of the standard network, as older versions wrote it."""
    path = tmp_path_factory.mktemp("standard") / "a.keras"
    return saved(helpers.build(TEST, **SMALL), path)


@pytest.mark.parametrize(
    ("layer", "key", "value", "named"),
    [
        ("stem_activation", "activation", "relu6", "activation=relu6"),
        ("block1a_activation", "activation", "relu", "block1a_activation: relu in"),
        ("block1a_se_reduce", "activation", "relu", "block1a_se_reduce: .*relu"),
        ("block1a_dwconv", "strides", [1, 1], r"block1a_dwconv: strides \(1, 1\)"),
        *slow(("block1a_dwconv", "dilation_rate", [2, 2], r"dilation \(2, 2\)")),
        ("stem_bn", "epsilon", 0.1, "different values of epsilon .*0.1"),
        ("stem_conv", "padding", "valid", "layer stem_conv is padded as"),
        ("preprocessing", "scale", [0.0, 1.0, 1.0], "loses the pixels"),
        ("stem_bn", "epsilon", None, "layer stem_bn has epsilon=None"),
    ],
)
def test_a_layer_that_does_something_else_is_named(
    standard, layer, key, value, named, tmp_path
):
    path = tmp_path / "b.keras"
    shutil.copy(standard, path)
    edited(path, setting(layer, key, value))
    with pytest.raises(ValueError, match=rf"b\.keras.*{named}"):
        en.EfficientNet(TEST, weights=str(path), **SMALL)


def test_a_block_that_adds_nothing_is_named(tmp_path):
    blocks = ("r2_k3_s11_e1_i8_o8_noskip",)
    path = saved(
        helpers.build(TEST, **SMALL | {"blocks": blocks}), tmp_path / "a.keras"
    )
    adds = {"blocks": ("r2_k3_s11_e1_i8_o8",)}
    named = "block1a_add: nothing in the file, Add in"
    with pytest.raises(ValueError, match=named) as raised:
        en.EfficientNet(TEST, weights=path, **SMALL | adds)
    assert "skip" not in str(raised.value)  # it has no weights to skip
    en.EfficientNet(TEST, weights=path, **SMALL | {"blocks": blocks})


@pytest.fixture(scope="module")
def first():
    """A bottleneck that strides in its first convolution, as ResNet v1."""
    return helpers.build(bottleneck("c4"), **SMALL | {"blocks": None})


def bottleneck(kind):
    block = f"r1_k3_s22_e4_i8_o32_{kind}"
    return changed(blocks=(block,), stem_pool=True, activation="relu", stem_filters=8)


@pytest.mark.parametrize(
    "to",
    [
        *("a.keras", "w.h5"),
        *slow("a.h5", "w.weights.h5"),
    ],
)
def test_resnet_v1_is_not_loaded_as_v1_5(first, to, tmp_path):
    path = str(tmp_path / to)
    if to.startswith("a"):
        saved(first, path)
    else:
        fresh = "keras" if to == "w.h5" else None
        named = dataclasses.replace(first.passport.variant, name="mine")
        first.passport = dataclasses.replace(first.passport, variant=named)
        en.save_weights(first, path, format=fresh)
    wanted = dataclasses.replace(bottleneck("c3"), name="mine")
    ours = en.EfficientNet(wanted, weights=path, **SMALL | {"blocks": None})
    strided = [
        ours.get_layer(f"block1a_{role}conv").strides for role in ("reduce_", "")
    ]
    assert strided == [(2, 2), (1, 1)]
    assert_alike(ours, first)


def test_a_file_that_says_nothing_says_where_bottlenecks_are_assumed_to_stride(
    first, tmp_path
):
    path = str(tmp_path / "w.h5")
    named = dataclasses.replace(first.passport.variant, name="mine")
    first.passport = dataclasses.replace(first.passport, variant=named)
    en.save_weights(first, path)
    with h5py.File(path, "a") as file:  # as older versions wrote it
        del file.attrs["passport"], file.attrs[checksums.PASSPORT]
    wanted = dataclasses.replace(bottleneck("c3"), name="mine")
    ours = en.EfficientNet(wanted, weights=path, **SMALL | {"blocks": None})
    (said,) = ours.load_report.decided
    assert said.endswith(", strides=c3: assumed, because nothing states it")


def test_a_file_without_a_config_says_what_is_assumed(tmp_path, capsys):
    path = saved(helpers.build(TEST, **SMALL), tmp_path / "a.weights.h5")
    report = en.EfficientNet(TEST, weights=path, **SMALL).load_report
    (said,) = report.decided
    assert capsys.readouterr() == ("", "")
    weights_file.print_notes(report)  # as commands do
    assert f"{path}: {said}" in capsys.readouterr().err.splitlines()
    told, _, how = said.partition(": ")
    assert how == "assumed, because nothing states it"
    assert told == (
        "padding=same, batch_norm_epsilon=0.001, activation=swish, "
        "pixels=(x - 123.675 116.28 103.53) / 58.395 57.12 57.375, resize=bicubic"
    )


def test_sigmoids_of_a_config_are_built(tmp_path):
    source = helpers.build(TEST, classifier_activation="sigmoid", **SMALL)
    path = saved(source, tmp_path / "a.keras")
    ours = en.EfficientNet(TEST, weights=path, **SMALL)
    assert ours.layers[-1].activation is keras.activations.sigmoid
    assert ours.passport.multi_label
    assert run_model.open_weights(path, TEST)[0].multi_label  # as predict has them


def test_a_model_whose_layers_contradict_each_other_is_named():
    layers = [
        keras.Input((4, 4, 3)),
        keras.layers.Conv2D(3, 1, name="stem_conv"),
        keras.layers.BatchNormalization(epsilon=1e-3, name="stem_bn"),
        keras.layers.BatchNormalization(epsilon=1e-5, name="top_bn"),
    ]
    model = keras.Sequential(layers, name="mine")
    with pytest.raises(ValueError, match=r"^model mine: .* values of epsilon"):
        evidence.of_layers(model)


def test_a_layer_of_no_network_is_called_what_it_is():
    layer = keras_config.Layer("stem_activation", "ReLU", {"negative_slope": 0.1})
    told = evidence.Evidence(
        project="efficientnet",
        tensors={},
        passport=None,
        config=keras_config.Network({layer.name: layer}),
        config_says={},
        beside=neighbours.NONE,
    )
    relu = keras.layers.ReLU(name=layer.name)
    model = keras.Sequential([keras.Input((4, 4, 3)), relu])
    found = told.differences(model, {}, (), part=False)
    assert found == ["layer stem_activation is a leaky ReLU"]


def test_layers_before_the_network_count(tmp_path):
    x = inputs = keras.Input((16, 16, 3))
    x = keras.layers.RandomFlip()(x)
    x = keras.layers.Rescaling(1 / 255)(x)
    x = keras.layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.25] * 3)(x)
    small = SMALL | {"include_preprocessing": False, "input_tensor": x}
    del small["input_shape"]
    source = helpers.build(TEST, input_shape=None, **small)
    assert source.inputs[0] is inputs
    ours = en.EfficientNet(TEST, weights=saved(source, tmp_path / "a.keras"), **SMALL)
    pixels = ours.passport.variant.pixels
    np.testing.assert_allclose(pixels.mean, (25.5, 51, 76.5))
    np.testing.assert_allclose(pixels.stddev, (127.5,) * 3)
    assert_alike(ours, source)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting"),
        ('{"config": {"layers": [{"name": "stem_conv"}]}}', "'config'"),
        (
            '{"config": {"layers": [{"name": "stem_conv", "class_name": "Conv2D", '
            '"config": null}]}}',
            "layer stem_conv has no config",
        ),
        ("[" * 200_000, "recursion"),
    ],
    ids=["cut", "strange", "null", "deep"],
)
def test_a_damaged_config_is_named(text, reason, tmp_path, standard):
    path = tmp_path / "c.keras"
    write_zip(path, read_zip(standard) | {"config.json": text})
    with pytest.raises(ValueError, match=rf"c\.keras: its Keras config .*{reason}"):
        en.EfficientNet(TEST, weights=str(path), **SMALL)


def test_a_network_that_strides_in_both_ways_is_read(tmp_path):
    blocks = ("r1_k3_s22_e4_i8_o8_c3", "r1_k3_s22_e4_i8_o8_c4", "r1_k3_s22_e1_i8_o8_cc")
    variant = networks.own(*blocks)
    source = helpers.build(variant, classes=3)
    path = saved(source, tmp_path / "a.keras")
    ours = en.EfficientNet(variant, weights=path, classes=3)
    helpers.assert_same(ours, helpers.values(source))
    assert ours.passport.variant == variant
