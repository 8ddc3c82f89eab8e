"""Rounding to bfloat16: which numbers come out, and of which sums errors are small."""

import itertools

import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from efficientnet_tf.export import bfloat16
from efficientnet_tf.export.network import Network


def nearest(values):
    """The nearest of bfloat16's numbers, the even one of two, by float32's bits."""
    bits = np.asarray(values, "float32").view("uint32").astype("uint64")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return rounded.astype("uint32").view("float32").astype("float64")


def is_short(values):
    return not (np.asarray(values, "float32").view("uint32") & 0xFFFF).any()


def correlated(groups, size):
    """Inputs that depend on each other, as pixels and channels do, and products."""
    random = np.random.default_rng(0)
    mixed = random.normal(size=(groups, 200, 3)) @ random.normal(size=(groups, 3, size))
    inputs = mixed + 0.1 * random.normal(size=(groups, 200, size))
    return inputs, inputs.swapaxes(1, 2) @ inputs


def one_by_one(weights, products):
    """Fixes one weight after the other, and solves for all that follow each time."""
    size = len(weights)
    products = products + 0.01 * np.trace(products) / size * np.eye(size)
    weights, result = weights.astype("float64").copy(), np.zeros(size)
    for first in range(size):
        result[first] = nearest(weights[first])
        rest = slice(first + 1, size)
        error = weights[first] - result[first]
        weights[rest] += np.linalg.solve(
            products[rest, rest], products[rest, first] * error
        )
    return result


@pytest.mark.parametrize("size", [1, 2, 26, 127, 128, 129, 300])
def test_those_that_follow_make_up_for_each_error(size):
    inputs, products = correlated(2, size)
    weights = np.random.default_rng(1).normal(size=(2, 3, size))
    found = bfloat16.round_weights(weights, products)
    assert is_short(found)
    for group, output in itertools.product(range(2), range(3)):
        expected = one_by_one(weights[group, output], products[group])
        # Sums of another order round some weights to the other side.
        assert np.mean(found[group, output] == expected) > 0.98
    errors = [
        np.sqrt(np.mean((inputs @ (rounded - weights).swapaxes(1, 2)) ** 2))
        for rounded in (found, nearest(weights))
    ]
    assert size < 26 or errors[0] < 0.6 * errors[1], errors


def test_three_weights_are_rounded_as_well_as_any():
    inputs, products = correlated(1, 3)
    weights = np.array([[[1.003, -0.7052, 3.0101]]])
    found = bfloat16.round_weights(weights, products)[0, 0]
    steps = [
        nearest(each) * np.array([1 - 2**-7, 1, 1 + 2**-7]) for each in weights[0, 0]
    ]
    errors = [
        np.std(inputs[0] @ (nearest(chosen) - weights[0, 0]))
        for chosen in itertools.product(*steps)
    ]
    assert np.std(inputs[0] @ (found - weights[0, 0])) < 1.5 * min(errors)


LAYERS = {
    "same": lambda: keras.layers.Conv2D(6, 3, strides=2, padding="same"),
    "valid": lambda: keras.layers.Conv2D(6, (2, 3), strides=(1, 2)),
    "dilated": lambda: keras.layers.Conv2D(5, 3, dilation_rate=2, padding="same"),
    "grouped": lambda: keras.layers.Conv2D(4, 3, groups=2, padding="same"),
    "depthwise": lambda: keras.layers.DepthwiseConv2D(
        5, strides=2, padding="same", depth_multiplier=2
    ),
}


