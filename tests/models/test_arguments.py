"""The builder's other arguments, and models in training and in files."""

import contextlib
import functools
import sys
from unittest import mock

import keras
import networks
import numpy as np
import pipelines
import pytest
from models_support import SMALL, copy_weights, images, randomize, without_chance

import efficientnet_tf as en
from efficientnet_tf.data import batches, preparation, tfrecord


def test_builds_on_an_input_tensor():
    tensor = keras.Input((64, 64, 3), name="mine")
    model = en.EfficientNetB0(weights=None, input_tensor=tensor, classes=3)
    assert model.input is tensor
    assert model(images(64)).shape == (2, 3)


def test_builds_on_the_output_of_another_layer():
    tensor = keras.Input((32, 32, 3))
    doubled = keras.layers.Rescaling(2.0)(tensor)
    model = without_chance(SMALL, input_tensor=doubled)
    plain = without_chance(SMALL)
    x = images(32) / 2
    randomize(plain, 2 * x)
    copy_weights(plain, model)
    assert model.input is tensor
    np.testing.assert_allclose(model(x), plain(2 * x), atol=1e-6)


@pytest.mark.parametrize("name", ["efficientnet-b0", "efficientnetv2-b0"])
def test_drop_rates_are_those_of_the_expanded_blocks(name):
    model = en.EfficientNet(name, input_shape=(64, 64, 3))
    dropped = 0
    for block in en.expand(name):
        if block.skip and block.drop_rate:
            layer = model.get_layer(f"{block.name}_drop")
            assert layer.rate == pytest.approx(block.drop_rate)
            assert layer.noise_shape == (None, 1, 1, 1)
            dropped += 1
    assert dropped == len([x for x in model.layers if x.name.endswith("_drop")]) >= 9
    assert model.get_layer("top_dropout").rate == en.get_variant(name).dropout


def test_survival_and_dropout_replace_the_variants():
    narrow = functools.partial(en.EfficientNet, "resnet-50", width=0.25, depth=0.5)
    model = narrow(survival_prob=0.6, dropout_rate=0.3)
    rates = [x.rate for x in model.layers if x.name.endswith("_drop")]
    assert rates == pytest.approx([0.4 * i / 9 for i in range(1, 9)])
    assert model.get_layer("top_dropout").rate == 0.3
    assert not [x for x in narrow().layers if isinstance(x, keras.layers.Dropout)]


def test_survival_one_and_dropout_zero_leave_nothing_random():
    model = en.EfficientNet("efficientnet-test", survival_prob=1.0, dropout_rate=0.0)
    assert not [x for x in model.layers if isinstance(x, keras.layers.Dropout)]


def test_initial_weights_are_random_as_the_originals():
    model = en.EfficientNet("efficientnet-b0")  # where nothing can be fetched
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
        model = en.EfficientNet("efficientnet-test")
    finally:
        keras.config.set_dtype_policy(previous)
    assert model.get_layer("preprocessing").compute_dtype == "float32"
    assert model.get_layer("stem_conv").compute_dtype == "bfloat16"
    assert model.output.dtype == "float32"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"variant": "efficientnet-b9"}, "did you mean efficientnet-b8"),
        ({"variant": "EfficientNetB0"}, "did you mean efficientnet-b0"),
        ({"width": 30.0, "depth": 20.0}, "efficientnet-b0: makes "),
        ({"classes": 10**9}, "classes=1000000000: makes "),
        (
            {"input_shape": (9459, 9459, 3)},
            "makes a feature map of 2147798400 values in block2a",
        ),
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


def test_imagenet_weights_are_the_default_of_the_named_builders():
    for build in (en.EfficientNetB0, en.EfficientNetV2B0):
        with pytest.raises(ValueError, match=r"imagenet: no .*fetching is off"):
            build()


@pytest.fixture(scope="module")
def tiny():
    return en.EfficientNet(SMALL, classes=10, input_shape=(32, 32, 3))


def test_plain_fit_learns_and_the_saved_file_loads_without_this_package(
    tiny, digits_dir, tmp_path
):
    splits = tfrecord.open_splits(digits_dir)
    transform = pipelines.transform(
        preparation.Preparation(32, 0.875, "bicubic"), 10, flip=False, crop_area_min=0.9
    )
    data = batches.train_batches(splits.train, transform, batch_size=32, seed=0)
    data = data.map(lambda batch: (batch["image"], batch["label"]))
    tiny.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.CategoricalCrossentropy(),
        metrics=["accuracy"],
        jit_compile=False,  # to compile takes ten times as long as to fit
    )
    history = tiny.fit(
        data, epochs=4, steps_per_epoch=22, shuffle=False, verbose=0
    ).history
    assert history["accuracy"][-1] > 0.5 > history["accuracy"][0]

    tiny.save(tmp_path / "model.keras")
    with without_this_package():
        again = keras.models.load_model(tmp_path / "model.keras")
    x = images(32)
    np.testing.assert_allclose(
        again.predict(x, verbose=0), tiny.predict(x, verbose=0), atol=1e-6
    )


@contextlib.contextmanager
def without_this_package():
    """Keras knows no class of this package, and none can be imported."""
    ours = [name for name in sys.modules if name.split(".")[0] == "efficientnet_tf"]
    assert any("efficientnet_tf" in n for n in keras.saving.get_custom_objects())
    hidden = dict.fromkeys(["efficientnet_tf", *ours])
    with (
        mock.patch.dict(sys.modules, hidden),
        mock.patch.dict(keras.saving.get_custom_objects(), clear=True),
    ):
        yield


def test_a_model_trained_with_the_papers_optimizer_survives_saving(tmp_path):
    variant = networks.own("r1_k3_s11_e1_i8_o8_se0.25")
    model = en.EfficientNet(variant, classes=3, input_shape=(32, 32, 3))
    rate = en.LearningRate(batch_size=8, train_images=80)
    loss = "sparse_categorical_crossentropy"
    # Eagerly: what is fitted for two steps needs no graph.
    model.compile(en.RMSprop(rate), loss, run_eagerly=True)
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
