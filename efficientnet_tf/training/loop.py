"""Trains or continues a run, up to its last evaluation."""

import contextlib
import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from efficientnet_tf.config import Config
from efficientnet_tf.data import folder, label_csv, sources
from efficientnet_tf.data.inventory import Inventory
from efficientnet_tf.hardware import agreement, devices
from efficientnet_tf.runs import inspection, run_model
from efficientnet_tf.runs.checkpoint_files import Checkpoints
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import (
    build,
    caching,
    checkpoint_folders,
    checks,
    disk_room,
    evaluation,
    fingerprint,
    held_folder,
    host_facts,
    input_faults,
    introduction,
    known_scores,
)
from efficientnet_tf.training import state as state_lib
from efficientnet_tf.training.predictions import Predictions
from efficientnet_tf.training.run import Run
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
    report: str | None = None,
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
        report: path of the page that is made of them. If it was made after the last
            step, and metrics.jsonl has the scores, nothing is evaluated again, and
            `predictions` stays empty.

    Returns:
        The run's "step" and whether it is "finished"; else also the signal that it was
        "stopped_by", "SIGINT" or "SIGTERM". A finished run with `validate` has the
        scores of `evaluation.evaluate` too.

    Raises:
        ValueError: naming a setting, file or record that is wrong.
        NotFiniteError: for a loss or weight that is not finite, see `nan_policy`;
            nothing is saved then.
    """
    checks.check_batch_sizes(config, strategy)
    RunDir(model_dir).check_writable()
    with held_folder.alone(model_dir, agreement.Hosts(strategy)) as check_held:
        return _train(
            *(config, model_dir, strategy, validate, predictions, report), check_held
        )


def _train(
    config: Config,
    model_dir: str,
    strategy: tf.distribute.Strategy,
    validate: bool,
    predictions: Predictions | None,
    report: str | None,
    check_held: Callable[[], None],
) -> dict:
    source = _opened(config)
    run_dir, hosts = RunDir(model_dir), agreement.Hosts(strategy)
    found = fingerprint.of_data(config, source.splits)
    if run_dir.latest_checkpoint() is not None:
        fingerprint.check_data(run_dir, config, found, tells=hosts.is_chief)
        fingerprint.check_network(run_dir, config, tells=hosts.is_chief)
    latest = _agreed_checkpoint(config, source, run_dir, hosts)
    for split in (source.splits.minival, validate and source.splits.validation):
        if split:
            input_faults.look(config, source, split, strategy)
    source, kept = caching.begin(config, source, strategy, validate=validate)
    start = _Start(config, source, strategy, hosts, run_dir, latest)
    model = start.model()
    told = introduction.lines(config, source.splits) + kept if hosts.is_chief else []
    if latest is None:
        evaluation.say(told)
    data = start.data(model)
    run_state, checkpoints = start.state(model)
    if latest is not None:  # a checkpoint that cannot be read is told alone
        evaluation.say(told)
    if hosts.is_chief:
        check_held()  # the reading of the data may have taken long
        start.write(model, found)
    with input_faults.listed(source, model_dir, hosts.number, check_held) as write_list:
        with start.reading_features():
            run = Run(
                *(config, model_dir, strategy, hosts, data, run_state, checkpoints),
                validate=validate,
                write_list=write_list,
                check_held=check_held,
            )
        stopped = run.to_the_end()
    result: dict = {"finished": not stopped, "step": run.step}
    if stopped:
        return result | {"stopped_by": stopped.name}
    if not validate:
        return result
    return result | _validated(
        *(config, run_dir, source, strategy, hosts, predictions, report)
    )


def _validated(
    config: Config,
    run_dir: RunDir,
    source: sources.Source,
    strategy: tf.distribute.Strategy,
    hosts: agreement.Hosts,
    predictions: Predictions | None,
    report: str | None,
) -> dict:
    """Scores the best weights, unless an earlier command did and told all of it."""
    hosts.wait()  # the chief may still be writing the checkpoint
    known = known_scores.find(run_dir, source.splits.validation)
    is_told = known is not None and (
        predictions is None or known_scores.is_reported(run_dir, report)
    )
    again = hosts.any(not is_told)
    if known and not again:
        names = evaluation.class_names(config, run_dir.read_passport(), source)
        return known | {"class_names": names}
    return evaluation.evaluate(
        config,
        model_dir=run_dir.path,
        strategy=strategy,
        source=source,
        predictions=predictions,
        is_known=known is not None,
    )


def _opened(config: Config) -> sources.Source:
    """Opens the run's data; raises ValueError where it cannot be trained on."""
    source = build.open_source(config)
    if not source.splits.train_images:
        raise ValueError(f"data_dir={config.data_dir}: {_NO_TRAINING[config.dataset]}")
    build.class_weights(config, source.splits.train)  # refused before any compute
    return source


