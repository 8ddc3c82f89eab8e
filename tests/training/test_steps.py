"""The step on one replica and on many, and what goes into it."""

import functools
import json
import os
import pathlib
import subprocess
import sys

import keras
import networks
import numpy as np
import pytest
import replicas
import tensorflow as tf
from builds import needs_xla
from replica_run import ReplicaRun

from efficientnet_tf import config as config_lib
from efficientnet_tf.runs import run_model
from efficientnet_tf.training import build, objective, settings, state, steps
from efficientnet_tf.training.layer_seeds import LayerSeeds

SCRIPT = pathlib.Path(__file__).parents[1] / "replica_run.py"
ONE = {"blocks": networks.ONE}
# The paper's rate, and nothing random in the model.
STILL = {"dropout_rate": 0.0, "survival_prob": 1.0, "learning_rate": 0.016}
CHANCE = {"blocks": networks.PLAIN, "dropout_rate": 0.5, "survival_prob": 0.5}


@pytest.fixture(scope="module")
def run(digits_dir):
    """A run of ten steps on one replica or two."""

    @functools.cache
    def taken(devices, **settings):
        names = tf.config.list_logical_devices("CPU")
        one = tf.distribute.OneDeviceStrategy(names[0].name)
        strategy = replicas.two() if devices == 2 else one
        return ReplicaRun(strategy, digits_dir, **settings)

    return taken


def four_replicas(digits_dir, out):
    """The same on four, which takes another process."""
    subprocess.run(
        [sys.executable, SCRIPT, "4", digits_dir, out, json.dumps(ONE | STILL)],
        check=True,
        cwd=SCRIPT.parents[1],
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])},
    )
    return dict(np.load(out))


def assert_same_run(got, expected):
    np.testing.assert_allclose(got["losses"], expected.losses, rtol=1e-4)
    for name in ("weights", "averages"):
        # Relative to how far the weights have come, the stricter measure.
        distance = np.linalg.norm(got[name] - getattr(expected, name))
        assert distance <= 1e-4 * np.linalg.norm(expected.weights), name
        moved = np.linalg.norm(getattr(expected, name) - expected.initial)
        assert distance <= 1e-3 * moved, name


def test_two_replicas_take_the_steps_that_one_takes(run):
    two, one = run(2, **ONE | STILL), run(1, **ONE | STILL)
    assert_same_run(vars(two), one)
    assert two.examples == one.examples == 360  # each counts once
    logits = two.logits(0)
    assert logits.shape == (2, 8, 10)
    np.testing.assert_allclose(logits[0], logits[1])


@pytest.mark.slow
def test_four_replicas_take_the_steps_that_one_takes(run, digits_dir, tmp_path):
    four = four_replicas(digits_dir, tmp_path / "four.npz")
    assert_same_run(four, run(1, **ONE | STILL))
    assert four["examples"] == 360
    logits = four["logits"]
    np.testing.assert_allclose(logits, np.broadcast_to(logits[:1], (4, 8, 10)))


@pytest.mark.slow
def test_replicas_train_fused_as_with_keras_layers(run):
    fused = run(2, **ONE | STILL, fused="on", recompute="block1a")
    assert_same_run(vars(fused), run(2, **ONE | STILL))
    np.testing.assert_array_equal(*fused.replica_weights())


@pytest.mark.slow
def test_images_of_another_size_are_trained_as_a_run_of_that_size_does(run):
    dropped = ONE | {"dropout_rate": 0.5, "steps": 3}
    smaller = run(1, **dropped, image_size=24, train_image_size=16)
    expected = run(1, **dropped, image_size=16)
    np.testing.assert_array_equal(smaller.weights, expected.weights)
    np.testing.assert_array_equal(smaller.averages, expected.averages)
    assert smaller.examples == 360
    assert smaller.model.input_shape == (None, 24, 24, 3)


def test_each_replica_draws_its_own_masks_reproducibly(run):
    # Statistics differ between replicas, and are shared all the same.
    chance = run(2, **CHANCE, batch_norm="local")
    np.testing.assert_array_equal(*chance.replica_weights())
    np.testing.assert_array_equal(*chance.replica_averages())
    first, again, other = (chance.logits(seed) for seed in (0, 0, 1))
    assert np.abs(first[0] - first[1]).max() > 0.1
    assert np.abs(first - other).max() > 0.1
    np.testing.assert_array_equal(first, again)
    # No replica draws at the next step what another has drawn at this one.
    chance.state.optimizer.iterations.assign_add(1)
    assert np.abs(chance.logits(0)[0] - first[1]).max() > 0.1


