"""Batch norm's kinds, in training and in files."""

import keras
import numpy as np
import pytest
from models_support import (
    SMALL,
    copy_weights,
    images,
    randomize,
    without_chance,
)

import efficientnet_tf as en
from efficientnet_tf.weights import model_layout


def norms(model):
    kind = keras.layers.BatchNormalization
    return [layer for layer in model.layers if isinstance(layer, kind)]


def fit_one_step(model, x, classes):
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    before = model_layout.values(model)
    model.fit(x, np.arange(len(x)) % classes, epochs=1, verbose=0)
    after = model_layout.values(model)
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
    assert changed == set(model_layout.values(model)) - norm
    assert norm <= fit_one_step(usual, x, 3)


def test_frozen_batch_norm_trains_as_it_infers():
    x = images(32)
    usual = randomize(without_chance(SMALL, classes=3), x)
    frozen = without_chance(SMALL, classes=3, batch_norm="frozen")
    copy_weights(usual, frozen)
    np.testing.assert_allclose(frozen(x, training=True), usual(x), atol=1e-6)
    assert np.abs(usual(x, training=True) - usual(x)).max() > 1e-3


@pytest.mark.parametrize("batch_norm", ["local", "sync", "grouped", "frozen"])
def test_every_batch_norm_survives_a_keras_file(batch_norm, tmp_path):
    model = en.EfficientNet(SMALL, batch_norm=batch_norm)
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
        model = en.EfficientNet(SMALL, batch_norm=batch_norm)
        assert {x.synchronized for x in norms(model)} == {batch_norm == "sync"}
