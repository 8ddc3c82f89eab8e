"""One process's part of a run: loops, evaluations and checkpoints in order."""

import contextlib
import signal
from collections.abc import Callable
from typing import Any

import orbit
import tensorflow as tf

from efficientnet_tf.config import Config
from efficientnet_tf.data import sources
from efficientnet_tf.hardware import agreement, devices
from efficientnet_tf.runs import metrics as metrics_lib
from efficientnet_tf.runs import run_dir
from efficientnet_tf.training import (
    build,
    checkpoint_folders,
    evaluation,
    forward,
    input_faults,
    label_kinds,
    progress,
    recovery,
    state,
    stop_signals,
    uploads,
)


class Run:
    """Takes a run's steps; all hosts of a run take every one, the chief writes.

    Args:
        config: configuration of the run.
        model_dir: the run's folder.
        strategy: the strategy that the state was made under.
        hosts: the hosts of the strategy.
        source: the run's data, of images or of a frozen backbone's features.
        state: the run's state, restored if it continues.
        checkpoints: writes and reads the state.
        validate: whether to score validation images where none are held out.
        write_list: writes the list of records that were skipped.
        check_held: raises ValueError if another run has taken the folder over.
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
        check_held: Callable[[], None],
    ):
        self._config = config
        self._kind = label_kinds.of(config.multi_label)
        self._uploads = uploads.Uploads(model_dir, check_held)
        self._strategy = strategy
        self._hosts = hosts
        self._source = source
        self._write_list = write_list
        self._check_held = check_held
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
        self._validates = validate
        self._split = source.splits.minival or source.splits.validation
        trainer = build.trainer(config, state, source, strategy)
        self._recovery = recovery.Recovery(
            *(config, run_dir.RunDir(model_dir), source, strategy),
            hosts=hosts,
            state=state,
            checkpoints=checkpoints,
            trainer=trainer,
            note=self._note_rollback,
        )
        self._controller = orbit.Controller(
            global_step=state.step,
            trainer=trainer,
            evaluator=build.evaluator(
                config,
                forward.trained_part(config, state.model),
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
        """The steps that the run has taken."""
        return int(self._state.step.numpy())

    def _events(self, split: str) -> str | None:
        """Returns the folder for TensorBoard's events; None on hosts but the chief."""
        return f"{self._uploads.folder}/{split}" if self._hosts.is_chief else None

    def to_the_end(self) -> signal.Signals | None:
        """Trains to the last step, to an early stop, or to a signal, which it returns.

        A step is evaluated before its checkpoint is saved, because the checkpoint holds
        the outcome: a run that is killed between the two evaluates again.

        Raises:
            ValueError: naming a file or record, or the run that has taken the folder
                over.
            NotFiniteError: naming the step and the layer, see `Recovery.watching`.
        """
        with (
            self._uploads,
            self._new_progress() as self._progress,
            stop_signals.noticed(self._hosts) as stop,
        ):
            if self._hosts.is_chief:
                self._uploads.fetch(metrics_lib.NAME)
                self._drop_metrics()
            self._introduce()
            while True:
                self._check_held()
                if self._evaluation_is_due():
                    with self._recovery.watching():
                        self._evaluate()
                stopped = stop.requested()
                ends = stopped or self._is_done()
                if ends or self._due(self._checkpoint_every):
                    self._save()
                if ends:
                    break
                with self._recovery.watching():
                    self._take_loop()
            if stopped:
                self._progress.say(
                    f"{stop_signals.NAMES[stopped]}: saved at step {self.step}; the "
                    "same command continues"
                )
        return stopped

    def _introduce(self) -> None:
        self._progress.say(
            f"{self._config.model} on {self._config.dataset}: {self._train_images} "
            f"images, {self._total} steps of {self._config.train_batch_size}"
            + (f" on {self._hosts.count} hosts" if self._hosts.count > 1 else "")
            + (f", {self._place()}" if self.step else "")
        )
        if note := devices.precision_note(self._strategy, self._config.precision):
            self._progress.say(note)

    def _place(self) -> str:
        """Says at which step a run goes on, or that it does not."""
        if self._is_done():
            return f"finished at step {self.step}"
        return f"continuing from step {self.step}"

    def _reading(self, step: Callable[[], int]) -> contextlib.AbstractContextManager:
        """Names a record that ends the reading of the batches behind a step."""
        return input_faults.in_training(
            self._config, self._source, self._strategy, step=step
        )

    def _take_loop(self) -> None:
        """Takes the steps up to the next stop."""
        with evaluation.quiet_orbit(), self._reading(lambda: self.step):
            self._controller.train(self._next_stop(), checkpoint_at_completion=False)

    def _save(self) -> None:
        """Saves this step, unless it is saved: a checkpoint is never overwritten."""
        if self.step not in (0, self._saved_step):
            self._check_held()
            self._uploads.send()
            self._write_list()
            self._checkpoints.save()
            self._saved_step = self.step
            self._recovery.forget_start()

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
        self._recovery.require_finite()
        if self._is_last() and not self._picks_best:
            return
        with input_faults.in_evaluation(
            self._config, self._source, self._split, self._strategy
        ):
            scores = evaluation.score(self._controller, self._config, self._split)
        self._check_held()  # an evaluation may take long
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
        if self._is_done() and not self._validates and self._hosts.is_chief:
            evaluation.warn(self._config, scores)  # else the validation does
        self._uploads.send()

    def _after_loop(self, metrics: dict[str, float]) -> None:
        self._append_metrics("train", metrics)
        self._uploads.send_at_times()
        self._progress.update(self.step, metrics)

    def _note_rollback(self, *, reason: str, **noted: Any) -> None:
        """Goes on from an earlier step, to which `recovery` has taken the state."""
        self._saved_step = self.step
        if self._hosts.is_chief:
            self._drop_metrics()
        self._append_metrics("rollback", {"reason": reason, **noted})
        self._uploads.send()
        self._progress.say(
            f"{reason}: back to step {self.step}, with {noted['rate_factor']:g} of the "
            "learning rate"
        )

    def _drop_metrics(self) -> None:
        """Removes the lines of what this run does again."""
        factor = float(self._state.rate_factor.numpy())
        metrics_lib.drop_after(self._uploads.folder, self.step, rate_factor=factor)

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

    def _is_done(self) -> bool:
        """Whether this is the last step, or the one of an early stop."""
        patience = self._config.early_stopping_evals
        without_gain = int(self._state.evaluations.since_best.numpy())
        return self._is_last() or 0 < patience <= without_gain

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
