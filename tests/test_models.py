"""The models against keras.applications, an independent implementation."""

import dataclasses
import functools
import json
import subprocess
import sys

import keras
import networks
import numpy as np
import pytest
import weight_helpers
from applications import (
    assert_same_function,
    assert_same_values,
    normalised,
    prepared,
)
from builds import JIT

import efficientnet_tf as en
from efficientnet_tf.data import batches, tfrecord
from efficientnet_tf.models import efficientnet
from efficientnet_tf.weights import keras_files, layout

LETTERS = [f"b{i}" for i in range(8)]
V2_LETTERS = ["b0", "b1", "b2", "b3", "s"]
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STDDEV = np.array([0.229, 0.224, 0.225])
APPLICATIONS = {
    **{f"efficientnet-{x}": f"EfficientNet{x.upper()}" for x in LETTERS},
    **{f"efficientnetv2-{x}": f"EfficientNetV2{x.upper()}" for x in V2_LETTERS},
    "mobilenet-v1": "MobileNet",
    "mobilenet-v2": "MobileNetV2",
    "resnet-50-v1": "ResNet50",
    "resnet-152-v1": "ResNet152",
}
# As those tried by default, but for the number of blocks and filters.
SCALED = {f"efficientnet-b{i}" for i in range(1, 9)} | {
    *(f"efficientnetv2-{size}" for size in ("b1", "b2", "b3", "s", "m", "l", "xl")),
    *(f"efficientnet-lite{i}" for i in range(1, 5)),
    *("efficientnet-edgetpu-m", "efficientnet-edgetpu-l"),
    *("efficientnet-l2", "efficientnet-l2-475"),
    *("efficientnet-condconv-b0-8e", "efficientnet-condconv-b0-8e-depth"),
    *("resnet-152", "resnet-152-v1"),
}
SMALL = networks.own(*networks.TINY.split(","))


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("EFFICIENTNET_TF_OFFLINE", "1")


def images(*size, batch=2, channels=3):
    shape = (batch, *(size * 2)[:2], channels)
    return np.random.default_rng(1).integers(0, 256, shape).astype("float32")


def norms(model):
    kind = keras.layers.BatchNormalization
    return [layer for layer in model.layers if isinstance(layer, kind)]


def randomize(model, x, *, least_variance=0.1):
    """Random weights, and the statistics of `x`: with others activations grow."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(rng.uniform(0.8, 1.2, layer.gamma.shape))
            layer.beta.assign(rng.normal(0, 0.1, layer.beta.shape))
        elif layer.name == "predictions":
            layer.kernel.assign(layer.kernel * 10)  # else all classes are alike
            layer.bias.assign(rng.normal(0, 1, layer.bias.shape))
        elif getattr(layer, "use_bias", False):
            layer.bias.assign(rng.normal(0, 0.1, layer.bias.shape))
    return weight_helpers.calibrate(model, x, least_variance=least_variance)


def without_chance(name, **kwargs):
    return en.EfficientNet(name, survival_prob=1.0, dropout_rate=0.0, **kwargs)


def copy_weights(source, target):
    """By layer name; every layer with weights must have a counterpart."""
    for layer in target.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())


def build_theirs(name, **kwargs):
    """keras.applications with ImageNet's statistics, as its released weights have."""
    theirs = getattr(keras.applications, APPLICATIONS[name])(weights=None, **kwargs)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.set_weights([IMAGENET_MEAN, IMAGENET_STDDEV**2, np.array(0)])
            layer.finalize_state()
    return theirs


def give_weights(ours, theirs):
    """Makes theirs as ours; returns what it calls our layers."""
    variables = layout.variables(theirs)
    family = keras_files.detect(variables)
    plan, values = layout.layout(ours), layout.values(ours)
    names = keras_files.names(plan, family, variables)
    for tensor in plan.tensors:
        value = keras_files.encode(tensor, values[tensor.path], family)
        variables.pop(names[tensor.path]).assign(value)
    for path, variable in variables.items():
        if not path.startswith("normalization"):
            # Biases that ResNets have in front of batch norms; zero when new.
            assert family == "resnet" and path.endswith("/bias"), path
            assert not np.any(variable)
    return {a.split("/")[0]: b.split("/")[0] for a, b in names.items()}