def _agreed_checkpoint(
    config: Config, source: sources.Source, run_dir: RunDir, hosts: agreement.Hosts
) -> Checkpoints | None:
    """Finds the checkpoint to go on from, after all files and hosts are found to agree.

    Returns:
        The checkpoints, the latest first; None where the run is new.

    Raises:
        ValueError: naming what contradicts the run's folder or another host.
    """
    if run_dir.has_saved():
        run_dir.check_config(config)
        run_dir.check_class_names(source.splits.class_names)
    found = run_dir.to_continue()
    if not found.found:
        run_dir.check_begins(config, train_images=source.splits.train_images)
    elif hosts.is_chief:
        inspection.warn(run_dir)
    if hosts.is_chief:
        run_dir.mend_records()  # before any host reads them
    hosts.require_same(host_facts.facts(config, source, found.first))
    checks.check_one_host(config, hosts.count)
    return found if found.found else None


@dataclasses.dataclass(frozen=True)
class _Start:
    """What a run begins with, or goes on from; call the methods in their order."""

    config: Config
    source: sources.Source
    strategy: tf.distribute.Strategy
    hosts: agreement.Hosts
    run_dir: RunDir
    latest: Checkpoints | None

    def model(self) -> keras.Model:
        """Builds the model without its checkpoint; a new run loads its weights."""
        config = self.config
        policy = devices.configure_numerics(self.strategy, config.precision)
        with self.strategy.scope():
            if config.weights and self.latest is None:
                weights = reading.read_weights(
                    config.weights, config.variant, ema=config.weights_ema
                )
                return run_model.start_from(config, weights, policy=policy)
            is_new = self.latest is None
            known = None if is_new else self.run_dir.read_passport().variant
            return run_model.create(config, policy=policy, variant=known)

    def data(self, model: keras.Model) -> sources.Source:
        """Returns what is trained on: images, or the features of a frozen backbone.

        Features of images that are trained on too are not kept: 0.5 GB of 100,000.
        """
        cached = build.cached_features(self.config, model, self.source, self.strategy)
        if self.latest is None:
            with self.reading_features():
                build.begin_classifier(self.config, model, cached)
        return cached if self.config.trains_classifier_only else self.source

    def reading_features(self) -> contextlib.AbstractContextManager:
        """Names a record that ends the reading of features."""
        return input_faults.in_evaluation(
            self.config, self.source, self.source.splits.train, self.strategy
        )

    def state(
        self, model: keras.Model
    ) -> tuple[state_lib.TrainState, checkpoint_folders.CheckpointFolders]:
        """Returns the run's state, restored if it goes on, and what saves it."""
        with self.strategy.scope():
            made = build.train_state(
                self.config,
                train_images=self.source.splits.train_images,
                model=model,
                evaluations=state_lib.Evaluations(),
            )
            checkpoints = checkpoint_folders.CheckpointFolders(
                self.run_dir.path, made, writes=self.hosts.is_chief
            )
            if self.latest is not None:
                checkpoints.restore(self.latest)
        # A host that cannot read the newest checkpoint takes an older one.
        self.hosts.require_same({"the step to continue from": str(made.step.numpy())})
        if self.hosts.is_chief:
            disk_room.check(self.run_dir.path, made)
        return made, checkpoints

    def write(self, model: keras.Model, data: Inventory) -> None:
        """Writes what a run's folder says of it beside its checkpoints."""
        self.run_dir.write_config(self.config)
        self.run_dir.write_data(data)
        if self.latest is None or not self.run_dir.has_passport():
            run_model.name_classes(model, self.source.splits.class_names)
            self.run_dir.write_passport(model.passport)
            weights_file.print_notes(getattr(model, "load_report", None))
        else:
            self.run_dir.write_labels(self.run_dir.read_passport())
