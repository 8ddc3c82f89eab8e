"""The inference graph predicts what the trained network predicts."""

import keras
import networks
import numpy as np
import pytest
import weight_helpers
from keras import layers
from slow_cases import slow

import efficientnet_tf as en
from efficientnet_tf.export import inference_graph
from efficientnet_tf.models import stages


@pytest.fixture(autouse=True)
def exact():
    """Weights and sums of 64 bits: float32's rounding would hide small mistakes."""
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy("float32")


def assert_same(model, images):
    """Compares a model of random weights with its inference graph; returns that."""
    weight_helpers.randomize(model, seed=0)
    built = inference_graph.build(model)
    expected, got = model(images, training=False), built(images, training=False)
    keras.tree.assert_same_structure(expected, got)
    flat = zip(keras.tree.flatten(expected), keras.tree.flatten(got), strict=True)
    for wanted, found in flat:
        difference = np.abs(wanted - found).max()
        assert difference <= 1e-10 * np.abs(wanted).max()
    assert np.abs(keras.tree.flatten(expected)[0]).max() > 1e-3
    return built


def pixels(*shape, dtype="float32"):
    return np.random.default_rng(1).integers(0, 256, shape).astype(dtype)


def kinds(model):
    return {type(layer).__name__ for layer in model.layers}


@pytest.mark.parametrize(
    ("padding", "size"),
    [("same", 33), *slow(("same", 32), ("symmetric", 32), ("symmetric", 33))],
)
def test_every_kind_of_block(padding, size):
    variant = networks.own(*networks.KINDS, padding=padding)
    model = en.EfficientNet(
        variant, classes=7, input_shape=(size, size, 3), classifier_activation=None
    )
    built = assert_same(model, pixels(2, size, size, 3, dtype="uint8"))
    norms = [one for one in built.layers if isinstance(one, layers.BatchNormalization)]
    # Kernels that are mixed for each image have no bias; three in each of two blocks.
    assert len(norms) == 6 and all("block9" in norm.name for norm in norms)
    assert not kinds(built) & {"Dropout", "Rescaling"}
    assert built.passport == model.passport
    assert built.input.dtype == model.input.dtype and built.name == model.name


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["efficientnet-lite0", "resnet-50", "mobilenet-v1", "efficientnetv2-b0"]
)
def test_families_keep_no_batch_norm(name):
    model = en.EfficientNet(
        name, classes=3, input_shape=(40, 40, 3), classifier_activation=None
    )
    built = assert_same(model, pixels(2, 40, 40, 3))
    assert not kinds(built) & {"BatchNormalization", "Dropout", "Rescaling"}
    # Kernel and bias of each convolution, and of the classifier.
    assert len(built.weights) == 2 * sum(len(one.weights) > 0 for one in built.layers)


def test_gates_are_dense_layers():
    model = en.EfficientNet(networks.own(networks.TINY), input_shape=(32, 32, 3))
    built = assert_same(model, pixels(2, 32, 32, 3))
    gate = built.get_layer("block1a_se_expand")
    assert isinstance(gate, layers.Dense) and len(gate.input.shape) == 2
    assert kinds(model) - kinds(built) >= {"BatchNormalization", "Rescaling"}


def test_a_batch_norm_is_worked_into_kernel_and_bias():
    x = keras.Input((5, 5, 2))
    y = layers.Conv2D(3, 3, name="conv")(x)
    model = keras.Model(x, layers.BatchNormalization(epsilon=0.5, name="bn")(y))
    weight_helpers.randomize(model, seed=0)
    kernel, bias = map(np.float64, model.get_layer("conv").get_weights())
    gamma, beta, mean, variance = map(np.float64, model.get_layer("bn").get_weights())
    built = inference_graph.build(model).get_layer("bn")
    expected = kernel * gamma / np.sqrt(variance + 0.5)
    np.testing.assert_allclose(built.get_weights()[0], expected, rtol=1e-14)
    expected = beta + (bias - mean) * gamma / np.sqrt(variance + 0.5)
    np.testing.assert_allclose(built.get_weights()[1], expected, rtol=1e-13)


