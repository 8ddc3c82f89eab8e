"""Makes the objects of a run from its Config; each object gets only what it uses."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from efficientnet_tf import expansion
from efficientnet_tf.config import Config
from efficientnet_tf.data import batches, sources, tfrecord
from efficientnet_tf.data.settings import Augmentation, Labels
from efficientnet_tf.runs import run_model
from efficientnet_tf.training import fused, optimizer, state, steps
from efficientnet_tf.training.layer_seeds import LayerSeeds
from efficientnet_tf.training.objective import PaperObjective
from efficientnet_tf.training.predictions import Predictions, Predictor
from efficientnet_tf.training.settings import Optimisation


def open_source(config: Config) -> sources.Source:
    """Finds and checks the run's data."""
    return sources.open_source(
        config.dataset,
        config.data_dir,
        num_classes=config.num_classes - config.label_offset,
        minival_shards=config.minival_shards,
        num_train_images=config.num_train_images,
    )


def _schedule(config: Config, *, train_images: int) -> optimizer.LearningRate:
    """Makes the run's learning-rate schedule."""
    return optimizer.LearningRate(
        batch_size=config.train_batch_size,
        train_images=train_images,
        base=config.learning_rate,
        decay_epochs=config.lr_decay_epochs,
        decay_rate=config.lr_decay_rate,
        warmup_epochs=config.warmup_epochs,
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
    rmsprop = optimizer.RMSprop(
        _schedule(config, train_images=train_images),
        rho=config.rmsprop_decay,
        momentum=config.momentum,
        epsilon=config.rmsprop_epsilon,
        name="rmsprop",
    )
    return state.TrainState(
        model, rmsprop, evaluations=evaluations, ema_decay=config.moving_average_decay
    )


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
    transform = batches.TrainTransform(
        run_model.preparation(config),
        config.section(Augmentation),
        config.section(Labels),
    )

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return source.train(
            transform,
            batch_size=context.get_per_replica_batch_size(config.train_batch_size),
            seed=config.seed,
            start=consumed // context.num_input_pipelines,
            shuffle_buffer=config.shuffle_buffer,
            shard=_shard(context),
        )

    return trainer_of(
        config,
        state,
        strategy.distribute_datasets_from_function(dataset),
        strategy,
        train_images=source.splits.train_images,
    )


def trainer_of(
    config: Config,
    state: state.TrainState,
    dataset: Any,
    strategy: tf.distribute.Strategy,
    *,
    train_images: int,
) -> steps.Trainer:
    """Makes the trainer, with any data.

    Args:
        config: configuration of the run.
        state: the run's state.
        dataset: distributed batches as `Objective` takes them; None only traces.
        strategy: the strategy that the state was made under.
        train_images: int, images in an epoch.
    """
    replicas = strategy.num_replicas_in_sync
    return steps.Trainer(
        state,
        PaperObjective(
            state.model,
            config.section(Optimisation),
            batch_size=config.train_batch_size,
            replicas=replicas,
            forward=_forward(config, state.model),
        ),
        dataset,
        strategy=strategy,
        batch_size=config.train_batch_size,
        learning_rate=_schedule(config, train_images=train_images),
        seeds=LayerSeeds(state.model, config.seed, replicas=replicas),
    )


def _forward(
    config: Config, model: keras.Model
) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """Makes the fused forward pass; returns None to use Keras's own."""
    # No TPU has run the fused pass yet, so it is off by default.
    if not (config.fused == "on" or config.recompute):
        return None
    network = expansion.expand(
        model.passport.variant, survival_prob=config.survival_prob
    )
    return fused.forward(model, network, recompute=config.recomputed_blocks)


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

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        if predictions is not None:
            predictions.shards = context.num_input_pipelines
        return source.evaluate(
            split,
            run_model.preparation(config),
            labels=config.section(Labels),
            batch_size=context.get_per_replica_batch_size(config.eval_batch_size),
            shard=_shard(context),
        )

    data = strategy.distribute_datasets_from_function(dataset)
    if predictions is None:
        return steps.Evaluator(model, weights, data, strategy=strategy)
    predictions.split = split
    return Predictor(model, weights, data, strategy=strategy, predictions=predictions)


def check_batch_sizes(config: Config, strategy: tf.distribute.Strategy) -> None:
    """Raises ValueError unless both batch sizes are multiples of the replicas.

    Args:
        config: configuration of the run.
        strategy: the strategy with the replicas.
    """
    replicas = strategy.num_replicas_in_sync
    for name in ("train_batch_size", "eval_batch_size"):
        size = getattr(config, name)
        if size % replicas:
            raise ValueError(
                f"{name}={size}: allowed is a multiple of the {replicas} devices"
            )


def _shard(context: tf.distribute.InputContext) -> batches.Shard:
    return batches.Shard(context.input_pipeline_id, context.num_input_pipelines)
