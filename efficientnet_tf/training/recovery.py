"""What a run does about NaN: it finds the first one, and stops or goes back."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from efficientnet_tf.config import Config
from efficientnet_tf.data import sources
from efficientnet_tf.hardware import agreement
from efficientnet_tf.runs import checkpoint_files, finiteness
from efficientnet_tf.runs.finiteness import NotFiniteError
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import build, checkpoint_folders, forward
from efficientnet_tf.training import state as state_lib
from efficientnet_tf.training import steps as steps_lib
from efficientnet_tf.training.finite_state import NotFiniteStepError

MOST_ROLLBACKS = 3


class Recovery:
    """Goes back to the last checkpoint, or to the start of a run that has none.

    Data and random draws are functions of the step, so the bad step is taken again from
    the state before it, layer by layer. All hosts of a run do the same.

    Args:
        config: configuration of the run.
        run_dir: the run's folder.
        source: the run's data, of images or of a frozen backbone's features.
        strategy: the strategy that the state was made under.
        hosts: the hosts of the strategy.
        state: the run's state; if its step is 0 it is copied, as the start.
        checkpoints: reads the state.
        trainer: takes the run's steps; afterwards its data begin at the state's step.
        note: told of each rollback, by keyword arguments that metrics.jsonl can hold.

    Raises:
        NotFiniteError: naming a weight that is not finite before the first step.
    """

    def __init__(
        self,
        config: Config,
        run_dir: RunDir,
        source: sources.Source,
        strategy: tf.distribute.Strategy,
        *,
        hosts: agreement.Hosts,
        state: state_lib.TrainState,
        checkpoints: checkpoint_folders.CheckpointFolders,
        trainer: steps_lib.Trainer,
        note: Callable[..., None],
    ):
        self._config = config
        self._run_dir = run_dir
        self._source = source
        self._strategy = strategy
        self._hosts = hosts
        self._state = state
        self._checkpoints = checkpoints
        self._trainer = trainer
        self._note = note
        self._start = None
        if self._step == 0:  # a checkpoint is looked at when it is restored
            if path := state.first_not_finite():
                text = f"step 0: {path} is not finite; take other --weights"
                raise NotFiniteError(text, path=path)
            self._start = state.snapshot()

    @property
    def _step(self) -> int:
        return int(self._state.step.numpy())

    def forget_start(self) -> None:
        """Frees the copy of the start; call it once there is a checkpoint."""
        self._start = None

    def require_finite(self) -> None:
        """Raises NotFiniteError for a variable that is not finite, outside of steps."""
        if path := self._state.first_not_finite():
            raise NotFiniteError(f"step {self._step}: {path} is not finite", path=path)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Rolls the run back if a `with` block meets a number that is not finite.

        Raises:
            NotFiniteError: instead, where `nan_policy` is "stop" or the rate has been
                halved often enough; it names the step and the first layer, and says
                what helps. Nothing is saved.
        """
        try:
            yield
        except NotFiniteError as error:
            self._recover(error)

    def _recover(self, error: NotFiniteError) -> None:
        factor = float(self._state.rate_factor.numpy())
        checkpoint = self._go_back(factor)
        found, path = str(error), error.path
        if isinstance(error, NotFiniteStepError):
            step, path = self._first_bad_value(error.suspects) or (0, path)
            found += f"; it begins at step {step} in {path}" if step else ""
        place = finiteness.place(path)
        if self._config.nan_policy == "stop" or factor <= 0.5**MOST_ROLLBACKS:
            advice = self._advice(checkpoint, factor)
            raise NotFiniteError(f"{found}; {advice}", path=place) from None
        self._go_back(factor / 2)
        self._trainer.train_dataset = self._batches(self._step)
        self._note(reason=found, rate_factor=factor / 2, first_not_finite=place)

    def _go_back(self, factor: float) -> str | None:
        """Restores the last checkpoint but for the learning rate's factor.

        Returns:
            The checkpoint's path; None for the start.

        Raises:
            ValueError: naming checkpoints, if none can be used, or if another host goes
                back to another step.
        """
        path, found = None, self._run_dir.to_continue()
        if found.found:
            path = self._checkpoints.restore(found)
        elif self._start is not None:
            self._start()
        else:
            raise ValueError(
                f"model_dir={self._run_dir.path}: holds no checkpoint any more to go "
                "back to; use another model_dir"
            )
        self._hosts.require_same({"the step to go back to": str(self._step)})
        self._state.rate_factor.assign(factor)
        return path

    def _first_bad_value(self, suspects: range) -> tuple[int, str] | None:
        """Takes the steps before the bad one again, and examines that one.

        Returns:
            The step and the name of the first value that is not finite; None if none is
            found, as where a device computes the same step with another result.
        """
        first = max(suspects.start, self._step + 1)
        self._trainer.train_dataset = self._batches(self._step)
        try:
            if first > self._step + 1:
                self._trainer.train(tf.constant(first - 1 - self._step))
            batches = iter(self._batches(first - 1))
            for step in range(first, suspects.stop):
                if found := self._examine(batches):
                    return step, found
                self._trainer.train(tf.constant(1))
        except NotFiniteError as error:
            return (self._step, error.path) if error.path else None
        except tf.errors.ResourceExhaustedError:  # every layer's output takes memory
            return None
        return None

    @functools.cached_property
    def _examine(self) -> Callable[[Any], str | None]:
        model = forward.training_model(self._config, self._state.model)
        return self._trainer.examiner(model)

    def _batches(self, step: int) -> Any:
        consumed = step * self._config.train_batch_size
        return build.train_batches(
            self._config, self._source, self._strategy, consumed=consumed
        )

    def _advice(self, checkpoint: str | None, factor: float) -> str:
        """Says what is kept and what helps."""
        rate = f"a --learning_rate below {self._config.learning_rate:g}"
        is_empty = not self._run_dir.has_saved()  # best/ may be all there is
        goes_on = "the same command with --nan_policy=rollback goes on at half the rate"
        if factor <= 0.5**MOST_ROLLBACKS:
            where = "here anew" if is_empty else "in another --model_dir"
            return (
                f"the rate was halved {MOST_ROLLBACKS} times: begin {where} with {rate}"
            )
        if checkpoint is None:
            begins = "can begin here anew" if is_empty else "needs another --model_dir"
            return (
                f"no checkpoint is saved yet: {rate} or more --warmup_epochs {begins}, "
                f"or {goes_on}"
            )
        step = checkpoint_files.step_of(checkpoint)
        return (
            f"the checkpoint of step {step} is kept and is finite: {goes_on}, and "
            f"{rate} needs another --model_dir"
        )
