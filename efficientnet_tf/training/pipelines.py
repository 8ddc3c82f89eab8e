"""The input pipeline of each host of a run."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from efficientnet_tf.config import Config
from efficientnet_tf.data import batches, graphs, sources
from efficientnet_tf.hardware import devices
from efficientnet_tf.training import augmentation


def train_dataset(
    config: Config,
    source: sources.Source,
    context: tf.distribute.InputContext,
    *,
    consumed: int,
) -> tf.data.Dataset:
    """Returns one pipeline's training batches behind the first `consumed` images.

    Args:
        config: configuration of the run.
        source: the run's data.
        context: says which of how many pipelines this is.
        consumed: int, images of all pipelines.
    """
    return source.train(
        augmentation.train_transform(config),
        batch_size=context.get_per_replica_batch_size(config.train_batch_size),
        seed=config.seed,
        start=consumed // context.num_input_pipelines,
        shuffle_buffer=config.shuffle_buffer,
        shard=shard(context),
    )


def shard(context: tf.distribute.InputContext) -> batches.Shard:
    """Returns which part of the data a pipeline reads."""
    return batches.Shard(context.input_pipeline_id, context.num_input_pipelines)


def distributed(
    strategy: tf.distribute.Strategy,
    dataset: Callable[[tf.distribute.InputContext], tf.data.Dataset],
) -> Any:
    """Returns the untuned batches of all replicas, to be iterated over.

    Args:
        strategy: the strategy that takes the steps.
        dataset: makes the pipeline of a context, as
            `Strategy.distribute_datasets_from_function` takes it.
    """

    def untuned(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return graphs.untuned(dataset(context))

    if devices.is_one_cpu(strategy):
        # tf.distribute would add an iterator of its own, which nobody can untune.
        return untuned(tf.distribute.InputContext())
    return strategy.distribute_datasets_from_function(untuned)
