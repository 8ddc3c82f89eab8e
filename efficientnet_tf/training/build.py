"""Makes the objects of a run from its Config; each object gets only what it uses."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from efficientnet_tf.config import Config
from efficientnet_tf.data import bad_records, sources, tfrecord
from efficientnet_tf.data.settings import Labels, Reading
from efficientnet_tf.hardware import devices
from efficientnet_tf.models import stages
from efficientnet_tf.runs import run_model
from efficientnet_tf.training import (
    augmentation,
    classifier_fit,
    features,
    forward,
    label_kinds,
    optimizer,
    pipelines,
    recalibration,
    schedules,
    state,
    steps,
)
from efficientnet_tf.training.layer_seeds import LayerSeeds
from efficientnet_tf.training.objective import PaperObjective
from efficientnet_tf.training.predictions import Predictions, Predictor
from efficientnet_tf.training.settings import Optimisation, Schedule


def open_source(
    config: Config, bad: bad_records.BadRecords | None = None
) -> sources.Source:
    """Finds and checks the run's data.

    Args:
        config: configuration of the run.
        bad: notes records that cannot be used; None takes what `on_bad_record` says.
    """
    if bad is None and config.on_bad_record == "skip":
        bad = bad_records.BadRecords(config.bad_record_limit)
    return sources.open_source(
        config.dataset,
        config.data_dir,
        num_classes=config.num_classes - config.label_offset,
        minival_shards=config.minival_shards,
        num_train_images=config.num_train_images,
        multi_label=config.multi_label,
        reading=config.section(Reading),
        seed=config.seed,
        bad=bad,
    )


def train_state(
    config: Config,
    *,
    train_images: int,
    model: keras.Model,
    evaluations: state.Evaluations,
) -> state.TrainState:
    """Makes the state of a run; call it in the strategy's scope.

    Args:
        config: configuration of the run.
        train_images: int, images in an epoch.
        model: the run's model.
        evaluations: the record of evaluations, made outside the scope.
    """
    factor = tf.Variable(1.0, trainable=False, name="rate_factor")
    made = optimizer.create(
        config.section(Optimisation),
        _rates(config, factor, train_images=train_images),
        rates=stages.rates(model, decay=config.layer_decay),
    )
    return state.TrainState(
        model,
        made,
        evaluations=evaluations,
        ema_decay=config.moving_average_decay,
        rate_factor=factor,
    )


def _rates(config: Config, factor: tf.Variable, *, train_images: int) -> Any:
    """Makes the learning rate by step: the schedule's, times a factor."""
    made = schedules.create(config.section(Schedule), train_images=train_images)
    return schedules.Scaled(made, factor)


def cached_features(
    config: Config,
    model: keras.Model,
    source: sources.Source,
    strategy: tf.distribute.Strategy,
) -> features.CachedFeatures:
    """Makes a source of the images' features; they are computed when needed.

    Args:
        config: configuration of the run.
        model: the run's model, with its starting weights.
        source: the run's images.
        strategy: the strategy that the model was made under.
    """
    return features.CachedFeatures(
        model,
        source,
        run_model.preparation(config),
        labels=config.section(Labels),
        batch_size=config.eval_batch_size,
        strategy=strategy,
    )


def begin_classifier(
    config: Config, model: keras.Model, cached: features.CachedFeatures
) -> None:
    """Gives a classifier that no weights were loaded into its first values.

    Args:
        config: configuration of the run.
        model: the run's model, with its starting weights.
        cached: features of the run's images.
    """
    if config.weights and "predictions" not in config.skipped_weights:
        return
    if train := cached.splits.train:
        arrays = functools.partial(cached.arrays, train)
        classifier_fit.begin(model, config.classifier_init, arrays)


def trainer(
    config: Config,
    state: state.TrainState,
    source: sources.Source,
    strategy: tf.distribute.Strategy,
) -> steps.Trainer:
    """Makes the trainer, with data that begins at the state's step.

    Args:
        config: configuration of the run.
        state: the run's state.
        source: the run's data.
        strategy: the strategy that the state was made under.
    """
    consumed = int(state.step.numpy()) * config.train_batch_size
    return trainer_of(
        config,
        state,
        train_batches(config, source, strategy, consumed=consumed),
        strategy,
        train_images=source.splits.train_images,
        class_weights=class_weights(config, source.splits.train),
        on_cpu=devices.is_one_cpu(strategy),
    )


