"""AmoebaNet-B, against row-by-row arithmetic and the size GPipe prints."""

import keras
import numpy as np
import pytest

from efficientnet_tf.models import amoebanet, layer_counting


def normal_params(f, before, last):
    """Two 1x1 on what comes in, four more, four separable 3x3; ten norms."""
    return (before + last) * f + 4 * f * f + 4 * (9 * f + f * f) + 10 * 2 * f


def reduction_params(f, before, last):
    """The same with 1x1, 3x3 between two 1x1, separable 5x5 and 3x3, twice each."""
    r = f // 4
    bottleneck = f * r + 9 * r * r + r * f + 2 * (r + r + f)
    separable = 2 * (25 * f + f * f + 2 * f) + 2 * (9 * f + f * f + 2 * f)
    return (before + last) * f + 4 * f + bottleneck + separable + f * f + 2 * f


def first_params(f, stem=32):
    """A reduction whose second input is the stem as it is, without a 1x1."""
    r = f // 4
    total = stem * f + 2 * f + f * f + 2 * f
    total += stem * r + 9 * r * r + r * f + 2 * (r + r + f)
    total += 2 * (25 * f + f * f + 2 * f)
    return total + 9 * stem + stem * f + 2 * f + 9 * f + f * f + 2 * f


def trainable_params(layers, filters, classes):
    total = 27 * 32 + 2 * 32 + first_params(filters // 4)
    total += reduction_params(filters // 2, 32, filters // 2)
    before, last = filters // 2, filters
    for f in (filters, 2 * filters, 4 * filters):
        if f != filters:
            total += reduction_params(f, before, last)
            before, last = last, 2 * f
        for _ in range(layers // 3):
            total += normal_params(f, before, last)
            before, last = last, 4 * f
    # The second cell gets the stem in its own width and halves nothing.
    total -= filters * filters + 2 * filters
    return total + (last + 1) * classes


@pytest.fixture(scope="module")
def small():
    return amoebanet.AmoebaNetB(6, 16, classes=10, input_shape=(64, 72, 3))


def test_parameters_of_a_small_one(small):
    trainable = sum(np.prod(weight.shape) for weight in small.trainable_weights)
    assert trainable == trainable_params(6, 16, 10) == 216_651
    # Two moving statistics for every scale and shift.
    norms = [weight for weight in small.weights if weight.name in ("gamma", "beta")]
    moving = sum(np.prod(weight.shape) for weight in norms)
    assert small.count_params() == trainable + moving


def test_gpipes_size_is_the_557_million_it_prints():
    with keras.StatelessScope(initialize_variables=False):
        model = amoebanet.AmoebaNetB()
    count = layer_counting.count_model(model)
    assert count.trainable_params == trainable_params(18, 512, 1000) == 557_277_864
    assert round(count.trainable_params / 1e6) == 557
    assert model.input_shape == (None, 480, 480, 3)
    assert model.get_layer("cell18_output").output.shape == (None, 15, 15, 8192)


def test_maps_halve_and_widen_where_they_should(small):
    maps = {
        layer.name.removesuffix("_output"): layer.output.shape[1:]
        for layer in small.layers
        if layer.name.endswith("_output")
    }
    assert maps == {
        "stem_cell1": (16, 18, 2 * 4),  # of 31x35, after a 3x3 without padding
        "stem_cell2": (8, 9, 2 * 8),
        "cell1": (8, 9, 4 * 16),
        "cell2": (8, 9, 4 * 16),
        "reduction1": (4, 5, 2 * 32),
        "cell3": (4, 5, 4 * 32),
        "cell4": (4, 5, 4 * 32),
        "reduction2": (2, 3, 2 * 64),
        "cell5": (2, 3, 4 * 64),
        "cell6": (2, 3, 4 * 64),
    }


def test_halving_keeps_pixels_of_both_parities(small):
    names = ("stem_cell2_before_activation", "stem_cell2_before_halves")
    first, last = (small.get_layer(name).output for name in names)
    x = np.random.default_rng(0).uniform(0, 1, (2, 31, 35, 32)).astype("float32")
    got = keras.Model(first, last)(x)
    kernels = [
        np.asarray(small.get_layer(f"stem_cell2_before_conv{i}").kernel)[0, 0]
        for i in (1, 2)
    ]
    odd = np.zeros((2, 16, 18, 32), "float32")
    odd[:, :15, :17] = x[:, 1::2, 1::2]
    expected = np.concatenate([x[:, ::2, ::2] @ kernels[0], odd @ kernels[1]], -1)
    # Sums of 32 products round by 2e-6; other pixels differ by 0.1.
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_a_normal_cell_step_by_step(small):
    """The cell's states from its layers' own outputs, as the genotype has them."""
    cell = "cell4"
    ends = {
        "input": "input_bn",
        "before": "before_bn",
        2: "state2",
        3: "state3",
        4: "state4",
        5: "state5",
        6: "state6",
        "output": "output",
    }
    sources = {
        "state2_left": ("before_bn", "state2_left_bn"),
        "state3_right": ("input_bn", "state3_right_2_bn"),
        "state4_left": ("before_bn", "state4_left_bn"),
        "state4_right": ("input_bn", "state4_right_2_bn"),
        "state5_left": ("state2", "state5_left_bn"),
        "state6_right": ("state5", "state6_right_bn"),
    }
    outputs = {
        key: small.get_layer(f"{cell}_{end}").output for key, end in ends.items()
    }
    x = np.random.default_rng(1).uniform(0, 255, (2, 64, 72, 3)).astype("float32")
    maps = keras.Model(small.input, outputs)(x)

    def branch(name):
        first, last = (small.get_layer(f"{cell}_{end}").output for end in sources[name])
        origin = next(key for key, end in ends.items() if end == sources[name][0])
        return keras.Model(first, last)(maps[origin])

    before = maps["before"]
    pools = keras.ops.max_pool(before, 3, 1, "same")
    means = keras.ops.average_pool(before, 3, 1, "same")
    expected = {
        2: branch("state2_left") + pools,
        3: before + branch("state3_right"),
        4: branch("state4_left") + branch("state4_right"),
        5: branch("state5_left") + maps[2],
        6: means + branch("state6_right"),
        "output": np.concatenate([maps["input"], maps[3], maps[4], maps[6]], -1),
    }
    for key, value in expected.items():
        np.testing.assert_allclose(maps[key], value, atol=1e-5, err_msg=str(key))


def test_it_predicts_and_has_one_head(small):
    x = np.random.default_rng(0).integers(0, 256, (2, 64, 72, 3)).astype("uint8")
    got = np.asarray(small(x))
    assert got.shape == (2, 10)
    np.testing.assert_allclose(got.sum(-1), 1, atol=1e-5)
    features = keras.Model(small.input, small.get_layer("avg_pool").output)(x)
    assert np.abs(features[0] - features[1]).max() > 0.01 * np.abs(features).max()
    heads = [layer for layer in small.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.name for layer in heads] == ["predictions"]
    assert len(small.outputs) == 1


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"layers": 4}, "layers=4: allowed are whole multiples of 3"),
        ({"layers": 0}, "layers=0: "),
        ({"filters": 190}, "filters=190: allowed are whole multiples of 16"),
        ({"filters": 16.0}, r"filters=16\.0: "),
        ({"classes": 0}, "classes=0: allowed are whole multiples of 1"),
        ({"input_shape": (None, None, 3)}, r"input_shape=\(None, None, 3\): allowed"),
        ({"input_shape": (64, 64)}, r"input_shape=\(64, 64\): "),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        amoebanet.AmoebaNetB(**kwargs)


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="image_data_format=channels_first"):
            amoebanet.AmoebaNetB(6, 16, input_shape=(3, 64, 64))
    finally:
        keras.config.set_image_data_format("channels_last")
