"""What an evaluation predicts is kept for each image, and adds up to its scores."""

import keras
import numpy as np
import pytest
import replicas
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.data import sources, tfrecord
from efficientnet_tf.runs import checkpoints
from efficientnet_tf.training import build, predictions, steps

CLASSES = 48


def linear(scope) -> keras.Model:
    """A model whose logits are its pixels: 4 x 4 x 3 classes."""
    with scope:
        return keras.Sequential(
            [
                keras.Input((4, 4, 3)),
                keras.layers.Rescaling(0.1),
                keras.layers.Flatten(),
            ]
        )


def batches(images, labels, *, batch: int) -> tf.data.Dataset:
    """Batches as `eval_batches` makes them."""
    count = -(-len(images) // batch) * batch + batch
    padding = count - len(images)
    data = {
        "image": np.concatenate([images, np.zeros((padding, 4, 4, 3), images.dtype)]),
        "label": np.concatenate([labels, np.zeros(padding, "int32")]),
        "mask": np.repeat([1, 0], [len(images), padding]).astype("float32"),
        "number": np.r_[: len(images), [-1] * padding].astype("int32"),
    }
    dataset = tf.data.Dataset.from_tensor_slices(data)
    return dataset.batch(batch, drop_remainder=True)


def evaluate(images, labels, strategy, *, batch=4):
    """The scores and the table of all images."""
    kept = predictions.Predictions()
    model = linear(strategy.scope())

    def data(context):
        per_replica = context.get_per_replica_batch_size(batch)
        return batches(images, labels, batch=per_replica).concatenate(
            batches(images[:0], labels[:0], batch=per_replica)
        )

    evaluator = predictions.Predictor(
        model,
        checkpoints.by_path(model.weights),
        strategy.distribute_datasets_from_function(data),
        strategy=strategy,
        predictions=kept,
    )
    return evaluator.evaluate(tf.constant(-1)), kept


@pytest.fixture(scope="module")
def examples():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (22, 4, 4, 3)).astype("uint8")
    labels = rng.integers(0, CLASSES, 22).astype("int32")
    labels[:9] = images[:9].reshape(9, -1).argmax(1)
    return images, labels


@pytest.mark.parametrize("two", [False, True])
def test_rows_are_softmax_and_ranks_of_the_logits(examples, two):
    images, labels = examples
    strategy = replicas.two() if two else tf.distribute.OneDeviceStrategy("/cpu:0")
    scores, kept = evaluate(images, labels, strategy)
    found = kept.table()
    logits = images.reshape(22, CLASSES) * np.float64(0.1)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    ranks = (-logits).argsort(1, kind="stable")[:, :5]
    np.testing.assert_array_equal(found.numbers, np.arange(22))
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.classes, ranks)
    expected = np.take_along_axis(shares, ranks, 1)
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-4)
    hits = ranks == labels[:, None]
    assert found.correct.tolist() == hits[:, 0].tolist()
    # To the last bit: the page tells the same number.
    assert scores["top_1"] == found.correct.sum() / 22 == hits[:, 0].sum() / 22
    assert scores["top_5"] == hits.sum() / 22


def test_scores_are_those_of_the_evaluator_that_keeps_nothing(examples):
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    scores, _ = evaluate(*examples, strategy)
    model = linear(strategy.scope())
    plain = steps.Evaluator(
        model,
        {},
        batches(*examples, batch=4),
        strategy=strategy,
    )
    assert plain.evaluate(tf.constant(-1)) == scores


def test_a_model_that_answers_nan_predicts_nothing(examples):
    images = examples[0].astype("float32")
    images[3, 0, 0, 0] = np.nan
    labels = np.zeros(22, "int32")  # NaN ranks class 0 first
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    _, kept = evaluate(images, labels, strategy)
    found = kept.table()
    assert found.classes[3].tolist() == [-1] * 5
    assert found.probabilities[3].tolist() == [0] * 5
    assert not found.correct[3]
    assert (np.delete(found.classes, 3, 0) >= 0).all()
    assert np.isfinite(found.probabilities).all()


def test_a_speed_leaves_the_first_batch_out(examples, monkeypatch):
    clock = iter([100.0, 110.0, 111.0, 113.0])
    monkeypatch.setattr(predictions.time, "monotonic", lambda: next(clock))
    kept = predictions.Predictions()
    for first in (0, 4, 8):
        rows = {name: tf.range(first, first + 4) for name in ("numbers", "labels")}
        rows |= dict.fromkeys(("classes", "probabilities"), tf.zeros([4, 5]))
        kept.add(rows)
        if first == 0:
            assert kept.images_per_second is None and kept.seconds == 10
    assert kept.images_per_second == 8 / 3
    assert kept.seconds == 13


def test_the_evaluator_of_a_run_numbers_its_split():
    config = config_lib.create(
        dataset="fake", num_classes=3, image_size=32, eval_batch_size=40
    )
    splits = tfrecord.Splits(
        tfrecord.Split("train", (), 8), None, tfrecord.Split("validation", (), 70)
    )
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    kept = predictions.Predictions()
    build.evaluator(
        config,
        model,
        checkpoints.by_path(model.weights),
        sources.Fake(splits),
        splits.validation,
        tf.distribute.get_strategy(),
        kept,
    ).evaluate(tf.constant(-1))
    assert kept.split is splits.validation and kept.shards == 1
    assert kept.table().numbers.tolist() == list(range(70))
