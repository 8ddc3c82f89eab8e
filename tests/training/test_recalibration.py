"""Batch norms' statistics computed anew, against those of all images by NumPy."""

import keras
import networks
import numpy as np
import pytest
import replicas
import tensorflow as tf
from folder_support import fill

import efficientnet_tf as en
from efficientnet_tf import config as config_lib
from efficientnet_tf.runs import run_model
from efficientnet_tf.runs.checkpoints import by_path
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import loop, recalibration

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3)).astype("uint8")
STILL = {"survival_prob": 1.0, "dropout_rate": 0.0, "classes": 3}


def batches(context):
    size = context.get_per_replica_batch_size(8)
    return tf.data.Dataset.from_tensor_slices({"image": IMAGES}).batch(
        size, drop_remainder=True
    )


def inputs_of(model, name, weights):
    """A layer's inputs for all images, in batches, with other weights."""
    kept = [v.numpy() for v in model.weights]
    for variable in model.weights:
        variable.assign(weights[variable.path])
    inside = keras.Model(model.input, model.get_layer(name).input)
    found = inside(IMAGES, training=False).numpy()
    for variable, value in zip(model.weights, kept, strict=True):
        variable.assign(value)
    return found


def test_statistics_are_those_of_the_weights_given():
    model = en.EfficientNet(networks.own(networks.ONE), **STILL)
    raw = {v.path: v.numpy() for v in model.weights}
    weights = {p: tf.Variable(v * 1.5) for p, v in raw.items()}
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    recalibration.Recalibration(
        model,
        weights,
        strategy.distribute_datasets_from_function(batches),
        batches=3,
        strategy=strategy,
    )()
    stem = inputs_of(model, "stem_bn", weights)
    moving = [weights[f"stem_bn/moving_{name}"] for name in ("mean", "variance")]
    np.testing.assert_allclose(moving[0], stem.mean((0, 1, 2)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(moving[1], stem.var((0, 1, 2)), rtol=1e-4)
    for path, value in weights.items():  # nothing else, and not the model
        if "/moving_" not in path:
            np.testing.assert_array_equal(value, raw[path] * np.float32(1.5))
    for variable in model.weights:
        np.testing.assert_array_equal(variable, raw[variable.path])


def test_two_replicas_find_the_same_mean():
    strategy = replicas.two()
    with strategy.scope():
        model = en.EfficientNet(networks.own(networks.ONE), batch_norm="sync", **STILL)
    before = {v.path: v.numpy() for v in model.weights}
    stem = inputs_of(model, "stem_bn", before)
    recalibration.Recalibration(
        model,
        by_path(model.weights),
        strategy.distribute_datasets_from_function(batches),
        batches=3,
        strategy=strategy,
    )()
    found = model.get_layer("stem_bn").moving_mean.numpy()
    np.testing.assert_allclose(found, stem.mean((0, 1, 2)), rtol=1e-4, atol=1e-4)


def test_frozen_batch_norms_keep_their_statistics():
    model = en.EfficientNet(networks.own(networks.ONE), batch_norm="frozen", **STILL)
    weights = by_path(model.weights)
    before = {path: v.numpy() for path, v in weights.items()}
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    dataset = strategy.distribute_datasets_from_function(batches)
    recalibration.Recalibration(model, weights, dataset, batches=1, strategy=strategy)()
    for path, value in weights.items():
        assert np.array_equal(value, before[path]), path


@pytest.mark.slow
def test_a_run_that_only_trains_keeps_the_statistics_that_it_is_scored_with(tmp_path):
    fill(tmp_path / "data" / "train", (4, 4, 4))
    fill(tmp_path / "data" / "val", (2, 2, 2), first=100)
    config = config_lib.create(
        blocks=networks.ONE,
        data_dir=str(tmp_path / "data"),
        image_size=16,
        batch_norm="local",
        train_batch_size=4,
        train_epochs=1.0,
        eval_batch_size=6,
        recalibration_batches=2,
    )
    found = []
    for name, validate in (("trained", False), ("scored", True)):
        folder = str(tmp_path / name)
        strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
        loop.train(config, model_dir=folder, strategy=strategy, validate=validate)
        run = RunDir(folder)
        model = run_model.of_run(run, run.read_config())
        found.append({v.path: v.numpy() for v in model.weights})
    for path, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][path], path)