def pair(name, *size, **kwargs):
    """Ours and theirs with the same weights, and input that both take."""
    x = images(*size).astype("float64")
    if "input_shape" not in kwargs:
        kwargs["input_shape"] = x.shape[1:]
    ours = without_chance(name, include_preprocessing=False, **kwargs)
    theirs = build_theirs(name, **kwargs)
    ready = normalised(name, theirs, x)
    randomize(ours, ready)
    return Pair(ours, theirs, give_weights(ours, theirs), ready, prepared(name, x))


@dataclasses.dataclass
class Pair:
    ours: keras.Model
    theirs: keras.Model
    names: dict  # of their layers, by ours
    our_input: np.ndarray
    their_input: np.ndarray

    def assert_same_output(self):
        got, expected = self.ours(self.our_input), self.theirs(self.their_input)
        weight_helpers.assert_same_outputs(np.asarray(got), np.asarray(expected))


def outputs_by_name(model, names, x):
    outputs = {name: model.get_layer(name).output for name in names}
    values = keras.Model(model.input, outputs)(x, training=False)
    return {name: np.asarray(value) for name, value in values.items()}


def macs_of(model):
    """Multiply-accumulates, off the built layers."""
    total = 0
    for layer in model.layers:
        if not hasattr(layer, "kernel"):
            continue
        kernel = np.prod(layer.kernel.shape)
        pixels = np.prod(layer.output.shape[1:-1], initial=1)
        experts = getattr(layer, "experts", 0)
        total += kernel // max(1, experts) * pixels + (kernel if experts else 0)
    return total


def assert_counts(model, variant, **kwargs):
    counted = en.count(variant, image_size=model.input_shape[1:3], **kwargs)
    trainable = sum(np.prod(v.shape) for v in model.trainable_variables)
    assert counted.params == model.count_params()
    assert counted.trainable_params == trainable
    assert counted.macs == macs_of(model)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SCALED else ())
        for name in APPLICATIONS
    ],
)
def test_probabilities_and_every_layer_equal_keras_applications(name):
    # MobileNet pads odd sizes at the other end.
    both = pair(name, 64 if name == "mobilenet-v1" else 97, 64)
    assert_counts(both.ours, name)
    their_names = {layer.name for layer in both.theirs.layers}
    names = {k: v for k, v in both.names.items() if v != "conv_preds"}
    names |= {n: n for n in (x.name for x in both.ours.layers) if n in their_names}
    if name.startswith("efficientnet"):
        only_theirs = their_names - set(names.values())
        # Ours pads inside strided convolutions; neither normalises nor drops here.
        assert all(
            other.endswith(("_pad", "_drop", "_dropout"))
            or other.startswith(("input_layer", "rescaling", "normalization"))
            for other in only_theirs
        ), only_theirs
        assert len(names) > 150
    got = outputs_by_name(both.ours, names, both.our_input)
    expected = outputs_by_name(both.theirs, names.values(), both.their_input)
    for mine, other in names.items():
        scale = np.abs(expected[other]).max()
        assert np.abs(got[mine] - expected[other]).max() <= 1e-9 * scale, mine
    both.assert_same_output()
    probabilities = got["predictions"]
    assert np.ptp(probabilities, axis=-1).min() > 0.01
    assert np.abs(np.subtract(*probabilities)).max() > 0.01


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("efficientnet-b0", (224, 224)),
        pytest.param("efficientnet-b0", (75, 75), marks=pytest.mark.slow),
        pytest.param("resnet-50-v1", (75, 98), marks=pytest.mark.slow),
    ],
)
def test_native_and_odd_sizes_equal_keras_applications(name, size):
    both = pair(name, *size)
    both.assert_same_output()
    assert_counts(both.ours, name)


@pytest.mark.parametrize("name", ["efficientnet-b0", "efficientnetv2-b0"])
def test_pixels_to_probabilities_equal_keras_applications_in_float32(name):
    x = images(64)
    ours = without_chance(name, input_shape=(64, 64, 3))
    # With less, networks as deep magnify rounding; with 1 they see no images any more.
    randomize(ours, x, least_variance=0.3)
    theirs = build_theirs(name, input_shape=(64, 64, 3))
    give_weights(ours, theirs)
    expected = np.asarray(theirs(x))
    scale = expected.max()
    assert np.abs(np.subtract(*expected)).max() > 0.5 * scale
    # Rounding, 1e-7, is magnified to 3e-5.
    np.testing.assert_allclose(ours(x), expected, atol=3e-3 * scale, rtol=0)


