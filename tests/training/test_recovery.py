"""A run that meets NaN goes back to a finite checkpoint, exactly."""

import dataclasses
import functools
import os

import keras
import numpy as np
import pytest
import replicas
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.hardware import agreement
from efficientnet_tf.runs.checkpoint_files import Checkpoints, Found
from efficientnet_tf.runs.finiteness import NotFiniteError
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import (
    build,
    checkpoint_folders,
    evaluation,
    objective,
    recovery,
    schedules,
    settings,
    state,
    steps,
)
from efficientnet_tf.training.finite_state import NotFiniteStepError
from efficientnet_tf.training.layer_seeds import LayerSeeds

BATCH, LOOP = 4, 5
CONFIG = config_lib.create(dataset="fake", train_batch_size=BATCH)


class SmallRun:
    """A run of a network of two layers, on random images that the step decides.

    Tests share one, because tracing takes most of their time; each of them begins it.
    """

    def __init__(self, strategy=None):
        self.strategy = strategy or tf.distribute.OneDeviceStrategy("/cpu:0")
        evaluations = state.Evaluations()
        with self.strategy.scope():
            keras.utils.set_random_seed(0)
            inputs = keras.Input((3,))
            x = keras.layers.Dense(4, name="first")(inputs)
            x = keras.layers.BatchNormalization(name="norm")(x)
            model = keras.Model(inputs, keras.layers.Dense(2, name="last")(x))
            factor = tf.Variable(1.0, trainable=False)
            rate = schedules.Scaled(lambda step: 0.1, factor)
            self.state = state.TrainState(
                model,
                keras.optimizers.SGD(rate, momentum=0.9, name="sgd"),
                evaluations=evaluations,
                ema_decay=0.9,
                rate_factor=factor,
            )
            # The steps that are spoiled at the whole rate, at a half and at less.
            self.nan_at = tf.Variable([0, 0, 0], trainable=False, dtype=tf.int64)
            self.huge_at = tf.Variable(0, trainable=False, dtype=tf.int64)
        self.trainer = self._trainer(model, rate)
        self.trainer.examiner = functools.cache(self.trainer.examiner)
        self.restore_start = self.state.snapshot()

    def begin(self, folder, *, policy="rollback", nan_at=(0, 0, 0), huge_at=0):
        """Begins or continues a run in a folder, whose batches may be spoiled."""
        self.nan_at.assign(nan_at)
        self.huge_at.assign(huge_at)
        self.restore_start()
        self.notes = []
        self.checkpoints = checkpoint_folders.CheckpointFolders(str(folder), self.state)
        if (there := RunDir(str(folder)).to_continue()).found:
            self.checkpoints.restore(there)
        self.trainer.train_dataset = batches(self.strategy, consumed=self.step * BATCH)
        config = dataclasses.replace(CONFIG, nan_policy=policy)
        self.recovery = recovery.Recovery(
            *(config, RunDir(str(folder)), None, self.strategy),
            hosts=agreement.Hosts(self.strategy),
            state=self.state,
            checkpoints=self.checkpoints,
            trainer=self.trainer,
            note=lambda **noted: self.notes.append({"to": self.step} | noted),
        )
        return self

    def _trainer(self, model, rate):
        count = self.strategy.num_replicas_in_sync
        made = objective.PaperObjective(
            model,
            CONFIG.section(settings.Optimisation),
            batch_size=BATCH,
            replicas=count,
        )
        return steps.Trainer(
            self.state,
            made,
            None,
            strategy=self.strategy,
            batch_size=BATCH,
            learning_rate=rate,
            seeds=LayerSeeds(model, 0, replicas=count),
            augment=self._spoil,
        )

    def _spoil(self, batch):
        """Spoils the images of the last replica."""
        context = tf.distribute.get_replica_context()
        is_last = context.replica_id_in_sync_group == context.num_replicas_in_sync - 1
        step = self.state.optimizer.iterations.value + 1
        factor = tf.identity(self.state.rate_factor)
        number = tf.cast(factor <= 0.5, tf.int32) + tf.cast(factor <= 0.25, tf.int32)
        is_nan = is_last & (step == tf.gather(self.nan_at, number))
        images = batch["image"] * tf.where(is_nan, np.nan, 1.0)
        # Batch norm's variance overflows, and the loss is finite.
        return batch | {"image": images * tf.where(step == self.huge_at, 1e25, 1.0)}

    @property
    def step(self) -> int:
        return int(self.state.step.numpy())

    def train(self, *, to: int, save: tuple[int, ...] = ()) -> None:
        """Takes loops of 5 steps, and saves after some."""
        while self.step < to:
            with self.recovery.watching():
                self.trainer.train(tf.constant(LOOP))
            if self.step in save:
                self.checkpoints.save()
                self.recovery.forget_start()

    def values(self) -> dict:
        return {name: v.numpy() for name, v in self.state.computed().items()}


