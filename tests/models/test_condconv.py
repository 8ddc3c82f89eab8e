"""Convolutions with kernels of each image's own, against a loop over images.

In float64, whose rounding is 1e-16.
"""

import keras
import numpy as np
import pytest
from builds import JIT

import efficientnet_tf as en
from efficientnet_tf.models import condconv

pytestmark = pytest.mark.usefixtures("float64")
NORMAL = keras.initializers.RandomNormal(seed=0)
BLOCKS = ("r1_k3_s22_e1_i8_o16_cc", "r2_k5_s22_e2_i16_o16_se0.25_cc")


def inputs(batch, rows=7, columns=6, channels=5, experts=3):
    rng = np.random.default_rng(batch)
    x = rng.normal(0, 1, (batch, rows, columns, channels))
    return x, rng.uniform(0, 1, (batch, experts))


def mixed(layer, routing):
    """The image's kernel, expert by expert."""
    kernel = np.asarray(layer.kernel, "float64")
    return sum(r * k for r, k in zip(routing, kernel, strict=True))


def network(**kwargs):
    return en.EfficientNet(
        "efficientnet-condconv-b0-4e",
        blocks=BLOCKS,
        classes=4,
        **{"input_shape": (24, 20, 3), **kwargs},
    )


def images(batch):
    rng = np.random.default_rng(batch)
    return rng.integers(0, 256, (batch, 24, 20, 3)).astype("float32")


def test_a_pointwise_convolution_is_a_loop_over_images():
    layer = condconv.CondConv2D(4, experts=3, kernel_initializer=NORMAL)
    for batch in (1, 3):
        x, routing = inputs(batch)
        got = np.asarray(layer([x, routing]))
        expected = [
            pixels @ mixed(layer, r)[0, 0] for pixels, r in zip(x, routing, strict=True)
        ]
        np.testing.assert_allclose(got, expected, atol=1e-12)
        assert layer.compute_output_shape([x.shape, routing.shape]) == got.shape


def convolved(x, kernel, strides, padding):
    """A depthwise convolution of one image, pixel by pixel."""
    size = len(kernel)
    if padding == "same":
        pads = []
        for length, stride in zip(x.shape, strides, strict=False):
            total = max(0, (-(-length // stride) - 1) * stride + size - length)
            pads.append((total // 2, total - total // 2))
        x = np.pad(x, [*pads, (0, 0)])
    rows = range(0, x.shape[0] - size + 1, strides[0])
    columns = range(0, x.shape[1] - size + 1, strides[1])
    return np.array(
        [
            [(x[i : i + size, j : j + size] * kernel).sum((0, 1)) for j in columns]
            for i in rows
        ]
    )


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_a_depthwise_convolution_is_a_loop_over_images(kernel_size, strides, padding):
    layer = condconv.DepthwiseCondConv2D(
        kernel_size,
        experts=3,
        strides=strides,
        padding=padding,
        kernel_initializer=NORMAL,
    )
    for batch in (1, 3):
        x, routing = inputs(batch)
        got = np.asarray(layer([x, routing]))
        expected = [
            convolved(pixels, mixed(layer, r)[..., 0], strides, padding)
            for pixels, r in zip(x, routing, strict=True)
        ]
        np.testing.assert_allclose(got, expected, atol=1e-12)
        assert layer.compute_output_shape([x.shape, routing.shape]) == got.shape


def test_one_expert_at_full_weight_is_a_plain_convolution():
    x, _ = inputs(2)
    layer = condconv.DepthwiseCondConv2D(
        3, experts=1, strides=(2, 2), padding="same", kernel_initializer=NORMAL
    )
    got = layer([x, np.ones((2, 1))])
    plain = keras.ops.depthwise_conv(x, layer.kernel[0], 2, "same")
    np.testing.assert_allclose(got, plain, atol=1e-12)


def test_experts_start_apart_and_each_as_one_kernel_would():
    model = en.EfficientNet("efficientnet-condconv-b0-8e", endpoints=["features"])
    kernel = np.asarray(model.get_layer("block6b_expand_conv").kernel)
    assert kernel.shape == (8, 1, 1, 192, 1152)
    # Of 221,184 draws each: six standard errors.
    for expert in kernel:
        assert expert.std() == pytest.approx(np.sqrt(2 / 1152), rel=0.01)
    correlations = np.corrcoef(kernel.reshape(8, -1)) - np.eye(8)
    assert np.abs(correlations).max() < 0.02
    depthwise = np.asarray(model.get_layer("block6b_dwconv").kernel)
    assert depthwise.shape == (8, 5, 5, 1152, 1)
    assert depthwise.std() == pytest.approx(np.sqrt(2 / 25), rel=0.01)


def test_three_images_get_what_each_gets_alone():
    model = network()
    x = images(3)
    together = np.asarray(model(x))
    alone = np.concatenate([model(x[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-12)
    model.compile(jit_compile=JIT)
    np.testing.assert_allclose(model.predict(x, verbose=0), together, atol=1e-12)


def test_routing_is_a_sigmoid_of_the_blocks_mean_input():
    model = network()
    block = model.get_layer("block2a_dwconv").input[1]
    before = model.get_layer("block2a_routing_pool").input
    x, routing = keras.Model(model.input, [before, block])(images(2))
    layer = model.get_layer("block2a_routing")
    logits = np.asarray(x).mean((1, 2)) @ layer.kernel.numpy() + layer.bias.numpy()
    np.testing.assert_allclose(routing, 1 / (1 + np.exp(-logits)), atol=1e-12)


def test_fit_trains_experts_and_routing():
    model = network(input_shape=(None, None, 3))
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=JIT)
    watched = [
        model.get_layer(f"block2a_{role}").kernel
        for role in ("routing", "expand_conv", "dwconv", "project_conv")
    ]
    before = [kernel.numpy() for kernel in watched]
    model.fit(images(6), np.arange(6) % 4, batch_size=6, verbose=0)
    for kernel, old in zip(watched, before, strict=True):
        assert np.isfinite(kernel.numpy()).all()
        assert np.abs(kernel.numpy() - old).max() > 0


def test_a_saved_model_comes_back(tmp_path):
    model = network()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for batch in (1, 3):
        np.testing.assert_allclose(
            again(images(batch)), model(images(batch)), atol=1e-12
        )
    for first, second in zip(model.layers, again.layers, strict=True):
        assert first.get_config() == second.get_config()


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="image_data_format=channels_first"):
            en.EfficientNet("efficientnet-condconv-b0-4e", input_shape=(3, 32, 32))
    finally:
        keras.config.set_image_data_format("channels_last")
