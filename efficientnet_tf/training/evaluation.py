"""Evaluations: of a finished run, of weights from outside, and on the way."""

import contextlib
import io
import math

import orbit
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.data import sources, tfrecord
from efficientnet_tf.hardware import agreement, devices
from efficientnet_tf.training import agreed, build, outbox, run_dir, state
from efficientnet_tf.weights.checkpoint import Checkpoint


def evaluate(
    config: config_lib.Config,
    *,
    model_dir: str,
    strategy: tf.distribute.Strategy,
    source: sources.Files | sources.Fake | None = None,
) -> dict:
    """Scores a run's best weights, else its latest, on the validation data.

    Args:
        config: the run's.
        model_dir: its folder.
        strategy: from `devices.make_strategy`.
        source: its data, if it is open already.

    Returns:
        "top_1", "top_5", "loss" (cross-entropy), "examples" (each counted once),
        "weights" ("ema" or "raw"), "split" and "checkpoint".
    """
    build.check_batch_sizes(config, strategy)
    hosts = agreement.Hosts(strategy)
    hosts.wait()  # for the chief, which may be writing the checkpoint
    path = run_dir.inference_checkpoint(model_dir)
    source = source or build.open_source(config)
    hosts.require_same(agreed.facts(config, source, path))
    policy = devices.configure_numerics(strategy, config.precision)
    with strategy.scope():
        variant = run_dir.read_variant(model_dir)
        model = build.model(config, policy=policy, variant=variant)
        state.restore_inference(model, path)
    step = int(path.rsplit("-", 1)[1])
    with outbox.Outbox(model_dir) as out:
        events = summary_dir(out.folder, source.splits.validation, hosts)
        scores = _validate(config, model, source, strategy, step, events)
        if hosts.is_chief:
            out.fetch(run_dir.METRICS)
            _append_validation(out.folder, config, source, step, scores)
    return scores | {"checkpoint": path}


def _append_validation(folder, config, source, step: int, scores: dict) -> None:
    train_split = source.splits.train
    # A folder may hold validation images alone.
    train_images = math.nan if train_split is None else train_split.images
    epoch = step * config.train_batch_size / train_images
    run_dir.append_metrics(folder, "eval", step=step, epoch=epoch, **scores)


def evaluate_weights(
    config: config_lib.Config,
    checkpoint: Checkpoint,
    *,
    strategy: tf.distribute.Strategy,
) -> dict:
    """Scores weights from outside on the validation data; writes nothing.

    Args:
        config: says how the images are prepared.
        checkpoint: from `reading.open_source`.
        strategy: from `devices.make_strategy`.

    Returns:
        As `evaluate`, without "checkpoint"; "weights" is where they come from.
    """
    build.check_batch_sizes(config, strategy)
    source = build.open_source(config)
    policy = devices.configure_numerics(strategy, config.precision)
    with strategy.scope():
        model = build.finished_model(config, checkpoint, policy=policy)
    scores = _validate(config, model, source, strategy, 0, None)
    return scores | {"weights": checkpoint.origin}


def _validate(config, model, source, strategy, step, events) -> dict:
    """A model's scores on the validation split."""
    split = source.splits.validation
    controller = orbit.Controller(
        global_step=tf.Variable(step, dtype=tf.int64),
        evaluator=build.evaluator(
            config, model, state.by_path(model.weights), source, split, strategy
        ),
        strategy=strategy,
        eval_summary_dir=events,
    )
    return score(controller, config, split)


def score(
    controller: orbit.Controller, config: config_lib.Config, split: tfrecord.Split
) -> dict:
    """The controller's scores, with what they are of."""
    with quiet_orbit():
        scores = controller.evaluate()
    weights = "ema" if config.moving_average_decay > 0 else "raw"
    return scores | {"weights": weights, "split": split.name}


def summary_dir(model_dir, split: tfrecord.Split, hosts) -> str | None:
    """Where TensorBoard's events go; None writes none."""
    return f"{model_dir}/{split.name}" if hosts.is_chief else None


def quiet_orbit():
    """Orbit prints every loop to stdout, which is for results."""
    return contextlib.redirect_stdout(io.StringIO())
