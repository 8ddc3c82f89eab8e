"""Counts of Keras models, against arithmetic by hand and the variants' own count."""

import math

import keras
import networks
import numpy as np
import pytest

import efficientnet_tf as en
from efficientnet_tf import counting
from efficientnet_tf.counting import Count
from efficientnet_tf.models import layer_counting

layers = keras.layers
VARIANTS = {
    "efficientnet-b0": 40,
    "efficientnet-lite0": 224,
    "efficientnet-edgetpu-s": 224,
    "efficientnet-condconv-b0-4e": 64,
    "efficientnetv2-b0": (51, 64),
    "mobilenet-v1": 224,
    "mobilenet-v2": 96,
    "resnet-50": 224,
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_counts_as_its_arithmetic_says(name):
    size = VARIANTS[name]
    with keras.StatelessScope(initialize_variables=False):
        model = en.EfficientNet(name, classes=10, input_shape=(None, None, 3))
    got = layer_counting.count_model(model, image_size=size)
    assert got == en.count(name, image_size=size, classes=10)
    assert got.params == model.count_params()


@pytest.mark.parametrize("blocks", [networks.KINDS[:5], networks.KINDS[5:]])
def test_the_largest_map_is_the_models(blocks):
    variant = networks.own(*blocks, stem_filters=8 if "i8" in blocks[0] else 32)
    with keras.StatelessScope(initialize_variables=False):
        model = en.EfficientNet(variant, input_shape=(51, 64, 3))
    made = [layer for layer in model.layers if len(layer.output.shape) == 4][2:]
    values = {layer.name: math.prod(layer.output.shape[1:]) for layer in made}
    where, largest = counting.largest_map(variant, image_size=(51, 64))
    assert largest == max(values.values())
    assert max(values, key=values.get).startswith(where)


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    # Parameters: keras.io/api/applications. Multiply-accumulates as the papers round
    # them: arXiv 1801.04381 table 4, 1704.04861 table 4, 1512.03385 table 1.
    [
        ("MobileNetV2", 3_538_984, 300e6),
        ("MobileNet", 4_253_864, 569e6),
        ("ResNet50", 25_636_712, 3.8e9),
    ],
)
def test_models_of_keras_applications(name, params, macs):
    with keras.StatelessScope(initialize_variables=False):
        model = getattr(keras.applications, name)(weights=None)
    got = layer_counting.count_model(model)
    assert got.params == params
    assert got.macs == pytest.approx(macs, rel=0.02)


def test_a_plain_network_by_hand():
    model = keras.Sequential([keras.Input((224, 224, 3))])
    for filters in (32, 64, 128, 256):
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dense(10))
    # 3x3xinputs + bias, by outputs; maps of 222, 109, 52 and 24, and 12x12 pooled.
    params = 28 * 32 + 289 * 64 + 577 * 128 + 1153 * 256 + 36865 * 64 + 65 * 10
    macs = 222**2 * 27 * 32 + 109**2 * 288 * 64 + 52**2 * 576 * 128
    macs += 24**2 * 1152 * 256 + 36864 * 64 + 64 * 10
    assert layer_counting.count_model(model) == Count(params, 0, macs)
    assert (params, macs) == (2_748_426, 633_161_728)