@pytest.mark.parametrize(
    "name",
    [
        *("efficientnet-b0", "efficientnetv2-b0", "efficientnetv2-s"),
        *("mobilenet-v1", "mobilenet-v2", "resnet-50-v1"),
        pytest.param("efficientnetv2-b3", marks=pytest.mark.slow),
    ],
)
def test_preprocessing_equals_keras_applications(name):
    ours = en.EfficientNet(name, input_shape=(32, 32, 3), endpoints=["stem"])
    inside = name.startswith("efficientnet")
    theirs = build_theirs(name, input_shape=(32, 32, 3)) if inside else None
    x = images(32)
    got = outputs_by_name(ours, ["preprocessing"], x)["preprocessing"]
    assert_same_values(got, normalised(name, theirs, x))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SCALED else ())
        for name in en.list_variants()
        if name not in APPLICATIONS
    ],
)
def test_counting_agrees_with_the_built_model(name):
    model = en.EfficientNet(name, input_shape=(64, 96, 3), classes=7)
    assert_counts(model, name, classes=7)


@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_networks_of_every_kind_of_block_count_as_built(padding):
    variant = networks.own(*networks.KINDS, padding=padding)
    model = en.EfficientNet(
        variant, input_shape=(75, 98, 4), classes=5, classifier_activation=None
    )
    assert_counts(model, variant, classes=5, channels=4)
    randomize(model, x := images(75, 98, channels=4))
    assert np.abs(np.subtract(*np.asarray(model(x)))).max() > 0.01


@pytest.mark.parametrize(
    "variant",
    [
        networks.own(*networks.KINDS),
        networks.own(*networks.KINDS, padding="symmetric", stem_pool=True),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("efficientnet-b0", "resnet-50", "efficientnet-condconv-b0-4e")
        ),
    ],
    ids=["same", "symmetric", "b0", "resnet-50", "condconv"],
)
def test_unknown_size_gives_what_the_known_size_gives(variant):
    x = images(75, 98)
    fixed = randomize(without_chance(variant, input_shape=(75, 98, 3)), x)
    free = without_chance(variant, input_shape=(None, None, 3))
    copy_weights(fixed, free)
    np.testing.assert_allclose(fixed(x), free(x), atol=1e-6, rtol=0)
    assert np.ptp(fixed(x), axis=-1).min() > 0.01


@pytest.mark.parametrize("size", [(64, 64), (75, 98)])
def test_symmetric_padding_samples_every_second_pixel_from_the_first(size):
    variant = networks.own(
        *networks.KINDS, stem_kernel=7, stem_pool=True, padding="symmetric"
    )
    variant = dataclasses.replace(variant, activation="relu")
    x = images(*size)
    model = randomize(without_chance(variant, input_shape=x.shape[1:]), x)
    strided = [layer for layer in model.layers if layer.name.endswith("_pad")]
    assert [layer.name for layer in strided] == [
        *("stem_conv_pad", "stem_pool_pad", "block2a_dwconv_pad", "block5a_conv_pad"),
        "block8a_expand_conv_pad",
    ]
    for pad in strided:
        layer = model.get_layer(pad.name.removesuffix("_pad"))
        before, after = keras.Model(model.input, [pad.input, layer.output])(x)
        if layer.name == "stem_pool":
            dense = keras.ops.max_pool(before, 3, 1, "same")
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            dense = keras.ops.depthwise_conv(before, layer.kernel, 1, "same")
        else:
            dense = keras.ops.conv(before, layer.kernel, 1, "same")
        scale = np.abs(after).max()
        np.testing.assert_allclose(after, dense[:, ::2, ::2], atol=1e-5 * scale)