def outputs_see(layer, images, step):
    """What some outputs see, [groups, places, inputs], and kernels to match."""
    kernel = np.asarray(layer.kernel)
    rows, columns, inputs, _ = kernel.shape
    reach = [
        (side - 1) * rate + 1
        for side, rate in zip((rows, columns), layer.dilation_rate, strict=True)
    ]
    pads = [(0, 0)]
    for length, side, stride in zip(
        images.shape[1:3], reach, layer.strides, strict=True
    ):
        count = -(-length // stride)
        pad = max(0, (count - 1) * stride + side - length)
        pads.append((pad // 2, pad - pad // 2) if layer.padding == "same" else (0, 0))
    padded = np.pad(images, [*pads, (0, 0)])
    seen = sliding_window_view(padded, reach, axis=(1, 2))
    seen = seen[:, :: step * layer.strides[0], :: step * layer.strides[1]]
    seen = seen[..., :: layer.dilation_rate[0], :: layer.dilation_rate[1]]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        by_group = seen.transpose(3, 0, 1, 2, 4, 5)[:, ..., np.newaxis]
        kernels = [kernel[:, :, one : one + 1] for one in range(inputs)]
    else:
        parts = np.split(seen, layer.groups, axis=3)
        by_group = np.stack([part.transpose(0, 1, 2, 4, 5, 3) for part in parts])
        kernels = np.split(kernel, layer.groups, axis=3)
    size = by_group[0, 0, 0, 0].size
    return by_group.reshape(len(kernels), -1, size), [
        one.reshape(size, -1).T for one in kernels
    ]


# Every place of a small image is taken, and every second of a larger one each way.
@pytest.mark.parametrize(
    ("kind", "height", "width", "step"),
    [
        *((kind, 6, 7, 1) for kind in LAYERS),
        ("same", 51, 44, 2),
        ("grouped", 16, 13, 2),
    ],
)
def test_products_are_of_what_an_output_sees(kind, height, width, step):
    random = np.random.default_rng(0)
    photos = random.integers(0, 256, (3, height, width, 4), np.uint8)
    inputs = keras.Input((height, width, 4))
    layer = LAYERS[kind]()
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([random.normal(size=each.shape) for each in layer.get_weights()])
    seen, kernels = outputs_see(layer, photos.astype("float64"), 1)
    seen = np.concatenate([np.ones_like(seen[..., :1]), seen], axis=-1)
    bias = np.asarray(layer.bias).reshape(len(kernels), -1, 1)
    weights = np.concatenate([bias, kernels], axis=-1)
    images = photos.astype("float32")
    sums = np.einsum("gpi,goi->pgo", seen, weights).reshape(-1, bias.size)
    np.testing.assert_allclose(
        np.asarray(model(images)).reshape(sums.shape), sums, rtol=1e-4, atol=1e-2
    )
    # Sums of whole numbers up to 255**2 are exact in float32.
    taken, _ = outputs_see(layer, photos.astype("float64"), step)
    taken = np.concatenate([np.ones_like(taken[..., :1]), taken], axis=-1)
    expected = bfloat16.round_weights(weights, taken.swapaxes(1, 2) @ taken)
    made = bfloat16.rounded(Network(model, height), list(photos)).model.layers[-1]
    found, biases = made.get_weights()
    np.testing.assert_array_equal(biases, expected[..., 0].reshape(-1))
    of_groups = [
        one.T.reshape(*found.shape[:2], -1, one.shape[0]) for one in expected[..., 1:]
    ]
    axis = 2 if kind == "depthwise" else 3
    np.testing.assert_array_equal(found, np.concatenate(of_groups, axis=axis))


def test_dense_layers_with_and_without_bias():
    random = np.random.default_rng(0)
    photos = random.integers(0, 256, (6, 5, 5, 3), np.uint8)
    inputs = keras.Input((5, 5, 3))
    flat = keras.layers.Flatten()(inputs)
    outputs = [
        keras.layers.Dense(4, use_bias=has_bias, name=f"dense{has_bias:d}")(flat)
        for has_bias in (True, False)
    ]
    model = keras.Model(inputs, keras.layers.Concatenate()(outputs))
    made = bfloat16.rounded(Network(model, 5), list(photos)).model
    seen = np.concatenate([np.ones((6, 1)), photos.reshape(6, -1)], axis=1)
    for has_bias in (True, False):
        kernel, *biases = model.get_layer(f"dense{has_bias:d}").get_weights()
        bias = biases[0] if biases else np.zeros(4)
        weights = np.concatenate([bias[:, np.newaxis], kernel.T], axis=1)
        expected = bfloat16.round_weights(
            weights[np.newaxis], (seen.T @ seen)[np.newaxis]
        )
        found = made.get_layer(f"dense{has_bias:d}").get_weights()
        assert len(found) == 1 + has_bias
        np.testing.assert_array_equal(found[0], expected[0, :, 1:].T)


def test_a_classifier_rounded_on_photos_is_nearer_than_rounded_plainly(
    classifier, photos
):
    pixels = np.stack([classifier.read_image(path) for path in photos])
    network = Network.of(classifier)
    exact = np.asarray(network.model(pixels[20:].astype("float32"), training=False))
    made = bfloat16.rounded(network, list(pixels[:20]))
    plain = bfloat16.rounded(network, list(pixels[:20]))
    for layer, original in zip(plain.model.layers, network.model.layers, strict=True):
        layer.set_weights([nearest(each) for each in original.get_weights()])
    found, plainly = (
        np.asarray(one.model(pixels[20:].astype("float32"), training=False))
        for one in (made, plain)
    )
    assert all(is_short(each) for each in made.model.get_weights())
    assert not all(is_short(each) for each in network.model.get_weights())
    assert np.std(found - exact) < 0.6 * np.std(plainly - exact)


def test_weights_that_exceed_a_pass_are_rounded_too(classifier, photos, monkeypatch):
    pixels = [classifier.read_image(path).numpy() for path in photos[:4]]
    network = Network.of(classifier)
    expected = bfloat16.rounded(network, pixels).model.get_weights()
    monkeypatch.setattr(bfloat16, "PASS_BYTES", 1)
    found = bfloat16.rounded(network, pixels).model.get_weights()
    for each, one in zip(found, expected, strict=True):
        assert is_short(each)
        # Layers before are rounded by then, which changes inputs a little.
        np.testing.assert_allclose(each, one, atol=0.02)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("predictions", np.nan, "predictions"),
        # What it computes overflows.
        ("stem_bn", 1e38, "block1a_expand_bn"),
    ],
)
def test_a_network_that_diverged_is_named(classifier, name, value, told):
    network = Network.of(classifier)
    layer = network.model.get_layer(name)
    layer.set_weights([np.full_like(each, value) for each in layer.get_weights()])
    photo = np.full((32, 32, 3), 255, np.uint8)
    message = f"model own: weights or inputs of layer {told} are not finite"
    with pytest.raises(ValueError, match=message):
        bfloat16.rounded(network, [photo])


def test_layers_without_a_rule_stay_as_they_are():
    inputs = keras.Input((3, 8, 8))
    convolution = keras.layers.Conv2D(4, 3, data_format="channels_first")
    model = keras.Model(inputs, keras.layers.Flatten()(convolution(inputs)))
    made = bfloat16.rounded(Network(model, 8), [np.zeros((3, 8, 8), np.uint8)])
    for each, one in zip(made.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(each, one)