def train_batches(
    config: Config,
    source: sources.Source,
    strategy: tf.distribute.Strategy,
    *,
    consumed: int,
) -> Any:
    """Returns distributed training batches behind the first `consumed` images.

    Args:
        config: configuration of the run.
        source: the run's data.
        strategy: the strategy that takes the steps.
        consumed: int, images that earlier steps were taken with.
    """

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return pipelines.train_dataset(config, source, context, consumed=consumed)

    return pipelines.distributed(strategy, dataset)


def recalibrator(
    config: Config,
    state: state.TrainState,
    source: sources.Source,
    strategy: tf.distribute.Strategy,
) -> Callable[[], None]:
    """Makes the recalibration of the weights to evaluate, which may do nothing.

    Args:
        config: configuration of the run.
        state: the run's state.
        source: the run's data; its first batches are taken.
        strategy: the strategy that the state was made under.
    """
    if not config.recalibration_batches:
        return lambda: None
    return recalibration.Recalibration(
        forward.training_model(config, state.model),
        state.inference_weights(),
        train_batches(config, source, strategy, consumed=0),
        batches=config.recalibration_batches,
        strategy=strategy,
        augment=augmentation.in_step(config, strategy),
    )


def class_weights(config: Config, split: tfrecord.Split | None) -> list[float] | None:
    """Returns the factors of the loss, see `LabelKind`; None weighs all alike.

    Args:
        config: configuration of the run.
        split: the training images; None where there are none.

    Raises:
        ValueError: if the data does not say how many images each class has.
    """
    if config.class_weights == "none" or split is None:
        return None
    counts = split.class_counts()
    if counts is None:
        raise ValueError(
            f"class_weights={config.class_weights}: dataset={config.dataset} does not "
            "say how many images each class has; allowed is none"
        )
    outputs = [0] * config.label_offset + counts
    return label_kinds.of(config.multi_label).class_weights(outputs, split.images)


def trainer_of(
    config: Config,
    state: state.TrainState,
    dataset: Any,
    strategy: tf.distribute.Strategy,
    *,
    train_images: int,
    class_weights: Sequence[float] | None = None,
    on_cpu: bool = False,
) -> steps.Trainer:
    """Makes the trainer, with any data.

    Args:
        config: configuration of the run.
        state: the run's state.
        dataset: distributed batches as `Objective` takes them; None only traces.
        strategy: the strategy that the state was made under.
        train_images: int, images in an epoch.
        class_weights: floats [classes], see `class_weights`; None weighs all alike.
        on_cpu: whether one CPU takes the step.
    """
    replicas = strategy.num_replicas_in_sync
    kind = label_kinds.of(config.multi_label)
    return steps.Trainer(
        state,
        PaperObjective(
            state.model,
            config.section(Optimisation),
            batch_size=config.train_batch_size,
            replicas=replicas,
            forward=forward.in_training(config, state.model, on_cpu=on_cpu),
            kind=kind,
            class_weights=class_weights,
        ),
        dataset,
        strategy=strategy,
        batch_size=config.train_batch_size,
        learning_rate=_rates(config, state.rate_factor, train_images=train_images),
        seeds=LayerSeeds(state.model, config.seed, replicas=replicas),
        augment=augmentation.in_step(config, strategy),
        kind=kind,
    )


def evaluator(
    config: Config,
    model: keras.Model,
    weights: dict[str, tf.Variable],
    source: sources.Source,
    split: tfrecord.Split,
    strategy: tf.distribute.Strategy,
    predictions: Predictions | None = None,
) -> steps.Evaluator:
    """Makes the evaluator of weights on one split.

    Args:
        config: configuration of the run.
        model: the run's model.
        weights: variables to evaluate, by the path of the model's variable.
        source: the run's data.
        split: the split to score.
        strategy: the strategy that the model was made under.
        predictions: gets what is predicted for each image; None keeps only scores.
    """
    kind = label_kinds.of(config.multi_label)
    if predictions is None and kind.needs_table:
        predictions = Predictions()

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        if predictions is not None:
            predictions.shards = context.num_input_pipelines
        return source.evaluate(
            split,
            run_model.preparation(config),
            labels=config.section(Labels),
            batch_size=context.get_per_replica_batch_size(config.eval_batch_size),
            shard=pipelines.shard(context),
        )

    data = pipelines.distributed(strategy, dataset)
    graph = forward.in_prediction(model, strategy)
    settings = {"strategy": strategy, "kind": kind, "graph": graph}
    if predictions is None:
        return steps.Evaluator(model, weights, data, **settings)
    predictions.split = split
    return Predictor(model, weights, data, predictions=predictions, **settings)