def by_hand(x, model, name, *, strides=1, activation=None):
    """A convolution, its batch norm and an activation, from their definitions."""
    conv, norm = model.get_layer(f"{name}conv"), model.get_layer(f"{name}bn")
    x = keras.ops.conv(x, conv.kernel, strides, "same")
    x = (x - norm.moving_mean) / keras.ops.sqrt(norm.moving_variance + norm.epsilon)
    x = x * norm.gamma + norm.beta
    return keras.ops.relu(x) if activation else x


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("kind", "strides"), [("c1", 1), ("c1", 2), ("c3", 2)])
def test_blocks_that_keras_applications_lacks_are_as_by_hand(kind, strides):
    variant = networks.own(
        f"r1_k3_s{strides}{strides}_e4_i8_o8_{kind}", activation="relu", divisor=2
    )
    x = images(32)
    model = randomize(without_chance(variant, input_shape=(32, 32, 3)), x)
    last = "block1a_output_activation" if kind == "c3" else "block1a_add"
    if kind == "c1" and strides == 2:
        last = "block1a_project_bn"
    stem, out = outputs_by_name(model, ["stem_activation", last], x).values()
    hand = functools.partial(by_hand, model=model)
    if kind == "c1":
        y = hand(stem, name="block1a_expand_", activation="relu")
        y = hand(y, name="block1a_project_", strides=strides)
        y = y + stem if strides == 1 else y
    else:
        y = hand(stem, name="block1a_reduce_", activation="relu")
        y = hand(y, name="block1a_", strides=strides, activation="relu")
        y = hand(y, name="block1a_project_")
        y = keras.ops.relu(y + hand(stem, name="block1a_shortcut_", strides=strides))
    np.testing.assert_allclose(out, y, atol=1e-9)
    assert np.std(out) > 0.1


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
        ("efficientnet-b0", None),
        pytest.param("efficientnet-b0", "avg", marks=pytest.mark.slow),
        pytest.param("efficientnet-b0", "max", marks=pytest.mark.slow),
        ("efficientnetv2-b0", "avg"),
        ("mobilenet-v1", None),
        ("resnet-50-v1", "max"),
    ],
)
def test_features_without_the_top_equal_keras_applications(name, pooling):
    shape = (64, 64, 3) if name == "mobilenet-v1" else None
    both = pair(name, 64, include_top=False, pooling=pooling, input_shape=shape)
    if shape is None:
        assert both.ours.input_shape == (None, None, None, 3)
    both.assert_same_output()
    assert both.ours(both.our_input).ndim == (2 if pooling else 4)


# The layers whose outputs the endpoints are.
ENDPOINTS = {
    "efficientnet-b0": [
        *("block1a_project_bn", "block2b_add", "block3b_add", "block5c_add"),
        *("block7a_project_bn", "top_activation"),
    ],
    "efficientnetv2-b0": [
        *("block1a_project_activation", "block2b_add", "block3b_add", "block5e_add"),
        *("block6h_add", "top_activation"),
    ],
    "resnet-50": [
        *("stem_activation", "block1c_output_activation", "block2d_output_activation"),
        *("block3f_output_activation", "block4c_output_activation"),
        "block4c_output_activation",
    ],
    "mobilenet-v1": [
        *(f"block{x}_project_activation" for x in ("1a", "2b", "3b", "4f", "5b", "5b")),
    ],
}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_endpoints_are_the_full_models_feature_maps(name):
    x = images(64)
    full = randomize(without_chance(name, input_shape=(64, 64, 3)), x)
    reductions = [f"reduction_{i}" for i in range(1, 6)]
    wanted = ["pooled_features", *reductions, "features", "stem"]
    part = en.EfficientNet(name, input_shape=(64, 64, 3), endpoints=wanted)
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
        assert len(efficientnet._as_far_as(endpoints, network)) == count
    assert efficientnet._as_far_as(["features", "stem"], network) is network


