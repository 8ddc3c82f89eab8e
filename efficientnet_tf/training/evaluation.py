"""Evaluates a finished run, weights from outside, or a run during its training."""

import contextlib
import io
import math
import sys

import keras
import orbit
import tensorflow as tf

from efficientnet_tf import files, label_sets
from efficientnet_tf.config import Config
from efficientnet_tf.data import sources, tfrecord
from efficientnet_tf.hardware import agreement, devices
from efficientnet_tf.runs import (
    checkpoint_files,
    checkpoints,
    finiteness,
    inspection,
    metrics,
    run_lock,
    run_model,
)
from efficientnet_tf.runs.finiteness import NotFiniteError
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import (
    build,
    checks,
    host_facts,
    input_faults,
    introduction,
    known_scores,
    label_kinds,
    outcome,
    uploads,
)
from efficientnet_tf.training.predictions import Predictions
from efficientnet_tf.weights import passport as passports
from efficientnet_tf.weights import weights_file
from efficientnet_tf.weights.weights_file import WeightsFile


def evaluate(
    config: Config,
    *,
    model_dir: str,
    strategy: tf.distribute.Strategy,
    source: sources.Source | None = None,
    predictions: Predictions | None = None,
    is_known: bool = False,
) -> dict:
    """Scores a run's best weights, else its latest, on the validation data.

    Args:
        config: configuration of the run.
        model_dir: the run's folder.
        strategy: the strategy that `devices.make_strategy` made.
        source: the run's data if it is open already; None opens it.
        predictions: gets what is predicted for each image; None keeps only scores.
        is_known: whether metrics.jsonl has the scores already.

    Raises:
        ValueError: naming a setting, file or record that is wrong.
        NotFiniteError: naming the first layer that is not finite.

    Returns:
        "top_1" and "top_5" (from 0 to 1), or, of several labels an image,
        "mean_average_precision" (over the labels that an image has), "f1" (over all
        images and labels, at a probability of 0.5) and "exact_match" (the share of
        images with exactly the right labels); "chance" (the first of these scores if
        all images got one answer), "most_predicted" (the share of the images that get
        the most frequent answer); "loss" (cross-entropy), "examples" (a
        number; each counts once), "weights" ("ema" or "raw"), "split", "checkpoint"
        (path) and "class_names" (of the model's outputs).
    """
    checks.check_batch_sizes(config, strategy)
    hosts = agreement.Hosts(strategy)
    hosts.wait()  # the chief may still be writing the checkpoint
    run = RunDir(model_dir)
    first = run.to_serve().first
    is_new = source is None
    is_kept = not is_new or _can_be_kept(run, hosts)
    source = source or build.open_source(config)
    hosts.require_same(host_facts.facts(config, source, first))
    policy = devices.configure_numerics(strategy, config.precision)
    with strategy.scope():
        model = run_model.of_run(run, config, policy=policy, tells=hosts.is_chief)
    names = class_names(config, model.passport, source)
    if is_new and hosts.is_chief:
        inspection.warn(run)
        say(introduction.inventory(config, source.splits).lines())
    path = model.passport.source
    hosts.require_same({"the checkpoint to evaluate": path})
    step = checkpoint_files.step_of(path)
    with (
        uploads.Uploads(model_dir) as out,
        input_faults.listed(source, model_dir if is_kept else None, hosts.number),
    ):
        name = source.splits.validation.name
        writes = is_kept and hosts.is_chief and not is_known
        events = f"{out.folder}/{name}" if writes else None
        scores = _validate(config, model, source, strategy, step, events, predictions)
        if writes and not (is_new and _is_training(run)):
            out.fetch(metrics.NAME)
            # A folder may have no training images; the epoch is then not known.
            train_images = source.splits.train_images or math.nan
            epoch = step * config.train_batch_size / train_images
            noted = scores | known_scores.other_data(run, config)
            metrics.append(out.folder, "eval", step=step, epoch=epoch, **noted)
    if hosts.is_chief and not is_known:
        warn(config, scores)
    return scores | {"checkpoint": path, "class_names": names}


def _can_be_kept(run: RunDir, hosts: agreement.Hosts) -> bool:
    """Whether the run's folder takes the scores; says so if it does not."""
    try:
        run.check_writable()
    except ValueError as error:
        if hosts.is_chief:
            say([f"warning       {error}; the scores are printed only"])
        return False
    return True


