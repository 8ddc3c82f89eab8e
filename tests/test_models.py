"""The models against keras.applications, an independent implementation."""

import dataclasses
import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import efficientnet_tf as en
from efficientnet_tf.data import batches, tfrecord
from efficientnet_tf.models import efficientnet

LETTERS = [f"b{i}" for i in range(8)]
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STDDEV = np.array([0.229, 0.224, 0.225])


def keras_model(letter, **kwargs):
    """keras.applications with ImageNet statistics and random weights everywhere."""
    build = getattr(keras.applications, f"EfficientNet{letter.upper()}")
    model = build(weights=None, **kwargs)
    (norm,) = [x for x in model.layers if isinstance(x, keras.layers.Normalization)]
    norm.set_weights([IMAGENET_MEAN, IMAGENET_STDDEV**2, np.array(0)])
    norm.finalize_state()
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.gamma.assign(rng.uniform(0.8, 1.2, shape))
            layer.beta.assign(rng.normal(0, 0.1, shape))
            layer.moving_mean.assign(rng.normal(0, 0.1, shape))
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, shape))
        elif isinstance(layer, keras.layers.Conv2D) and layer.use_bias:
            layer.bias.assign(rng.normal(0, 0.1, layer.bias.shape))
        elif isinstance(layer, keras.layers.Dense):
            layer.kernel.assign(layer.kernel * 10)  # else all classes are alike
            layer.bias.assign(rng.normal(0, 1, layer.bias.shape))
    return model


def copy_weights(source, target):
    """By layer name; every layer with weights must have a counterpart."""
    for layer in target.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())


def images(size, batch=2):
    pixels = np.random.default_rng(1).integers(0, 256, (batch, size, size, 3))
    return pixels.astype("float32")


def pair(letter, size):
    theirs = keras_model(letter, input_shape=(size, size, 3))
    ours = en.EfficientNet(f"efficientnet-{letter}", input_shape=(size, size, 3))
    copy_weights(theirs, ours)
    return ours, theirs


def outputs_by_name(model, names, x):
    outputs = [model.get_layer(name).output for name in names]
    values = keras.Model(model.input, outputs)(x, training=False)
    return dict(zip(names, map(np.asarray, values), strict=True))


@pytest.mark.parametrize("letter", LETTERS)
def test_probabilities_and_every_named_layer_equal_keras_applications(letter):
    ours, theirs = pair(letter, 64)
    their_names = {layer.name for layer in theirs.layers}
    names = [x.name for x in ours.layers if x.name in their_names]
    assert names[0] == "stem_conv" and len(names) >= 230
    only_theirs = their_names - {layer.name for layer in ours.layers}
    # Ours pads inside strided convolutions and normalises in one layer.
    assert all(
        name.endswith("_pad")
        or name.startswith(("input_layer", "rescaling", "normalization"))
        for name in only_theirs
    ), only_theirs
    x = images(64)
    got, expected = (outputs_by_name(m, names, x) for m in (ours, theirs))
    for name in names:
        scale = np.abs(expected[name]).max()
        assert np.abs(got[name] - expected[name]).max() <= 1e-4 * scale, name
    assert np.abs(got["predictions"] - expected["predictions"]).max() <= 1e-5
    assert np.ptp(expected["predictions"], axis=-1).min() > 0.01


@pytest.mark.parametrize("size", [75, 97, 224])
def test_odd_and_native_sizes_equal_keras_applications(size):
    ours, theirs = pair("b0", size)
    x = images(size)
    np.testing.assert_allclose(
        ours(x, training=False), theirs(x, training=False), atol=1e-5, rtol=0
    )


def test_unknown_size_gives_what_the_known_size_gives():
    fixed = en.EfficientNet("efficientnet-b0", input_shape=(75, 75, 3))
    free = en.EfficientNet("efficientnet-b0", input_shape=(None, None, 3))
    copy_weights(fixed, free)
    x = images(75)
    np.testing.assert_allclose(fixed(x), free(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "params"),
    [("efficientnet-b0", 5_330_564), ("efficientnet-b7", 66_658_680)],
)
def test_built_parameters_are_the_published_ones(name, params):
    assert en.EfficientNet(name).count_params() == params


@pytest.mark.parametrize("name", ["efficientnet-b3", "efficientnet-b8"])
def test_counting_agrees_with_the_built_model(name):
    model = en.EfficientNet(name, input_shape=(64, 64, 3), classes=7)
    counted = en.count(name, classes=7)
    trainable = sum(np.prod(v.shape) for v in model.trainable_variables)
    assert counted.params == model.count_params()
    assert counted.trainable_params == trainable


def test_uint8_and_float_inputs_give_the_same():
    model = en.EfficientNet("efficientnet-b0", input_shape=(64, 64, 3))
    x = images(64)
    np.testing.assert_array_equal(model(x.astype("uint8")), model(x))
    np.testing.assert_array_equal(
        model.predict(x.astype("uint8"), verbose=0), model.predict(x, verbose=0)
    )