def test_sigmoid_scores_several_labels_an_image():
    logits, scores, probabilities = (
        without_chance("efficientnet-test", classes=7, classifier_activation=activation)
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
        networks.own(*networks.KINDS), activation="relu6", input_shape=(32, 32, 3)
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


def fit_one_step(model, x, classes):
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    before = layout.values(model)
    model.fit(x, np.arange(len(x)) % classes, epochs=1, verbose=0)
    after = layout.values(model)
    assert all(np.isfinite(value).all() for value in after.values())
    return {path for path in before if not np.array_equal(before[path], after[path])}


def test_frozen_batch_norm_keeps_statistics_and_weights_in_training():
    model = without_chance(SMALL, classes=3, batch_norm="frozen")
    usual = without_chance(SMALL, classes=3)
    copy_weights(randomize(usual, images(32, batch=6)), model)
    norm = {f"{x.name}/{v.name}" for x in norms(model) for v in x.weights}
    x = 255 - images(32, batch=6)
    changed = fit_one_step(model, x, 3)
    assert not changed & norm
    assert changed == set(layout.values(model)) - norm
    assert norm <= fit_one_step(usual, x, 3)


def test_frozen_batch_norm_trains_as_it_infers():
    x = images(32)
    usual = randomize(without_chance("efficientnet-test"), x)
    frozen = without_chance("efficientnet-test", batch_norm="frozen")
    copy_weights(usual, frozen)
    np.testing.assert_allclose(frozen(x, training=True), usual(x), atol=1e-6)
    assert np.abs(usual(x, training=True) - usual(x)).max() > 1e-3


@pytest.mark.parametrize("batch_norm", ["local", "sync", "grouped", "frozen"])
def test_every_batch_norm_survives_a_keras_file(batch_norm, tmp_path):
    model = en.EfficientNet("efficientnet-test", batch_norm=batch_norm)
    x = images(32)
    if batch_norm != "frozen":
        model(x, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for first, second in zip(norms(model), norms(again), strict=True):
        assert type(first) is type(second)
        assert first.get_config() == second.get_config()
    np.testing.assert_allclose(again(x), model(x), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "momentum", "epsilon"),
    [
        ("efficientnet-b0", 0.99, 1e-3),
        ("efficientnetv2-b0", 0.9, 1e-3),
        ("mobilenet-v2", 0.999, 1e-3),
        ("resnet-50", 0.9, 1e-5),
        ("resnet-50-v1", 0.9, 1.001e-5),
    ],
)
@pytest.mark.parametrize("batch_norm", ["local", "grouped"])
def test_batch_norm_has_the_variants_momentum_and_epsilon(
    name, momentum, epsilon, batch_norm
):
    model = en.EfficientNet(
        name, endpoints=["stem"], batch_norm=batch_norm, input_shape=(32, 32, 3)
    )
    (norm,) = norms(model)
    assert (norm.momentum, norm.epsilon) == (momentum, epsilon)


def test_only_sync_synchronises():
    for batch_norm in ("local", "sync", "grouped", "frozen"):
        model = en.EfficientNet("efficientnet-test", batch_norm=batch_norm)
        assert {x.synchronized for x in norms(model)} == {batch_norm == "sync"}


@pytest.mark.usefixtures("float64")
def test_biases_of_keras_resnets_are_folded_into_the_statistics(tmp_path):
    x = images(64).astype("float64")
    ours = without_chance("resnet-50-v1", input_shape=(64, 64, 3))
    randomize(ours, x)
    theirs = build_theirs("resnet-50-v1", input_shape=(64, 64, 3))
    give_weights(ours, theirs)
    rng = np.random.default_rng(2)
    biased = [c for c in theirs.layers if isinstance(c, keras.layers.Conv2D)]
    for layer in biased:
        layer.bias.assign(rng.normal(0, 0.1, layer.bias.shape))
    path = str(tmp_path / "resnet.weights.h5")
    theirs.save_weights(path)
    expected = theirs(prepared("resnet-50-v1", x))
    assert np.abs(expected - ours(x)).max() > 0.01
    report = en.load_weights(ours, path).load_report
    assert_same_function("resnet-50-v1", ours, theirs, x)
    assert len([line for line in report.adapted if "bias" in line]) == len(biased) == 53
    # Asked for by name, the v1.5 network becomes the one the weights are of.
    other = en.EfficientNet("resnet-50", weights=path, input_shape=(64, 64, 3))
    assert_same_function("resnet-50-v1", other, theirs, x)
    with pytest.raises(ValueError, match="wants blocks="):
        en.load_weights(en.EfficientNet("resnet-50", input_shape=(64, 64, 3)), path)


def test_builds_on_an_input_tensor():
    tensor = keras.Input((64, 64, 3), name="mine")
    model = en.EfficientNetB0(weights=None, input_tensor=tensor, classes=3)
    assert model.input is tensor
    assert model(images(64)).shape == (2, 3)


def test_builds_on_the_output_of_another_layer():
    tensor = keras.Input((32, 32, 3))
    doubled = keras.layers.Rescaling(2.0)(tensor)
    model = without_chance("efficientnet-test", input_tensor=doubled)
    plain = without_chance("efficientnet-test")
    x = images(32) / 2
    randomize(plain, 2 * x)
    copy_weights(plain, model)
    assert model.input is tensor
    np.testing.assert_allclose(model(x), plain(2 * x), atol=1e-6)


@pytest.mark.parametrize("name", ["efficientnet-b4", "efficientnetv2-b0"])
def test_drop_rates_are_those_of_the_expanded_blocks(name):
    model = en.EfficientNet(name, input_shape=(64, 64, 3))
    dropped = 0
    for block in en.expand(name):
        if block.skip and block.drop_rate:
            layer = model.get_layer(f"{block.name}_drop")
            assert layer.rate == pytest.approx(block.drop_rate)
            assert layer.noise_shape == (None, 1, 1, 1)
            dropped += 1
    assert dropped == len([x for x in model.layers if x.name.endswith("_drop")]) > 10
    assert model.get_layer("top_dropout").rate == en.get_variant(name).dropout


def test_survival_and_dropout_replace_the_variants():
    model = en.EfficientNet("resnet-50", survival_prob=0.6, dropout_rate=0.3)
    rates = [x.rate for x in model.layers if x.name.endswith("_drop")]
    assert rates == pytest.approx([0.4 * i / 16 for i in range(1, 16)])
    assert model.get_layer("top_dropout").rate == 0.3
    assert not [
        x
        for x in en.EfficientNet("resnet-50").layers
        if isinstance(x, keras.layers.Dropout)
    ]


def test_survival_one_and_dropout_zero_leave_nothing_random():
    model = en.EfficientNet(
        "efficientnet-b0", input_shape=(64, 64, 3), survival_prob=1.0, dropout_rate=0.0
    )
    assert not [x for x in model.layers if isinstance(x, keras.layers.Dropout)]


def test_initial_weights_follow_the_original():
    model = en.EfficientNet("efficientnet-b0")
    kernel = np.asarray(model.get_layer("top_conv").kernel)
    # Of 409,600 draws: nine standard errors.
    assert kernel.std() == pytest.approx(np.sqrt(2 / 1280), rel=0.01)
    assert np.abs(kernel).max() > 3 * kernel.std()  # a truncated normal ends at 2.3
    dense = np.asarray(model.get_layer("predictions").kernel)
    limit = 1 / np.sqrt(1000)
    assert 0.999 * limit < np.abs(dense).max() <= limit
    first, second = (model.get_layer(f"block6{x}_project_conv").kernel for x in "bc")
    assert not np.array_equal(first, second)


def test_half_precision_keeps_input_and_probabilities_in_float32():
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = en.EfficientNet("efficientnet-b0", input_shape=(64, 64, 3))
    finally:
        keras.config.set_dtype_policy(previous)
    assert model.get_layer("preprocessing").compute_dtype == "float32"
    assert model.get_layer("stem_conv").compute_dtype == "bfloat16"
    assert model.output.dtype == "float32"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"variant": "efficientnet-b9"}, "did you mean 'efficientnet-b8'"),
        ({"weights": "imagenet"}, "fetching is off"),
        ({"weights": "jft"}, "weights=jft: no such release; efficientnet-b0 has"),
        ({"weights": "no/such.h5"}, "weights=no/such.h5: does not exist"),
        ({"pooling": "mean"}, 'pooling=\'mean\': allowed are None, "avg" and "max"'),
        ({"classes": 2.5}, "classes=2.5: allowed are whole"),
        ({"activation": "nonsense"}, "activation='nonsense': allowed are"),
        ({"classes": 0}, "classes=0: allowed are whole numbers from 1"),
        ({"dropout_rate": 1.0}, "dropout_rate=1.0: allowed are 0 to below 1"),
        ({"dropout_rate": -0.1}, "dropout_rate=-0.1"),
        ({"survival_prob": 0.0}, "survival_prob=0.0 is not in"),
        ({"survival_prob": 1.5}, "survival_prob=1.5 is not in"),
        (
            {"batch_norm": "synced"},
            "batch_norm='synced': allowed are local, sync, grouped, frozen",
        ),
        (
            {"input_shape": (64, 64)},
            r"input_shape=\(64, 64\): allowed is \(height, width, channels\)",
        ),
        ({"input_shape": (64, 64, None)}, "input_shape="),
        (
            {"endpoints": ["reduction_6"]},
            "endpoints: 'reduction_6' is unknown; allowed are stem, reduction_1, "
            "reduction_2, reduction_3, reduction_4, reduction_5, features, pooled_feat",
        ),
        ({"endpoints": []}, r"endpoints=\[\]: allowed is a list of names"),
        ({"endpoints": "stem"}, "endpoints='stem': allowed is a list of names"),
        ({"width": 0}, "width=0: allowed is more than 0"),
        ({"depth": -1}, "depth=-1: allowed is more than 0"),
        ({"blocks": []}, r"blocks=\[\]: allowed is one block string or more"),
        ({"blocks": "r1"}, "blocks='r1': allowed is a list of block strings"),
        ({"blocks": ["r1_k3_s11_e1_i8_o8_cc"]}, "condconv: cc needs a variant with"),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        en.EfficientNet(**{"variant": "efficientnet-b0"} | kwargs)


