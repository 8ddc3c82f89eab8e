"""Trains or continues a run, up to its last evaluation."""

import contextlib
import functools
import math
from collections.abc import Callable

import keras
import orbit
import tensorflow as tf

from efficientnet_tf import files
from efficientnet_tf.config import Config
from efficientnet_tf.data import folder, label_csv, sources
from efficientnet_tf.hardware import agreement, devices
from efficientnet_tf.runs import metrics as metrics_lib
from efficientnet_tf.runs import run_model
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import (
    build,
    caching,
    checkpoint_folders,
    checks,
    evaluation,
    host_facts,
    input_faults,
    introduction,
    label_kinds,
    progress,
    state,
    uploads,
)
from efficientnet_tf.training.predictions import Predictions
from efficientnet_tf.weights import reading, weights_file

_NO_TRAINING = {
    "folder": f"no train folder; {folder.TRAINING_LAYOUT}",
    "csv": f"no {label_csv.TRAIN}; {label_csv.TRAINING_LAYOUT}",
}


def train(
    config: Config,
    *,
    model_dir: str,
    strategy: tf.distribute.Strategy,
    validate: bool = True,
    predictions: Predictions | None = None,
) -> dict:
    """Starts a run, or continues the run in `model_dir`, and writes its results there.

    During training it evaluates the held-out images, if there are any, and keeps the
    weights that score best on them. All hosts of a run call it; the chief writes.

    Args:
        config: configuration of the run; it must agree with the one in `model_dir`.
        model_dir: local folder or gs:// URL, which all hosts share.
        strategy: the strategy that `devices.make_strategy` made.
        validate: whether to score the best weights on the validation data at the end
            and, if no images are held out, the latest weights during training.
        predictions: gets what the best weights predict for each validation image.

    Returns:
        The run's "step" and whether it is "finished" (False after SIGTERM). A finished
        run with `validate` has the scores of `evaluation.evaluate` too.

    Raises:
        ValueError: naming a setting, file or record that is wrong.
        FloatingPointError: if the loss stops being finite; nothing is saved then.
    """
    checks.check_batch_sizes(config, strategy)
    files.check_writable(model_dir, label="model_dir=")
    source = build.open_source(config)
    if not source.splits.train_images:
        raise ValueError(f"data_dir={config.data_dir}: {_NO_TRAINING[config.dataset]}")
    build.class_weights(config, source.splits.train)  # refused before any compute
    run_dir = RunDir(model_dir)
    run_dir.check_config(config)
    run_dir.check_class_names(source.splits.class_names)
    hosts = agreement.Hosts(strategy)
    latest = run_dir.latest_checkpoint()
    hosts.require_same(host_facts.facts(config, source, latest))
    checks.check_one_host(config, hosts.count)
    for split in (source.splits.minival, validate and source.splits.validation):
        if split:
            input_faults.look(config, source, split, strategy)
    source, kept = caching.begin(config, source, strategy, validate=validate)
    policy = devices.configure_numerics(strategy, config.precision)
    evaluations = state.Evaluations()
    is_fresh = latest is None
    with strategy.scope():
        model = _initial_model(config, run_dir, policy=policy, is_fresh=is_fresh)
    if hosts.is_chief:
        evaluation.say(introduction.lines(config, source.splits) + kept)
    cached = build.cached_features(config, model, source, strategy)
    features_read = functools.partial(
        input_faults.in_evaluation, config, source, source.splits.train, strategy
    )
    if is_fresh:
        with features_read():
            build.begin_classifier(config, model, cached)
    with strategy.scope():
        run_state = build.train_state(
            config,
            train_images=source.splits.train_images,
            model=model,
            evaluations=evaluations,
        )
        checkpoints = checkpoint_folders.CheckpointFolders(
            model_dir, run_state, writes=hosts.is_chief
        )
        if latest is not None:
            checkpoints.restore(latest)
    if hosts.is_chief:
        run_dir.write_config(config)
        run_dir.write_data(introduction.inventory(config, source.splits))
    if hosts.is_chief and is_fresh:
        run_model.name_classes(model, source.splits.class_names)
        run_dir.write_passport(model.passport)
        weights_file.print_notes(getattr(model, "load_report", None))
    data = cached if config.trains_classifier_only else source
    del cached  # otherwise the features stay in memory, 0.5 GB of 100,000 images
    with input_faults.listed(source, model_dir, hosts.number) as write_list:
        with features_read():
            run = _Run(
                *(config, model_dir, strategy, hosts, data, run_state, checkpoints),
                validate=validate,
                write_list=write_list,
            )
        result = {"finished": run.to_the_end(), "step": run.step}
    if not (result["finished"] and validate):
        return result
    return result | evaluation.evaluate(
        config,
        model_dir=model_dir,
        strategy=strategy,
        source=source,
        predictions=predictions,
    )