SINGLE_LAYERS = {
    # Each: what makes it, an input's shape without batch, multiply-accumulates.
    "Conv1D": (
        lambda: layers.Conv1D(5, 3, padding="same", strides=2),
        (9, 4),
        5 * 3 * 4 * 5,
    ),
    "Conv2D grouped": (
        lambda: layers.Conv2D(6, 3, groups=2),
        (5, 7, 4),
        15 * 9 * 2 * 6,
    ),
    "Conv2D dilated": (
        lambda: layers.Conv2D(6, 3, dilation_rate=2),
        (7, 8, 4),
        12 * 9 * 24,
    ),
    "Conv3D": (lambda: layers.Conv3D(2, 2), (4, 5, 6, 3), 3 * 4 * 5 * 8 * 3 * 2),
    "DepthwiseConv1D": (lambda: layers.DepthwiseConv1D(3), (8, 4), 6 * 3 * 4),
    "DepthwiseConv2D": (
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
        (5, 5, 4),
        9 * 9 * 4 * 2,
    ),
    "SeparableConv1D": (
        lambda: layers.SeparableConv1D(5, 3),
        (8, 4),
        6 * (3 * 4 + 4 * 5),
    ),
    "SeparableConv2D": (
        lambda: layers.SeparableConv2D(
            5, 3, strides=2, padding="same", depth_multiplier=2
        ),
        (5, 5, 4),
        9 * (9 * 8 + 8 * 5),
    ),
    "Conv1DTranspose": (
        lambda: layers.Conv1DTranspose(5, 3, strides=2),
        (8, 4),
        8 * 3 * 20,
    ),
    "Conv2DTranspose": (
        lambda: layers.Conv2DTranspose(5, 3, strides=2, padding="same"),
        (4, 6, 2),
        24 * 9 * 2 * 5,
    ),
    "Conv3DTranspose": (
        lambda: layers.Conv3DTranspose(2, 2),
        (2, 3, 4, 5),
        24 * 8 * 10,
    ),
    "Dense on a map": (lambda: layers.Dense(7), (3, 4, 5), 12 * 5 * 7),
    "EinsumDense": (
        lambda: layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3)),
        (5, 4),
        5 * 4 * 2 * 3,
    ),
    "EinsumDense, two axes, ellipsis": (
        lambda: layers.EinsumDense("...ab,abc->...c", output_shape=7),
        (5, 2, 3),
        5 * 2 * 3 * 7,
    ),
    "BatchNormalization": (lambda: layers.BatchNormalization(), (4, 4, 3), 0),
    "PReLU": (lambda: layers.PReLU(), (4, 3), 0),
    "GroupNormalization": (lambda: layers.GroupNormalization(3), (4, 4, 3), 0),
    "Dropout": (lambda: layers.Dropout(0.5), (4, 3), 0),
    "AveragePooling2D": (lambda: layers.AveragePooling2D(2), (4, 4, 3), 0),
}


@pytest.mark.parametrize("case", SINGLE_LAYERS)
def test_one_layer(case):
    make, shape, macs = SINGLE_LAYERS[case]
    model = keras.Sequential([keras.Input(shape), make()])
    got = layer_counting.count_model(model)
    assert got.macs == macs
    assert got.params == model.count_params()


def test_attention_counts_projections_and_both_products():
    query, value, key = (keras.Input(shape) for shape in [(5, 6), (7, 8), (7, 9)])
    mask = keras.Input((5, 7), dtype="bool")
    attention = layers.MultiHeadAttention(2, 3, value_dim=4, output_shape=10)
    outputs = attention(query, key=key, value=value, attention_mask=mask)
    model = keras.Model([query, value, key, mask], outputs)
    projections = 5 * 6 * 6 + 7 * 8 * 8 + 7 * 9 * 6 + 5 * 8 * 10
    products = 2 * (5 * 7 * 3 + 5 * 7 * 4)
    got = layer_counting.count_model(model)
    assert got.macs == projections + products
    assert got.params == model.count_params()
    alone = keras.Input((5, 6))
    model = keras.Model(alone, layers.MultiHeadAttention(2, 3)(alone, alone))
    macs = 4 * 5 * 6 * 6 + 2 * 2 * 5 * 5 * 3
    assert layer_counting.count_model(model).macs == macs


def test_channels_first_counts_the_same():
    macs = []
    for shape, data_format in [
        ((2, 8, 9), "channels_first"),
        ((8, 9, 2), "channels_last"),
    ]:
        layer = layers.Conv2D(3, 3, data_format=data_format)
        model = keras.Sequential([keras.Input(shape), layer])
        macs.append(layer_counting.count_model(model).macs)
    assert macs == [6 * 7 * 9 * 2 * 3] * 2