def evaluate_weights(
    config: Config,
    weights: WeightsFile,
    *,
    strategy: tf.distribute.Strategy,
    predictions: Predictions | None = None,
) -> dict:
    """Scores weights from outside on the validation data; writes nothing.

    Args:
        config: configuration that names the data and prepares the images.
        weights: the weights that `reading.read_weights` read.
        strategy: the strategy that `devices.make_strategy` made.
        predictions: see `evaluate`.

    Returns:
        What `evaluate` returns, without "checkpoint"; "weights" is their origin.
    """
    checks.check_batch_sizes(config, strategy)
    source = build.open_source(config)
    policy = devices.configure_numerics(strategy, config.precision)
    with strategy.scope():
        model = run_model.of_weights(config, weights, policy=policy)
    names = class_names(config, model.passport, source)
    is_chief = agreement.Hosts(strategy).is_chief
    if is_chief:
        weights_file.print_notes(model.load_report)
        say(introduction.inventory(config, source.splits).lines())
    with input_faults.listed(source, None, 0):
        scores = _validate(config, model, source, strategy, 0, None, predictions)
    if is_chief:
        warn(config, scores)
    return scores | {"weights": weights.origin, "class_names": names}


def _is_training(run: RunDir) -> bool:
    """Whether another process will replace a bucket's metrics.jsonl; says so.

    On a disk both append their lines, and none is lost.
    """
    holder = run_lock.holder(run.path) if files.is_url(run.path) else None
    if holder:
        say([f"note          {holder} trains in {run.path}: no line in {metrics.NAME}"])
    return holder is not None


def class_names(
    config: Config, passport: passports.Passport, source: sources.Source
) -> list[str]:
    """Returns the names of a model's outputs, or of the data where it has none.

    Args:
        config: configuration of the run or of the weights.
        passport: passport of the model.
        source: the data.

    Raises:
        ValueError: if the data has the model's names in another order, so that its
            labels mean other classes.
    """
    stated, given = passport.class_names, source.splits.class_names
    if stated and given and stated != given and sorted(stated) == sorted(given):
        number = [a == b for a, b in zip(stated, given, strict=True)].index(False)
        raise ValueError(
            f"data_dir={config.data_dir}: class {number} is {given[number]}, but "
            f"{stated[number]} in the model; the data must have its order of classes"
        )
    return list(
        label_sets.output_names(
            stated or given,
            outputs=config.num_classes,
            label_offset=config.label_offset,
        )
    )


def _validate(
    config: Config,
    model: keras.Model,
    source: sources.Source,
    strategy: tf.distribute.Strategy,
    step: int,
    events: str | None,
    predictions: Predictions | None,
) -> dict:
    """Scores a model on the validation split."""
    split = source.splits.validation
    controller = orbit.Controller(
        global_step=tf.Variable(step, dtype=tf.int64),
        evaluator=build.evaluator(
            config,
            model,
            checkpoints.by_path(model.weights),
            source,
            split,
            strategy,
            predictions,
        ),
        strategy=strategy,
        eval_summary_dir=events,
    )
    with input_faults.in_evaluation(config, source, split, strategy):
        return score(controller, config, split)


def score(controller: orbit.Controller, config: Config, split: tfrecord.Split) -> dict:
    """Returns the controller's scores, with "weights" and "split".

    Args:
        controller: orbit's controller, with an evaluator.
        config: configuration of the run.
        split: the split that the evaluator scores.

    Raises:
        NotFiniteError: if the loss is not finite, naming the first layer that is not.
    """
    with quiet_orbit():
        scores = controller.evaluate()
    if not math.isfinite(scores["loss"]):
        batches = split.images // config.eval_batch_size + 1
        found = controller.evaluator.first_layer_not_finite(batches)
        begins = f"; it begins in {found}" if found else ""
        raise NotFiniteError(
            f"{split.name}: the loss of the weights is not finite{begins}",
            path=finiteness.place(found),
        )
    weights = "ema" if config.moving_average_decay > 0 else "raw"
    return scores | {"weights": weights, "split": split.name}


def warn(config: Config, scores: dict) -> None:
    """Prints the warnings of `outcome`; the labels of `fake` data mean nothing.

    Args:
        config: configuration of the run.
        scores: what `score` returned.
    """
    if config.dataset != "fake":
        kind = label_kinds.of(config.multi_label)
        say([f"warning       {text}" for text in outcome.warnings(scores, kind)])


def say(lines: list[str]) -> None:
    """Prints lines to stderr; stdout is for results."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def quiet_orbit() -> contextlib.AbstractContextManager:
    """Silences orbit, which prints every loop to stdout; stdout is for results."""
    return contextlib.redirect_stdout(io.StringIO())
