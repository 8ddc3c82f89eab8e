"""Lets a run keep what it reads in each host's memory."""

import dataclasses

import tensorflow as tf

from efficientnet_tf.config import Config
from efficientnet_tf.data import cache_size, sources
from efficientnet_tf.training import input_faults, pipelines


def begin(
    config: Config,
    source: sources.Source,
    strategy: tf.distribute.Strategy,
    *,
    validate: bool,
) -> tuple[sources.Source, list[str]]:
    """Gives a source the cache that the configuration asks for.

    Args:
        config: configuration of the run.
        source: the run's data.
        strategy: the strategy that reads them.
        validate: whether the run reads the validation images.

    Returns:
        The source, and lines that say what its cache takes.

    Raises:
        ValueError: if the cache does not fit into this host's memory.
    """
    if config.cache == "none" or not isinstance(source, sources.Files):
        return source, []
    splits = source.splits
    read = [splits.train, splits.minival, splits.validation if validate else None]
    cache, line = cache_size.opened(
        config.cache,
        list(filter(None, read)),
        [pipelines.shard(context) for context in input_faults.contexts(strategy)],
    )
    return dataclasses.replace(source, cache=cache), [line]