@pytest.mark.slow
def test_many_replicas_train_b0_as_one_does(run):
    # B0 magnifies a rounding error 20-fold a step here; a small rate keeps ten steps
    # comparable in float32.
    two, one = (run(n, **STILL | {"learning_rate": 0.001}) for n in (2, 1))
    np.testing.assert_allclose(two.losses, one.losses, rtol=1e-4)
    distance = np.linalg.norm(two.weights - one.weights)
    assert distance <= 1e-4 * np.linalg.norm(one.weights)


def make_state(**settings):
    config = config_lib.create(dataset="digits", **ONE, **settings)
    return build.train_state(
        config,
        train_images=1347,
        model=run_model.create(config),
        evaluations=state.Evaluations(),
    )


@pytest.fixture
def tiny_state():
    return make_state()


def trainer_of(tiny_state, images, labels, **kwargs):
    data = tf.data.Dataset.from_tensors({"image": images, "label": labels}).repeat()
    model = tiny_state.model
    return steps.Trainer(
        tiny_state,
        objective_of(model, batch_size=len(images), **kwargs),
        data,
        strategy=tf.distribute.get_strategy(),
        batch_size=len(images),
        learning_rate=tiny_state.optimizer._learning_rate,
        seeds=LayerSeeds(model, 0, replicas=1),
    )


def objective_of(model, *, batch_size, weight_decay=0.0, label_smoothing=0.0):
    config = config_lib.create(
        dataset="digits", weight_decay=weight_decay, label_smoothing=label_smoothing
    )
    return objective.PaperObjective(
        model,
        config.section(settings.Optimisation),
        batch_size=batch_size,
        replicas=1,
    )


def batch(size=8):
    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, (size, 32, 32, 3)), tf.uint8)
    return images, tf.one_hot(rng.integers(0, 10, size), 10)


def test_loss_is_smoothed_cross_entropy_plus_l2_outside_batch_norm(tiny_state):
    _, labels = batch()
    logits = tf.constant(np.random.default_rng(1).normal(0, 1, (8, 10)), tf.float32)
    made = objective_of(
        tiny_state.model, batch_size=8, weight_decay=1e-2, label_smoothing=0.1
    )
    expected = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1
    )(labels, logits)
    decayed = [
        v.numpy()
        for layer in tiny_state.model.layers
        if not isinstance(layer, keras.layers.BatchNormalization)
        for v in layer.trainable_variables
    ]
    assert any(value.ndim == 1 for value in decayed)  # squeeze-excite, head biases
    l2 = 1e-2 * sum((value.astype("float64") ** 2).sum() / 2 for value in decayed)
    found = made.losses(logits, labels)
    assert float(found["cross_entropy"]) == pytest.approx(float(expected), rel=1e-5)
    assert float(found["l2"]) == pytest.approx(l2, rel=1e-5)


def test_averages_follow_weights_and_batch_norm_statistics():
    tiny_state = make_state(warmup_epochs=0.0, learning_rate=1.0)
    paths = set(tiny_state.inference_weights())
    assert {v.path for v in tiny_state.model.trainable_variables} < paths
    assert "stem_bn/moving_mean" in paths
    assert not [path for path in paths if "seed" in path]
    before = {p: v.numpy() for p, v in tiny_state.inference_weights().items()}
    trainer_of(tiny_state, *batch()).train(tf.constant(1))
    kernel = tiny_state.model.get_layer("stem_conv").kernel
    assert np.abs(kernel.numpy() - before[kernel.path]).max() > 1e-2
    for variable in tiny_state.model.weights:
        got = tiny_state.inference_weights()[variable.path].numpy()
        decay = 2 / 11  # (1 + step) / (10 + step) after the first step
        wanted = decay * before[variable.path] + (1 - decay) * variable.numpy()
        # Three roundings of float32 make 2e-7.
        np.testing.assert_allclose(got, wanted, atol=2e-5, rtol=2e-5)


def test_masks_are_a_function_of_seed_and_step(tiny_state):
    images, _ = batch()

    def logits(seed):
        LayerSeeds(tiny_state.model, seed, replicas=1).assign(tiny_state.step)
        return tiny_state.model(images, training=True).numpy()

    first = logits(0)
    np.testing.assert_array_equal(logits(0), first)
    spread = np.abs(first).max()
    assert np.abs(logits(1) - first).max() > 0.1 * spread
    tiny_state.optimizer.iterations.assign_add(1)
    assert np.abs(logits(0) - first).max() > 0.1 * spread


