"""Named builders, heads and endpoints."""

import dataclasses
import itertools

import keras
import networks
import numpy as np
import pytest
from models_support import (
    LETTERS,
    SMALL,
    assert_counts,
    copy_weights,
    images,
    outputs_by_name,
    pair,
    randomize,
    without_chance,
)
from slow_cases import all_but, slow

import efficientnet_tf as en
from efficientnet_tf.models import efficientnet

V2_BUILDERS = ["B0", "B1", "B2", "B3", "S", "M", "L"]


@pytest.mark.parametrize(
    "builder",
    [f"EfficientNet{x.upper()}" for x in LETTERS]
    + [f"EfficientNetV2{x}" for x in V2_BUILDERS],
)
def test_named_builders_take_what_keras_applications_takes(builder):
    ours, theirs = getattr(en, builder), getattr(keras.applications, builder)
    names = ours.__code__.co_varnames[: ours.__code__.co_argcount]
    wanted = theirs.__code__.co_varnames[: theirs.__code__.co_argcount]
    assert names == wanted
    assert ours.__defaults__ == theirs.__defaults__
    assert ours.__name__ == builder
    assert f"keras.applications.{builder}" in ours.__doc__


def test_named_builders_build_the_variant_they_name():
    v2 = en.EfficientNetV2B0(
        weights=None, input_shape=(32, 32, 3), classes=3, include_preprocessing=False
    )
    assert v2.name == "efficientnetv2-b0"
    assert v2.count_params() == en.count("efficientnetv2-b0", classes=3).params
    assert "preprocessing" not in [layer.name for layer in v2.layers]
    v1 = en.EfficientNetB1(weights=None, input_shape=(32, 32, 3), classes=3, name="x")
    assert v1.name == "x"
    assert v1.count_params() == en.count("efficientnet-b1", classes=3).params


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        *slow(*itertools.product(["efficientnet-b0"], [None, "avg", "max"])),
        *slow(("efficientnetv2-b0", "avg")),
        ("mobilenet-v1", None),
        ("mobilenet-v2", "max"),
        *slow(("resnet-50-v1", "max")),
    ],
)
def test_features_without_the_top_equal_keras_applications(name, pooling):
    shape = (64, 64, 3) if name == "mobilenet-v1" else None
    both = pair(name, 64, include_top=False, pooling=pooling, input_shape=shape)
    if shape is None:
        assert both.ours.input_shape == (None, None, None, 3)
    both.assert_same_output()
    assert both.ours(both.our_input).ndim == (2 if pooling else 4)


# The layers whose outputs the endpoints are, at half the depth.
ENDPOINTS = {
    "efficientnet-b0": [
        *("block1a_project_bn", "block2a_project_bn", "block3a_project_bn"),
        *("block5b_add", "block7a_project_bn", "top_activation"),
    ],
    "efficientnetv2-b0": [
        *("block1a_project_activation", "block2a_project_bn", "block3a_project_bn"),
        *("block5c_add", "block6d_add", "top_activation"),
    ],
    "resnet-50": [
        *("stem_activation", "block1b_output_activation", "block2b_output_activation"),
        *("block3c_output_activation", "block4b_output_activation"),
        "block4b_output_activation",
    ],
    "mobilenet-v1": [
        *(f"block{x}_project_activation" for x in ("1a", "2a", "3a", "4c", "5a", "5a")),
    ],
}


@pytest.mark.parametrize("name", all_but({"resnet-50"}, ENDPOINTS))
def test_endpoints_are_the_full_models_feature_maps(name):
    x = images(64)
    kwargs = {"input_shape": (64, 64, 3), "depth": 0.5}
    full = randomize(without_chance(name, **kwargs), x)
    reductions = [f"reduction_{i}" for i in range(1, 6)]
    wanted = ["pooled_features", *reductions, "features", "stem"]
    part = en.EfficientNet(name, endpoints=wanted, **kwargs)
    copy_weights(full, part)
    got = part(x)
    assert sorted(got) == sorted(wanted)
    layers = dict(zip([*reductions, "features"], ENDPOINTS[name], strict=True))
    layers |= {"stem": "stem_activation", "pooled_features": "avg_pool"}
    expected = outputs_by_name(full, dict.fromkeys(layers.values()), x)
    for endpoint, layer in layers.items():
        np.testing.assert_allclose(got[endpoint], expected[layer], atol=1e-5)
    assert [got[name].shape[1:3] for name in reductions] == [
        (32, 32),
        (16, 16),
        (8, 8),
        (4, 4),
        (2, 2),
    ]


