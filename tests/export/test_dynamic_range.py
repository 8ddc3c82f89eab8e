"""Which weights have 8 bits in LiteRT's dynamic range, and which integers they are."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.export import dynamic_range, litert
from efficientnet_tf.export.network import Network

# Layers' names end as TensorFlow numbers calls, and one begins as another.
WIDE = {"conv_1": (1, 1, 40, 32), "few": (3, 3, 31, 4), "dense": (4, 5)}
NARROW = {"conv": (3, 3, 3, 40), "conv_2": (1, 1, 32, 31), "depth": (3, 3, 32, 1)}


@pytest.fixture(scope="module")
def model():
    """Convolutions of which some have 27 products for an output, or 31 for an input."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((12, 12, 3))
    for layer in (
        keras.layers.Conv2D(40, 3, activation="swish", name="conv"),
        keras.layers.Conv2D(32, 1, activation="swish", name="conv_1"),
        keras.layers.DepthwiseConv2D(3, name="depth"),
        keras.layers.Conv2D(31, 1, activation="swish", name="conv_2"),
        keras.layers.Conv2D(4, 3, activation="swish", name="few"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(5, name="dense"),
    ):
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.fixture(scope="module")
def contents(model, tmp_path_factory):
    """The file in float32, and with the dynamic range."""
    folder = tmp_path_factory.mktemp("litert")
    for precision in ("float32", "dynamic"):
        path = str(folder / precision)
        litert.write(Network(model, 12), path, precision=precision)
    return [(folder / name).read_bytes() for name in ("float32", "dynamic")]


def opened(content):
    from ai_edge_litert import interpreter

    made = interpreter.Interpreter(model_content=content)
    made.allocate_tensors()
    return made


def stored(model, name):
    """A layer's kernel as LiteRT stores it, outputs first; depthwise ones last."""
    kernel = np.asarray(model.get_layer(name).kernel)
    if name == "depth":
        return kernel.reshape(1, 3, 3, 32)
    return np.moveaxis(kernel, -1, 0)


def constants(made, dtype):
    """Values and scales of a file's constants."""
    for told in made.get_tensor_details():
        if told["dtype"] == dtype:
            try:
                values = made.get_tensor(told["index"])
            except ValueError:
                continue  # computed, and not kept
            yield values, told["quantization_parameters"]["scales"]


@pytest.mark.parametrize("name", WIDE)
def test_wide_kernels_are_rounded_with_a_scale_for_each_output(model, contents, name):
    kernel = stored(model, name)
    scales = abs(kernel).reshape(len(kernel), -1).max(1) / 127
    rounded = np.rint(kernel / scales.reshape(-1, *[1] * (kernel.ndim - 1)))
    found = [
        (values, scale)
        for values, scale in constants(opened(contents[1]), np.int8)
        if values.shape == kernel.shape
    ]
    assert model.get_layer(name).kernel.shape == WIDE[name]
    assert len(found) == 1
    np.testing.assert_allclose(found[0][1], scales, rtol=1e-6)
    # Half a step is rounded to either side.
    assert abs(found[0][0] - rounded).max() <= 1
    assert np.mean(found[0][0] != rounded) < 0.01


@pytest.mark.parametrize("name", NARROW)
def test_other_kernels_stay_as_they_are(model, contents, name):
    kernel = stored(model, name)
    assert model.get_layer(name).kernel.shape == NARROW[name]
    found = [values for values, _ in constants(opened(contents[1]), np.float32)]
    assert any(np.array_equal(values, kernel) for values in found)


def test_nothing_else_has_8_bits(contents):
    assert not list(constants(opened(contents[0]), np.int8))
    assert len(list(constants(opened(contents[1]), np.int8))) == len(WIDE)


def test_images_are_told_apart_as_before(model, contents):
    images = np.random.default_rng(0).uniform(-1, 1, (8, 12, 12, 3)).astype("float32")
    expected = np.asarray(model(images))
    run = opened(contents[1]).get_signature_runner()
    found = np.concatenate([run(images=image[None])["logits"] for image in images])
    errors = abs(found - expected)
    assert 1e-5 * expected.std() < errors.max() < 0.05 * expected.std()


def test_a_file_without_layers_of_weights_is_left_alone():
    images = tf.TensorSpec([1, 4], tf.float32, name="images")
    exact = litert.convert(lambda images: {"doubled": 2 * images}, images)
    found = opened(dynamic_range.quantize(exact)).get_signature_runner()
    answer = found(images=np.ones([1, 4], "f"))
    np.testing.assert_array_equal(answer["doubled"], [[2] * 4])
