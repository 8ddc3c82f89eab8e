"""The models against keras.applications, an independent implementation."""

import dataclasses
import functools

import keras
import networks
import numpy as np
import pytest
from applications import assert_same_values, normalised
from keras.src.applications import efficientnet_v2
from models_support import (
    APPLICATIONS,
    assert_counts,
    build_theirs,
    copy_weights,
    give_weights,
    images,
    outputs_by_name,
    pair,
    randomize,
    without_chance,
)
from slow_cases import all_but, slow, unless

import efficientnet_tf as en

# One size odd on the way down, as 97 is, except where noted.
SIZES = {
    "efficientnet-b0": (224, 97),  # 224 is its own
    "mobilenet-v1": (64, 64),  # theirs pads odd sizes at the other end
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
# One of each family. V2's fused blocks are compared in tests/weights, where both read
# one file.
FAMILIES = ("efficientnet-b0", "mobilenet-v1", "mobilenet-v2", "resnet-50-v1")


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", all_but(FAMILIES, APPLICATIONS))
def test_probabilities_and_every_layer_equal_keras_applications(name):
    both = pair(name, *SIZES.get(name, (97, 64)))
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


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("efficientnet-b0", (224, 224)),
        ("efficientnet-b0", (75, 75)),
        ("resnet-50-v1", (75, 98)),
    ],
)
def test_native_and_odd_sizes_equal_keras_applications(name, size):
    both = pair(name, *size)
    both.assert_same_output()
    assert_counts(both.ours, name)


@pytest.mark.parametrize("name", ["efficientnet-b0", *slow("efficientnetv2-b0")])
def test_pixels_to_probabilities_equal_keras_applications_in_float32(name):
    x = images(64)
    ours = without_chance(name, input_shape=(64, 64, 3))
    # With less, deep networks magnify rounding; with 1 their outputs no longer depend
    # on the images.
    randomize(ours, x, least_variance=0.3)
    theirs = build_theirs(name, input_shape=(64, 64, 3))
    give_weights(ours, theirs)
    assert_same_preprocessing(name, ours, theirs, x)
    expected = np.asarray(theirs(x))
    scale = expected.max()
    assert np.abs(np.subtract(*expected)).max() > 0.5 * scale
    # Rounding, 1e-7, is magnified to 3e-5.
    np.testing.assert_allclose(ours(x), expected, atol=3e-3 * scale, rtol=0)


@pytest.mark.parametrize(
    "name",
    [
        *("efficientnetv2-s", "mobilenet-v1", "mobilenet-v2", "resnet-50-v1"),
        *slow("efficientnetv2-b3"),
    ],
)
def test_preprocessing_equals_keras_applications(name):
    ours = en.EfficientNet(name, input_shape=(32, 32, 3), endpoints=["stem"])
    theirs = None
    if name == "efficientnetv2-s":  # of a block a stage, behind the same pixels
        kwargs = {"weights": None, "input_shape": (32, 32, 3)}
        theirs = efficientnet_v2.EfficientNetV2(1.0, 0.05, 384, name=name, **kwargs)
    elif name.startswith("efficientnet"):
        theirs = build_theirs(name, input_shape=(32, 32, 3))
    assert_same_preprocessing(name, ours, theirs, images(32))


def assert_same_preprocessing(name, ours, theirs, x):
    got = outputs_by_name(ours, ["preprocessing"], x)["preprocessing"]
    assert_same_values(got, normalised(name, theirs, x))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=unless(name not in SCALED))
        for name in en.list_variants()
        if name not in APPLICATIONS
    ],
)
def test_counting_agrees_with_the_built_model(name):
    model = en.EfficientNet(name, input_shape=(64, 96, 3), classes=7)
    assert_counts(model, name, classes=7)


@pytest.mark.parametrize(
    "variant",
    [
        networks.own(*networks.KINDS),
        networks.own(*networks.FIRSTS, padding="symmetric", stem_pool=True),
        *slow("efficientnet-b0", "resnet-50", "efficientnet-condconv-b0-4e"),
    ],
    ids=["same", "symmetric", "b0", "resnet-50", "condconv"],
)
def test_unknown_size_gives_what_the_known_size_gives_and_counts(variant):
    x, classes = images(75, 98, channels=4), {"classes": 5}
    fixed = randomize(without_chance(variant, input_shape=(75, 98, 4), **classes), x)
    assert_counts(fixed, variant, channels=4, **classes)
    free = without_chance(variant, input_shape=(None, None, 4), **classes)
    copy_weights(fixed, free)
    np.testing.assert_allclose(fixed(x), free(x), atol=1e-6, rtol=0)
    assert np.ptp(fixed(x), axis=-1).min() > 0.01


@pytest.mark.parametrize("size", [(64, 64), (75, 98)])
def test_symmetric_padding_samples_every_second_pixel_from_the_first(size):
    variant = networks.own(
        *networks.FIRSTS, stem_kernel=7, stem_pool=True, padding="symmetric"
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