def test_feature_maps():
    variant = networks.own(*networks.TINY.split(","), padding="symmetric")
    model = en.EfficientNet(variant, endpoints=["stem", "reduction_2", "features"])
    assert_same(model, pixels(2, 37, 29, 3))


def test_pixels_that_others_take_too_stay_normalised():
    x = keras.Input((8, 8, 3))
    scaled = layers.Rescaling([1 / 2, 1 / 3, 1 / 4], [-1, -2, -3])(x)
    conv = layers.Conv2D(4, 3, padding="same")(scaled)
    model = keras.Model(x, [conv, scaled, layers.DepthwiseConv2D(3)(scaled)])
    assert_same(model, pixels(2, 8, 8, 3))


def branches(x):
    conv = layers.Conv2D(4, 1)(x)
    return layers.Concatenate()([layers.BatchNormalization()(conv), conv])


def activated(x):
    return layers.BatchNormalization()(layers.Conv2D(4, 1, activation="relu")(x))


def second_axis(x):
    return layers.BatchNormalization(axis=1)(layers.Conv2D(4, 1)(x))


def multiplied(x):
    norm = layers.BatchNormalization(scale=False, center=False)
    return norm(layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x))


def twice(x):
    norm = layers.BatchNormalization()
    conv = layers.Conv2D(3, 3, padding="same")
    return layers.Add()([norm(conv(x)), conv(norm(x))])


def grouped(x):
    scaled = layers.Rescaling([1 / 2, 1 / 3, 1 / 4, 1 / 5], 1.0)(x)
    return layers.BatchNormalization()(layers.Conv2D(4, 3, groups=2)(scaled))


def single_pixels(x):
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.BatchNormalization()(layers.Conv2D(6, 1, use_bias=False)(x))
    return layers.Conv2D(5, 1, activation="sigmoid")(x)


def nested(x):
    inner = keras.Sequential([layers.Conv2D(4, 1), layers.BatchNormalization()])
    return layers.Dropout(0.5)(inner(x))


@pytest.mark.parametrize(
    ("build", "channels"),
    [
        *((one, 3) for one in (branches, activated, second_axis, multiplied, twice)),
        *((one, 3) for one in (single_pixels, nested)),
        (grouped, 4),
    ],
)
def test_networks_of_others(build, channels):
    x = keras.Input((6, 6, channels))
    assert_same(keras.Model(x, build(x)), pixels(2, 6, 6, channels))


def test_a_graph_of_another_size_and_its_original_stay_apart():
    model = en.EfficientNet(networks.own(networks.TINY), input_shape=(32, 32, 3))
    assert_same(stages.at_size(model, 48), pixels(2, 48, 48, 3))
    built = inference_graph.build(model)
    before = [value.copy() for value in built.get_weights()]
    weight_helpers.randomize(model, seed=5)
    for value, old in zip(built.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


def test_float32_loses_no_more_than_its_rounding():
    keras.config.set_dtype_policy("float32")
    model = en.EfficientNet(
        networks.own(networks.TINY), input_shape=(32, 32, 3), classifier_activation=None
    )
    weight_helpers.randomize(model, seed=0)
    images = pixels(8, 32, 32, 3)
    built = inference_graph.build(model)
    assert {weight.dtype for weight in built.weights} == {"float32"}
    expected = model(images, training=False)
    difference = np.abs(built(images) - expected).max()
    assert difference < 1e-5 * np.abs(expected).max()  # measured: 1e-6


def test_channels_first():
    """No CPU convolves such images: the weights are compared."""

    def folded(data_format):
        x = keras.Input((4, 8, 8) if data_format == "channels_first" else (8, 8, 4))
        axis = 1 if data_format == "channels_first" else -1
        y = layers.Conv2D(6, 1, data_format=data_format)(x)
        y = layers.BatchNormalization(axis)(y)
        y = layers.DepthwiseConv2D(3, data_format=data_format)(y)
        model = keras.Model(x, layers.BatchNormalization(axis)(y))
        return inference_graph.build(weight_helpers.randomize(model, seed=0))

    expected, got = folded("channels_last"), folded("channels_first")
    assert kinds(got) == {"InputLayer", "Conv2D", "DepthwiseConv2D"} == kinds(expected)
    for wanted, found in zip(expected.get_weights(), got.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)