def test_without_preprocessing_the_caller_normalises():
    inside = en.EfficientNet("efficientnet-b0", input_shape=(64, 64, 3))
    outside = en.EfficientNet(
        "efficientnet-b0", input_shape=(64, 64, 3), include_preprocessing=False
    )
    copy_weights(inside, outside)
    x = images(64)
    normalised = (x - efficientnet.MEAN_RGB) / efficientnet.STDDEV_RGB
    np.testing.assert_allclose(
        outside(normalised.astype("float32")), inside(x), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("letter", LETTERS)
def test_named_builders_take_what_keras_applications_takes(letter):
    ours = getattr(en, f"EfficientNet{letter.upper()}")
    theirs = getattr(keras.applications, f"EfficientNet{letter.upper()}")
    names = ours.__code__.co_varnames[: ours.__code__.co_argcount]
    wanted = theirs.__code__.co_varnames[: theirs.__code__.co_argcount]
    assert names == wanted
    assert ours.__defaults__ == theirs.__defaults__


@pytest.mark.parametrize("pooling", [None, "avg", "max"])
def test_features_without_the_top_equal_keras_applications(pooling):
    theirs = keras_model("b0", include_top=False, pooling=pooling)
    ours = en.EfficientNetB0(weights=None, include_top=False, pooling=pooling)
    copy_weights(theirs, ours)
    x = images(64)
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-4, rtol=1e-4)


def test_builds_on_an_input_tensor():
    tensor = keras.Input((64, 64, 3), name="mine")
    model = en.EfficientNetB0(weights=None, input_tensor=tensor, classes=3)
    assert model.input is tensor
    assert model(images(64)).shape == (2, 3)


def test_drop_rates_are_those_of_the_expanded_blocks():
    model = en.EfficientNet("efficientnet-b4", input_shape=(64, 64, 3))
    for block in en.expand("efficientnet-b4"):
        if block.skip and block.drop_rate:
            layer = model.get_layer(f"{block.name}_drop")
            assert layer.rate == pytest.approx(block.drop_rate)
            assert layer.noise_shape == (None, 1, 1, 1)
    assert model.get_layer("top_dropout").rate == 0.4


def test_survival_one_and_dropout_zero_leave_nothing_random():
    model = en.EfficientNet(
        "efficientnet-b0", input_shape=(64, 64, 3), survival_prob=1.0, dropout_rate=0.0
    )
    assert not [x for x in model.layers if isinstance(x, keras.layers.Dropout)]


def test_initial_weights_follow_the_original():
    model = en.EfficientNet("efficientnet-b0")
    kernel = np.asarray(model.get_layer("top_conv").kernel)
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
        ({"weights": "imagenet"}, "cannot be fetched yet"),
        ({"pooling": "mean"}, "pooling='mean': allowed are None"),
        ({"classes": 0}, "classes=0"),
        ({"dropout_rate": 1.0}, "dropout_rate=1.0"),
        ({"survival_prob": 0.0}, "survival_prob=0.0"),
        ({"input_shape": (64, 64, 1)}, r"input_shape=\(64, 64, 1\)"),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        en.EfficientNet("efficientnet-b0", **kwargs)


def test_imagenet_weights_are_the_default_of_the_named_builders_only():
    with pytest.raises(ValueError, match="cannot be fetched yet"):
        en.EfficientNetB0()
    assert en.EfficientNet("efficientnet-b0", input_shape=(64, 64, 3)).built


@pytest.fixture(scope="module")
def tiny():
    variant = dataclasses.replace(
        en.get_variant("efficientnet-b0"), width=0.25, depth=0.3
    )
    return en.EfficientNet(variant, classes=10, input_shape=(32, 32, 3))


def test_plain_fit_learns_and_the_saved_file_loads_without_this_package(
    tiny, digits_dir, tmp_path
):
    splits = tfrecord.open_splits(digits_dir)
    transform = batches.TrainTransform(
        image_size=32, num_classes=10, flip=False, crop_area_min=0.9
    )
    data = batches.train_batches(splits.train, transform, batch_size=64, seed=0)
    tiny.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.CategoricalCrossentropy(),
        metrics=["accuracy"],
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
    variant = dataclasses.replace(
        en.get_variant("efficientnet-b0"), width=0.25, depth=0.3
    )
    model = en.EfficientNet(variant, classes=3, input_shape=(32, 32, 3))
    rate = en.LearningRate(batch_size=8, train_images=80)
    model.compile(en.RMSprop(rate), "sparse_categorical_crossentropy")
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
        dataclasses.replace(en.get_variant("efficientnet-b0"), width=0.25, depth=0.3),
        classes=10,
        input_shape=(32, 32, 3),
        weights=str(path),
    )
    np.testing.assert_array_equal(again(images(32)), tiny(images(32)))