def test_a_shared_layer_counts_each_call_and_its_parameters_once():
    inputs = keras.Input((8, 8, 3))
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    half = layers.MaxPooling2D()(shared(inputs))
    model = keras.Model(inputs, shared(half))
    assert layer_counting.count_model(model) == Count(84, 0, 81 * (64 + 16))
    # Two models on one layer do not see each other's calls.
    assert layer_counting.count_model(keras.Model(inputs, half)).macs == 81 * 64


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_nested_models_follow_the_outer_size(kind):
    conv, norm = layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization()
    inner = keras.Sequential([keras.Input((None, None, 4)), conv, norm])
    if kind == "functional":
        x = keras.Input((None, None, 4))
        inner = keras.Model(x, norm(conv(x)))
    inputs = keras.Input((None, None, 4))
    twice = inner(layers.MaxPooling2D()(inner(inputs)))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(twice))
    got = layer_counting.count_model(model, image_size=(10, 12))
    assert got == Count(148 + 8, 8, 144 * (120 + 30))
    sequence = keras.Sequential([inputs, inner, layers.Flatten()])
    assert layer_counting.count_model(sequence, image_size=10).macs == 144 * 100


def test_frozen_layers_are_not_trainable():
    layer = layers.Dense(4, trainable=False)
    model = keras.Sequential([keras.Input((3,)), layer, layers.Dense(2)])
    assert layer_counting.count_model(model) == Count(10, 16, 20)


def test_counting_leaves_the_model_as_it_was():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 3)])
    x = np.ones((1, 6, 6, 3), "float32")
    before, nodes = model(x), len(model.layers[0]._inbound_nodes)
    layer_counting.count_model(model, image_size=32)
    assert len(model.layers[0]._inbound_nodes) == nodes
    np.testing.assert_array_equal(model(x), before)


@keras.saving.register_keras_serializable("test")
class Scaled(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=shape[-1:])

    def call(self, inputs):
        return inputs * self.scale


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (lambda: Scaled(name="mine"), (4,), r"layer mine \(Scaled\): its multiply"),
        (lambda: layers.LSTM(3, name="memory"), (4, 5), r"layer memory \(LSTM\)"),
        (
            lambda: layers.TimeDistributed(layers.Dense(3)),
            (4, 5),
            r"\(TimeDistributed\)",
        ),
    ],
)
def test_an_unknown_layer_with_weights_is_named(make, shape, message):
    model = keras.Sequential([keras.Input(shape), make()])
    with pytest.raises(ValueError, match=message):
        layer_counting.count_model(model)


@pytest.mark.parametrize(
    ("multiply", "name"),
    [
        (keras.ops.matmul, "Matmul"),
        (lambda a, b: keras.ops.einsum("bij,bjk->bik", a, b), "Einsum"),
        (lambda a, b: layers.Dot(axes=(2, 1))([a, b]), "Dot"),
    ],
)
def test_products_without_weights_are_named(multiply, name):
    inputs = [keras.Input((3, 4)), keras.Input((4, 5))]
    model = keras.Model(inputs, multiply(*inputs))
    with pytest.raises(ValueError, match=rf"\({name}\): its multiply"):
        layer_counting.count_model(model)


def test_a_shape_that_stays_open_is_named():
    open_size = layers.EinsumDense("abc,cd->abd", output_shape=(None, 3))
    model = keras.Sequential([keras.Input((5, 4)), open_size, layers.Dense(2)])
    with pytest.raises(ValueError, match=r"\(Dense\): gets or gives a shape with"):
        layer_counting.count_model(model)


@pytest.mark.parametrize(
    ("shape", "image_size", "message"),
    [
        ((None, None, 3), None, "has an open size; image_size gives one"),
        ((None, 3), 32, "has an open size"),
        ((32, 32, 3), 33, r"image_size=33: the model takes \(32, 32\) pixels"),
        ((None, 32, 3), (9, 31), r"image_size=\(9, 31\): the model takes \(None, 32\)"),
        ((None, None, 3), 0, "image_size=0: "),
        ((None, None, 3), (8, 8, 8), r"image_size=\(8, 8, 8\): "),
    ],
)
def test_a_size_that_does_not_fit_is_refused(shape, image_size, message):
    model = keras.Sequential([keras.Input(shape), layers.ReLU()])
    with pytest.raises(ValueError, match=message):
        layer_counting.count_model(model, image_size=image_size)


def test_models_whose_layers_cannot_be_listed_are_refused():
    class Mine(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ValueError, match=r"model mine is a Mine: allowed are"):
        layer_counting.count_model(Mine(name="mine"))
    with pytest.raises(ValueError, match="model open is not built"):
        layer_counting.count_model(keras.Sequential([layers.Dense(3)], name="open"))