@pytest.fixture(scope="module")
def small():
    return SmallRun()


def batches(strategy, *, consumed):
    """Each replica's share of each batch, drawn from its number."""
    replicas_ = strategy.num_replicas_in_sync

    def example(number):
        shape = [BATCH // replicas_, 3]
        images = tf.random.stateless_normal(shape, [0, number])
        return {"image": images, "label": tf.one_hot(tf.range(shape[0]) % 2, 2)}

    first = consumed // BATCH * replicas_
    return strategy.distribute_datasets_from_function(
        lambda _: tf.data.Dataset.range(first, first + 1000).map(example)
    )


@pytest.fixture(autouse=True)
def _data(monkeypatch):
    def train_batches(config, source, strategy, *, consumed):
        return batches(strategy, consumed=consumed)

    monkeypatch.setattr(build, "train_batches", train_batches)


def saved(folder) -> list[str]:
    names = os.listdir(folder / "checkpoints")
    return sorted(n.removesuffix(".index") for n in names if n.endswith(".index"))


def assert_same(found, expected):
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_a_run_that_goes_back_trains_on_at_a_lower_rate_and_resumes_exactly(
    small, tmp_path
):
    bad = {"nan_at": (8, 7, 0)}
    run = small.begin(tmp_path, **bad)
    run.train(to=20, save=(5, 10))
    assert [(n["to"], n["rate_factor"], n["first_not_finite"]) for n in run.notes] == [
        (5, 0.5, "first"),
        (5, 0.25, "first"),
    ]
    assert "begins at step 8 in the output of first" in run.notes[0]["reason"]
    assert "begins at step 7" in run.notes[1]["reason"]
    expected = run.values()
    resumed = small.begin(tmp_path, **bad)
    assert (resumed.step, float(resumed.state.rate_factor.numpy())) == (10, 0.25)
    resumed.train(to=20)
    assert_same(resumed.values(), expected)
    rate = run.trainer.train(tf.constant(LOOP))["learning_rate"]
    assert rate == pytest.approx(0.1 * 0.25)


def test_a_run_without_a_checkpoint_goes_back_to_its_start_three_times(small, tmp_path):
    run = small.begin(tmp_path, nan_at=(2, 2, 2))
    start = run.values()
    with pytest.raises(NotFiniteError, match="halved 3 times"):
        run.train(to=5)
    assert [(n["to"], n["rate_factor"]) for n in run.notes] == [
        (0, 0.5),
        (0, 0.25),
        (0, 0.125),
    ]
    run.recovery._go_back(1.0)
    assert_same(run.values(), start)
    assert not (tmp_path / "checkpoints").exists()


def test_a_run_that_stops_names_step_and_layer_and_keeps_its_checkpoint(
    small, tmp_path
):
    run = small.begin(tmp_path, policy="stop", nan_at=(8, 0, 0))
    with pytest.raises(NotFiniteError) as told:
        run.train(to=15, save=(5, 10))
    text = str(told.value)
    assert text.startswith(
        "step 8: the loss is not finite; it begins at step 8 in the "
    )
    assert "the output of first;" in text and told.value.path == "first"
    assert "checkpoint of step 5 is kept" in text and "nan_policy=rollback" in text
    assert saved(tmp_path) == ["ckpt-5"]


def test_statistics_alone_that_are_not_finite_stop_the_run(small, tmp_path):
    run = small.begin(tmp_path, policy="stop", huge_at=9)
    with pytest.raises(NotFiniteError) as told:
        run.train(to=15, save=(5, 10))
    text = str(told.value)
    assert text.startswith("step 10: ") and "at step 9 in norm/moving_variance;" in text
    assert told.value.path == "norm/moving_variance"
    assert saved(tmp_path) == ["ckpt-5"]


def test_averages_alone_that_are_not_finite_stop_the_run_and_are_not_saved(
    small, tmp_path
):
    run = small.begin(tmp_path, policy="stop")
    run.train(to=5, save=(5,))
    average = run.state.ema.averages[0]
    average.assign(tf.fill(average.shape, np.inf))
    for save in (run.checkpoints.save, run.checkpoints.save_best):
        with pytest.raises(NotFiniteError, match="the average of first/kernel"):
            save()
    with (
        pytest.raises(NotFiniteError, match="the average of first/kernel"),
        run.recovery.watching(),
    ):
        run.recovery.require_finite()
    assert saved(tmp_path) == ["ckpt-5"] and not (tmp_path / "best").exists()


def test_nan_on_one_of_two_replicas_is_noted_with_its_step(tmp_path):
    trainer = SmallRun(replicas.two()).begin(tmp_path, nan_at=(7, 0, 0)).trainer
    trainer.train(tf.constant(LOOP))
    with pytest.raises(NotFiniteStepError, match="step 7: the loss") as told:
        trainer.train(tf.constant(LOOP))
    assert told.value.suspects == range(6, 8)


def test_weights_and_checkpoints_that_are_not_finite_are_not_begun_with(
    small, tmp_path
):
    run = small.begin(tmp_path)
    bias = run.state.model.get_layer("last").bias
    bias.assign([0.0, np.nan])
    path = run.state.checkpoint().save(str(tmp_path / "ckpt"))
    with pytest.raises(ValueError, match="ckpt-1: last/bias is not finite; no other"):
        run.checkpoints.restore(Checkpoints((Found(path),)))
    with pytest.raises(NotFiniteError, match=r"step 0: last/bias .* --weights"):
        recovery.Recovery(
            *(CONFIG, RunDir(str(tmp_path)), None, run.strategy),
            hosts=agreement.Hosts(run.strategy),
            state=run.state,
            checkpoints=run.checkpoints,
            trainer=run.trainer,
            note=dict,
        )


def test_hosts_go_back_to_one_step(small, tmp_path, monkeypatch):
    run = small.begin(tmp_path)
    run.train(to=10, save=(5,))
    told = []
    monkeypatch.setattr(
        agreement.Hosts, "require_same", lambda _, facts: told.append(facts)
    )
    run.recovery._go_back(0.5)
    assert [list(facts.values()) for facts in told] == [["5"]]


def test_best_weights_alone_keep_a_run_from_beginning_here_anew(small, tmp_path):
    for words in ("begin here anew", "needs another --model_dir"):
        run = small.begin(tmp_path, policy="stop", nan_at=(7, 0, 0))
        with pytest.raises(NotFiniteError, match=words):
            run.train(to=10)
        run.checkpoints.save_best()


def test_a_checkpoint_without_a_factor_is_continued_at_the_whole_rate(small, tmp_path):
    run = small.begin(tmp_path)
    path = run.state.checkpoint(rate_factor=False).save(str(tmp_path / "ckpt"))
    run.state.rate_factor.assign(0.5)
    assert run.checkpoints.restore(Checkpoints((Found(path),))) == path
    assert float(run.state.rate_factor.numpy()) == 1.0


def test_an_evaluation_that_is_not_finite_names_the_layer_and_is_never_best():
    class Controller:
        def __init__(self):
            self.evaluator = self

        def evaluate(self):
            return {"loss": np.nan, "top_1": 1.0, "examples": 3}

        def first_layer_not_finite(self, batches):
            return "the output of block1a_bn" if batches == 2 else None

    class Split:
        name, images = "minival", 3

    config = config_lib.create(dataset="fake", eval_batch_size=2)
    with pytest.raises(NotFiniteError) as told:
        evaluation.score(Controller(), config, Split())
    assert "minival: the loss" in str(told.value)
    assert told.value.path == "block1a_bn"
    record = state.Evaluations()
    for loss in (np.nan, np.inf):
        assert not record.note(step=1, score=1.0, loss=loss)
    assert record.note(step=2, score=0.1, loss=5.0)