def test_loop_reports_the_rate_its_last_step_took(tiny_state):
    trainer = trainer_of(tiny_state, *batch())
    first = trainer.train(tf.constant(3))
    assert first["learning_rate"] == pytest.approx(
        0.001 * 2 / int(5 * 1347 / 64), rel=1e-4
    )
    assert int(tiny_state.step.numpy()) == 3
    # Most of the first loop is tracing, so its time is told and is no speed.
    assert "images_per_second" not in first and first["first_loop_seconds"] > 0
    second = trainer.train(tf.constant(3))
    assert "first_loop_seconds" not in second and second["images_per_second"] > 0


def test_evaluation_scores_by_hand_and_masks_the_padding():
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Rescaling(1.0), keras.layers.Flatten()]
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 4, 4, 3)).astype("uint8")
    labels = rng.integers(0, 48, 6).astype("int32")
    labels[0] = images[0].ravel().argmax()
    masks = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], "float32")
    padded = np.concatenate([images, images])
    data = tf.data.Dataset.from_tensor_slices(
        {
            "image": padded.reshape(3, 4, 4, 4, 3),
            "label": np.concatenate([labels, labels]).reshape(3, 4),
            "mask": masks,
        }
    )
    evaluator = steps.Evaluator(
        model, {}, data.repeat(), strategy=tf.distribute.get_strategy()
    )
    scores = evaluator.evaluate(tf.constant(-1))
    logits = images.reshape(6, 48).astype("float64")
    ranks = (-logits).argsort(axis=1, kind="stable")
    top_5 = np.mean(
        [label in rank[:5] for label, rank in zip(labels, ranks, strict=True)]
    )
    log_sums = np.log(np.exp(logits - 255).sum(1)) + 255
    assert scores["examples"] == 6
    assert scores["top_1"] == pytest.approx(np.mean(ranks[:, 0] == labels))
    assert scores["top_5"] == pytest.approx(top_5)
    assert scores["loss"] == pytest.approx(
        np.mean(log_sums - logits[np.arange(6), labels]), rel=1e-5
    )


def test_scores_of_a_model_that_answers_nan_are_zero():
    model = keras.Sequential([keras.Input((1, 1, 3)), keras.layers.Flatten()])
    data = tf.data.Dataset.from_tensors(
        {
            "image": tf.fill([3, 1, 1, 3], np.nan),
            "label": tf.range(3),  # NaN ranks some class first
            "mask": tf.ones([3]),
        }
    )
    padding = data.map(lambda b: b | {"mask": tf.zeros([3])})
    evaluator = steps.Evaluator(
        model,
        {},
        data.concatenate(padding),
        strategy=tf.distribute.get_strategy(),
    )
    scores = evaluator.evaluate(tf.constant(-1))
    assert scores["top_1"] == scores["top_5"] == 0


def test_best_evaluation_is_remembered():
    record = state.Evaluations()
    assert record.note(step=1, score=0.5, loss=1.0)
    assert not record.note(step=2, score=0.5, loss=1.0)
    assert not record.note(step=3, score=0.4, loss=0.1)
    assert not record.note(step=4, score=0.0, loss=float("nan"))
    assert int(record.since_best.numpy()) == 3
    assert record.note(step=5, score=0.5, loss=0.9)
    assert (int(record.since_best.numpy()), int(record.best_step.numpy())) == (0, 5)
    assert record.note(step=6, score=0.6, loss=2.0)


@pytest.mark.slow
@needs_xla
def test_the_whole_step_compiles_under_xla_to_the_same_step():
    images, labels = batch()
    # Dropout off: XLA draws other random numbers from the same seed.
    config = config_lib.create(warmup_epochs=0.0, **ONE | STILL)
    ends = []
    for compiled in (True, False):
        run_state = build.train_state(
            config,
            train_images=1347,
            model=run_model.create(config),
            evaluations=state.Evaluations(),
        )
        trainer = trainer_of(run_state, images, labels, weight_decay=1e-5)
        step = tf.function(trainer.replica_step, jit_compile=compiled)
        start = flat_weights(run_state.model)
        for _ in range(2):
            step({"image": images, "label": labels})
        ends.append(flat_weights(run_state.model))
    assert np.linalg.norm(ends[1] - start) > 0.1
    distance = np.linalg.norm(ends[0] - ends[1])
    assert distance < 1e-3 * np.linalg.norm(ends[1] - start)


def flat_weights(model):
    return np.concatenate([v.numpy().ravel() for v in model.weights])