def test_imagenet_weights_are_the_default_of_the_named_builders_only():
    for build in (en.EfficientNetB0, en.EfficientNetV2B0):
        with pytest.raises(ValueError, match=r"imagenet: no .*fetching is off"):
            build()
    assert en.EfficientNet("efficientnet-b0", input_shape=(64, 64, 3)).built


@pytest.fixture(scope="module")
def tiny():
    return en.EfficientNet(SMALL, classes=10, input_shape=(32, 32, 3))


def test_plain_fit_learns_and_the_saved_file_loads_without_this_package(
    tiny, digits_dir, tmp_path
):
    splits = tfrecord.open_splits(digits_dir)
    transform = batches.TrainTransform(
        image_size=32, num_classes=10, flip=False, crop_area_min=0.9
    )
    data = batches.train_batches(splits.train, transform, batch_size=32, seed=0)
    tiny.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.CategoricalCrossentropy(),
        metrics=["accuracy"],
        jit_compile=JIT,
    )
    history = tiny.fit(
        data, epochs=4, steps_per_epoch=22, shuffle=False, verbose=0
    ).history
    assert history["accuracy"][-1] > 0.5 > history["accuracy"][0]

    x = images(32)
    path, values = tmp_path / "model.keras", tmp_path / "x.npy"
    tiny.save(path)
    np.save(values, x)
    script = (
        "import sys, json, keras, numpy as np;"
        f"model = keras.models.load_model({str(path)!r});"
        f"y = model.predict(np.load({str(values)!r}), verbose=0);"
        "assert not any(m.startswith('efficientnet_tf') for m in sys.modules);"
        "print(json.dumps(y.tolist()))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        text=True,
    ).stdout
    np.testing.assert_allclose(
        json.loads(printed.splitlines()[-1]), tiny.predict(x, verbose=0), atol=1e-6
    )