def _initial_model(
    config: Config, run_dir: RunDir, *, policy: str, is_fresh: bool
) -> keras.Model:
    """Builds the model, before a checkpoint is restored; a new run loads `weights`."""
    if config.weights and is_fresh:
        weights = reading.read_weights(
            config.weights, config.variant, ema=config.weights_ema
        )
        return run_model.start_from(config, weights, policy=policy)
    variant = None if is_fresh else run_dir.read_passport().variant
    return run_model.create(config, policy=policy, variant=variant)


class _Run:
    """One process's part of a run: loops, evaluations and checkpoints in order.

    All hosts of a run take every step here; only the chief writes and prints.
    """

    def __init__(
        self,
        config: Config,
        model_dir: str,
        strategy: tf.distribute.Strategy,
        hosts: agreement.Hosts,
        source: sources.Source,
        state: state.TrainState,
        checkpoints: checkpoint_folders.CheckpointFolders,
        *,
        validate: bool,
        write_list: Callable[[], None],
    ):
        self._config = config
        self._kind = label_kinds.of(config.multi_label)
        self._uploads = uploads.Uploads(model_dir)
        self._strategy = strategy
        self._hosts = hosts
        self._source = source
        self._write_list = write_list
        self._recalibrate = build.recalibrator(config, state, source, strategy)
        self._state = state
        self._checkpoints = checkpoints
        self._train_images = source.splits.train_images
        self._total = config.steps(config.train_epochs, train_images=self._train_images)
        self._checkpoint_every = self._interval(config.checkpoint_epochs)
        self._eval_every = self._interval(config.eval_epochs)
        self._saved_step = self.step
        self._picks_best = source.splits.minival is not None
        self._evaluates = self._picks_best or validate
        self._split = source.splits.minival or source.splits.validation
        self._controller = orbit.Controller(
            global_step=state.step,
            trainer=build.trainer(config, state, source, strategy),
            evaluator=build.evaluator(
                config,
                build.trained_part(config, state.model),
                state.inference_weights(),
                source,
                self._split,
                strategy,
            ),
            strategy=strategy,
            steps_per_loop=config.steps_per_loop,
            train_actions=[self._after_loop],
            summary_dir=self._events("train"),
            eval_summary_dir=self._events(self._split.name),
        )

    @property
    def step(self) -> int:
        return int(self._state.step.numpy())

    def _events(self, split: str) -> str | None:
        """Returns the folder for TensorBoard's events; None on hosts but the chief."""
        return f"{self._uploads.folder}/{split}" if self._hosts.is_chief else None

    def to_the_end(self) -> bool:
        """Trains to the last step, an early stop (both True) or SIGTERM (False).

        A step is evaluated before its checkpoint is saved, because the checkpoint holds
        the outcome: a run that is killed between the two evaluates again.
        """
        with (
            self._uploads,
            self._new_progress() as self._progress,
            host_facts.sigterm(self._hosts) as stop_requested,
        ):
            if self._hosts.is_chief:
                self._uploads.fetch(metrics_lib.NAME)
                metrics_lib.drop_after(self._uploads.folder, self.step)
            self._introduce()
            while True:
                if self._evaluation_is_due():
                    self._evaluate()
                done = self._is_last() or self._stopped_early()
                stopped = stop_requested()
                if done or stopped or self._due(self._checkpoint_every):
                    self._save()
                if done:
                    return True
                if stopped:
                    break
                with evaluation.quiet_orbit(), self._reading(lambda: self.step):
                    self._controller.train(
                        self._next_stop(), checkpoint_at_completion=False
                    )
            self._progress.say(
                f"SIGTERM: saved at step {self.step}; the same command continues"
            )
        return False

    def _introduce(self) -> None:
        self._progress.say(
            f"{self._config.model} on {self._config.dataset}: {self._train_images} "
            f"images, {self._total} steps of {self._config.train_batch_size}"
            + (f" on {self._hosts.count} hosts" if self._hosts.count > 1 else "")
            + (f", continuing from step {self.step}" if self.step else "")
        )
        if note := devices.precision_note(self._strategy, self._config.precision):
            self._progress.say(note)

    def _reading(self, step: Callable[[], int]) -> contextlib.AbstractContextManager:
        """Names a record that ends the reading of the batches behind a step."""
        return input_faults.in_training(
            self._config, self._source, self._strategy, step=step
        )

    def _save(self) -> None:
        """Saves this step, unless it is saved: a checkpoint is never overwritten."""
        if self.step not in (0, self._saved_step):
            self._uploads.send()
            self._write_list()
            self._checkpoints.save()
            self._saved_step = self.step

    def _evaluation_is_due(self) -> bool:
        """Whether to evaluate this step; never twice, not even after a restart."""
        done = (int(self._state.evaluations.last_step.numpy()), self._saved_step)
        wanted = self._evaluates or self._is_last()
        return wanted and self._due(self._eval_every) and self.step not in done

    def _evaluate(self) -> None:
        """Recalibrates and scores this step.

        Without held-out images the last step is only recalibrated: it is scored after
        training, perhaps by another command.
        """
        with self._reading(lambda: 0):
            self._recalibrate()
        if self._is_last() and not self._picks_best:
            return
        with input_faults.in_evaluation(
            self._config, self._source, self._split, self._strategy
        ):
            scores = evaluation.score(self._controller, self._config, self._split)
        self._append_metrics("eval", scores)
        improved = self._state.evaluations.note(
            step=self.step, score=scores[self._kind.leading], loss=scores["loss"]
        )
        best = improved and self._picks_best
        if best:
            self._checkpoints.save_best()
        self._progress.say(
            f"step {self.step}: {self._split.name} {self._kind.in_words(scores)}, "
            f"loss {scores['loss']:.4f} "
            f"on {scores['examples']} images" + (" (best so far)" if best else "")
        )
        self._uploads.send()

    def _after_loop(self, metrics: dict[str, float]) -> None:
        if not math.isfinite(metrics["loss"]):
            raise FloatingPointError(
                f"loss is {metrics['loss']} at step {self.step}; the last checkpoint "
                "is from before. Lower --learning_rate or raise --warmup_epochs"
            )
        self._append_metrics("train", metrics)
        self._uploads.send_at_times()
        self._progress.update(self.step, metrics)

    def _append_metrics(self, kind: str, values: dict) -> None:
        if not self._hosts.is_chief:
            return
        epoch = self.step * self._config.train_batch_size / self._train_images
        metrics_lib.append(
            self._uploads.folder, kind, step=self.step, epoch=epoch, **values
        )

    def _next_stop(self) -> int:
        """Returns the next step at which a loop, a save or an evaluation is due."""
        rhythms = [self._config.steps_per_loop, self._checkpoint_every]
        if self._evaluates:
            rhythms.append(self._eval_every)
        return min(self._total, *((self.step // n + 1) * n for n in rhythms))

    def _due(self, every: int) -> bool:
        return self.step > 0 and (self.step % every == 0 or self._is_last())

    def _is_last(self) -> bool:
        return self.step >= self._total

    def _stopped_early(self) -> bool:
        patience = self._config.early_stopping_evals
        return 0 < patience <= int(self._state.evaluations.since_best.numpy())

    def _interval(self, epochs: float) -> int:
        return self._config.interval(epochs, train_images=self._train_images)

    def _new_progress(self) -> progress.Progress:
        return progress.Progress(
            step=self.step,
            total=self._total,
            steps_per_epoch=self._train_images / self._config.train_batch_size,
            batch_size=self._config.train_batch_size,
            silent=not self._hosts.is_chief,
        )
