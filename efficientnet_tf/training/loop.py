"""A run from its first step, or the one it stopped at, to its last evaluation."""

import contextlib
import io
import math
import signal

import orbit
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.training import build, devices, progress, run_dir, state


def train(
    config: config_lib.Config,
    *,
    model_dir: str,
    strategy: tf.distribute.Strategy,
    evaluate: bool = True,
) -> dict:
    """Trains, or continues the run in `model_dir`, and leaves its results there.

    Args:
        config: the run's; must agree with the one in `model_dir`, if there is one.
        model_dir: local folder or gs:// URL.
        strategy: from `devices.make_strategy`.
        evaluate: whether to evaluate on the way (on the held-out shards, else on the
            validation data) and at the end (the best weights on the validation data).

    Returns:
        The run's "step", whether it is "finished" (False after SIGTERM), and the last
        evaluation's numbers.

    Raises:
        ValueError: naming a setting, file or record that is wrong.
        FloatingPointError: if the loss stops being finite; nothing is saved then.
    """
    build.check_batch_sizes(config, strategy)
    source = build.open_source(config)
    run_dir.check_config(model_dir, config)
    policy = devices.configure_numerics(strategy, config.precision)
    with strategy.scope():
        run_state = build.train_state(
            config,
            train_images=source.splits.train.images,
            policy=policy,
            weights=config.weights if run_dir.is_fresh(model_dir) else None,
        )
        checkpoints = run_dir.Checkpoints(model_dir, run_state)
        checkpoints.restore()
    run_dir.write_config(model_dir, config)
    run = _Run(config, model_dir, strategy, source, run_state, checkpoints)
    finished = run.to_the_end(evaluate)
    result = {"step": run.step, "finished": finished}
    if not (finished and evaluate):
        return result
    return result | evaluate_run(config, model_dir=model_dir, strategy=strategy)


def evaluate_run(
    config: config_lib.Config, *, model_dir: str, strategy: tf.distribute.Strategy
) -> dict:
    """Scores a run's best weights, else its latest, on the validation data.

    Returns:
        "top_1", "top_5", "loss" (cross-entropy), "examples" (each counted once),
        "weights" ("ema" or "raw") and "checkpoint".
    """
    build.check_batch_sizes(config, strategy)
    source = build.open_source(config)
    policy = devices.configure_numerics(strategy, config.precision)
    path = run_dir.inference_checkpoint(model_dir)
    with strategy.scope():
        model = build.model(config, policy=policy)
        state.restore_inference(model, path)
    weights = {variable.path: variable.value for variable in model.weights}
    evaluator = build.evaluator(
        config, model, weights, source, source.splits.validation, strategy
    )
    step = int(path.rsplit("-", 1)[1])
    controller = orbit.Controller(
        global_step=tf.Variable(step, dtype=tf.int64),
        evaluator=evaluator,
        strategy=strategy,
        eval_summary_dir=f"{model_dir}/validation",
    )
    with _quiet_orbit():
        scores = controller.evaluate()
    kind = "ema" if config.moving_average_decay > 0 else "raw"
    scores |= {"weights": kind, "split": "validation"}
    epoch = step * config.train_batch_size / source.splits.train.images
    log = run_dir.MetricsLog(model_dir, last_step=tf.int64.max)
    log.write("eval", step=step, epoch=epoch, **scores)
    return scores | {"checkpoint": path}