def test_endpoints_take_any_size_unless_one_is_given():
    model = en.EfficientNet("efficientnet-test", endpoints=["features"])
    assert model.input_shape == (None, None, None, 3)
    assert model(images(64))["features"].shape == (2, 2, 2, 128)


def test_endpoints_leave_out_what_they_do_not_need():
    model = en.EfficientNet("efficientnet-b0", endpoints=["reduction_2"])
    layers = [layer.name for layer in model.layers]
    assert layers[-1] == "block2b_add"
    assert model.passport.classes is None
    network = en.expand("efficientnet-b0")
    for endpoints, count in ((["stem"], 0), (["reduction_2", "stem"], 3)):
        assert len(efficientnet.cut_behind(endpoints, network)) == count
    assert efficientnet.cut_behind(["features", "stem"], network) is network


def test_sigmoid_scores_several_labels_an_image():
    logits, scores, probabilities = (
        without_chance(SMALL, classes=7, classifier_activation=activation)
        for activation in (None, "sigmoid", "softmax")
    )
    x = images(32)
    randomize(logits, x)
    for model in (scores, probabilities):
        copy_weights(logits, model)
    values = np.asarray(logits(x), "float64")
    np.testing.assert_allclose(scores(x), 1 / (1 + np.exp(-values)), atol=1e-5)
    exponents = np.exp(values - values.max())
    np.testing.assert_allclose(
        probabilities(x), exponents / exponents.sum(-1, keepdims=True), atol=1e-5
    )
    assert np.abs(np.asarray(scores(x)).sum(-1) - 1).min() > 0.1


def test_activation_replaces_the_variants_but_not_a_block_strings():
    model = en.EfficientNet(
        networks.own(*networks.FIRSTS), activation="relu6", input_shape=(32, 32, 3)
    )
    found = {
        x.name: x.activation.__name__ for x in model.layers if hasattr(x, "activation")
    }
    for name, activation in found.items():
        if name.endswith(("_activation", "se_reduce")):
            wanted = "relu" if name.startswith("block2") else "relu6"
            assert activation == wanted, name
    assert found["stem_activation"] == found["top_activation"] == "relu6"
    assert found["predictions"] == "softmax"
    assert en.EfficientNet("efficientnet-test", activation="gelu").passport.variant == (
        dataclasses.replace(en.get_variant("efficientnet-test"), activation="gelu")
    )


def test_blocks_width_and_depth_make_a_network_of_ones_own():
    strings = ["r1_k3_s11_e1_i16_o16", "r2_k5_s22_e4_i16_o24_se0.25"]
    model = en.EfficientNet(
        blocks=strings, width=2.0, depth=1.5, classes=3, input_shape=(32, 32, 3)
    )
    variant = dataclasses.replace(
        en.get_variant("efficientnet-b0"),
        blocks=tuple(strings),
        width=2.0,
        depth=1.5,
        stem_filters=16,
    )
    assert model.passport.variant == variant
    assert_counts(model, variant, classes=3)
    assert model.get_layer("stem_conv").filters == 32
    assert model.get_layer("top_conv").filters == 2560
    assert [x.name for x in model.layers if x.name.endswith("_dwconv")] == [
        f"block{x}_dwconv" for x in ("1a", "1b", "2a", "2b", "2c")
    ]
    assert model.get_layer("block2c_dwconv").kernel.shape == (5, 5, 192, 1)