def test_a_model_trained_with_the_papers_optimizer_survives_saving(tmp_path):
    variant = networks.own("r1_k3_s11_e1_i8_o8_se0.25")
    model = en.EfficientNet(variant, classes=3, input_shape=(32, 32, 3))
    rate = en.LearningRate(batch_size=8, train_images=80)
    loss = "sparse_categorical_crossentropy"
    model.compile(en.RMSprop(rate), loss, jit_compile=False)
    model.fit(images(32, batch=8), np.arange(8) % 3, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.optimizer, en.RMSprop)
    assert len(again.optimizer.variables) == len(model.optimizer.variables)
    for got, expected in zip(
        again.optimizer.variables, model.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(got.numpy(), expected.numpy())


def test_weights_argument_takes_a_path(tiny, tmp_path):
    path = tmp_path / "tiny.weights.h5"
    tiny.save_weights(path)
    again = en.EfficientNet(
        SMALL, classes=10, input_shape=(32, 32, 3), weights=str(path)
    )
    np.testing.assert_array_equal(again(images(32)), tiny(images(32)))


def test_pooling_takes_padding_for_no_pixel():
    # All values negative: zeros on the border would win.
    model = en.EfficientNet("resnet-50", activation="tanh", input_shape=(32, 32, 3))
    pool = keras.Model(
        model.get_layer("stem_activation").output, model.get_layer("stem_pool").output
    )
    stem = -np.random.default_rng(0).uniform(0.1, 1, (1, 16, 16, 64)).astype("float32")
    padded = np.pad(stem, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    np.testing.assert_array_equal(pool(stem), windows[:, ::2, ::2].max((-2, -1)))