class _Run:
    """One process's share of a run: loops, evaluations and checkpoints in order."""

    def __init__(self, config, model_dir, strategy, source, state, checkpoints):
        self._config = config
        self._state = state
        self._checkpoints = checkpoints
        self._train_images = source.splits.train.images
        self._total = self._steps(config.train_epochs)
        self._eval_every = self._steps(config.eval_epochs)
        self._checkpoint_every = self._steps(config.checkpoint_epochs)
        self._saved_step = self.step
        self._log = run_dir.MetricsLog(model_dir, last_step=self.step)
        held_out = source.splits.minival
        self._split = held_out or source.splits.validation
        self._picks_best = held_out is not None
        self._controller = orbit.Controller(
            global_step=state.step,
            trainer=build.trainer(config, state, source, strategy),
            evaluator=build.evaluator(
                config,
                state.model,
                state.inference_weights(),
                source,
                self._split,
                strategy,
            ),
            strategy=strategy,
            steps_per_loop=config.steps_per_loop,
            train_actions=[self._after_loop],
            summary_dir=f"{model_dir}/train",
            eval_summary_dir=f"{model_dir}/{self._split.name}",
        )

    @property
    def step(self) -> int:
        return int(self._state.step.numpy())

    def to_the_end(self, evaluate: bool) -> bool:
        """Runs until the last step, an early stop, or SIGTERM; False for the latter."""
        with self._new_progress() as self._progress, _sigterm() as stop_requested:
            if self.step:
                self._progress.say(f"continuing from step {self.step}")
            while not stop_requested():
                if evaluate and self._evaluation_is_due():
                    self._evaluate()
                if self._due(self._checkpoint_every):
                    self._save()
                if self.step >= self._total or self._stopped_early():
                    self._save()
                    return True
                with _quiet_orbit():
                    self._controller.train(
                        self._next_stop(evaluate), checkpoint_at_completion=False
                    )
            self._save()
            self._progress.say(
                f"SIGTERM: saved at step {self.step}; the same command continues"
            )
        return False

    def _save(self) -> None:
        """Saves this step once: a checkpoint is never written over."""
        if self.step not in (0, self._saved_step):
            self._checkpoints.save()
            self._saved_step = self.step

    def _evaluation_is_due(self) -> bool:
        """Also after a restart, if the checkpoint is from before the evaluation."""
        evaluated = int(self._state.evaluated_step.numpy()) == self.step
        return self._due(self._eval_every) and not evaluated

    def _evaluate(self) -> None:
        with _quiet_orbit():
            scores = self._controller.evaluate()
        scores |= {"weights": self._state.inference_kind, "split": self._split.name}
        self._log.write("eval", step=self.step, epoch=self._epoch(), **scores)
        improved = self._state.note_evaluation(
            top_1=scores["top_1"], loss=scores["loss"]
        )
        best = improved and self._picks_best
        if best:
            self._checkpoints.save_best()
        self._progress.say(
            f"step {self.step}: {self._split.name} top-1 {scores['top_1']:.2%}, "
            f"top-5 {scores['top_5']:.2%}, loss {scores['loss']:.4f} "
            f"on {scores['examples']} images" + (" (best so far)" if best else "")
        )

    def _after_loop(self, metrics: dict[str, float]) -> None:
        if not math.isfinite(metrics["loss"]):
            raise FloatingPointError(
                f"loss is {metrics['loss']} at step {self.step}; the last checkpoint "
                "is from before. Lower --learning_rate or raise --warmup_epochs"
            )
        self._log.write("train", step=self.step, epoch=self._epoch(), **metrics)
        self._progress.update(self.step, metrics)

    def _next_stop(self, evaluate: bool) -> int:
        """The next step at which something other than training happens."""
        rhythms = [self._config.steps_per_loop, self._checkpoint_every]
        if evaluate:
            rhythms.append(self._eval_every)
        return min(self._total, *((self.step // n + 1) * n for n in rhythms))

    def _due(self, every: int) -> bool:
        return self.step > 0 and (self.step % every == 0 or self.step >= self._total)

    def _stopped_early(self) -> bool:
        patience = self._config.early_stopping_evals
        return 0 < patience <= int(self._state.evals_since_best.numpy())

    def _steps(self, epochs: float) -> int:
        return self._config.steps(epochs, train_images=self._train_images)

    def _epoch(self) -> float:
        return self.step * self._config.train_batch_size / self._train_images

    def _new_progress(self) -> progress.Progress:
        return progress.Progress(
            step=self.step,
            total=self._total,
            steps_per_epoch=self._train_images / self._config.train_batch_size,
            batch_size=self._config.train_batch_size,
        )


def _quiet_orbit():
    """Orbit prints every loop to stdout, which is for results."""
    return contextlib.redirect_stdout(io.StringIO())


@contextlib.contextmanager
def _sigterm():
    """Yields a function that tells whether SIGTERM has come since."""
    received = []
    previous = signal.signal(signal.SIGTERM, lambda *_: received.append(True))
    try:
        yield lambda: bool(received)
    finally:
        signal.signal(signal.SIGTERM, previous)
