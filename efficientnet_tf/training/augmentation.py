"""Where a run's augmentation happens: in the input pipeline or in the step."""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from efficientnet_tf.config import Config
from efficientnet_tf.data import batches
from efficientnet_tf.data.augment import batch as augmented
from efficientnet_tf.data.settings import Augmentation, Labels
from efficientnet_tf.hardware import devices
from efficientnet_tf.runs import run_model
from efficientnet_tf.training.label_kinds import Batch


def train_transform(config: Config) -> batches.TrainTransform:
    """Makes the transform of a run's training records.

    Args:
        config: configuration of the run.
    """
    preparation = run_model.preparation(config)
    return batches.TrainTransform(
        dataclasses.replace(preparation, image_size=config.train_size),
        config.section(Augmentation),
        config.section(Labels),
    )


def in_step(
    config: Config, strategy: tf.distribute.Strategy
) -> Callable[[Batch], Batch] | None:
    """Makes the augmentation at the beginning of a step.

    Args:
        config: configuration of the run.
        strategy: the strategy that takes the step.

    Returns:
        A function from a replica's batch to the batch to train on; None where the step
        has nothing to change.
    """
    plan = train_transform(config).plan()
    if config.trains_classifier_only or not augmented.carried(plan, 1):
        return None
    return functools.partial(
        augmented.in_step, plan=plan, device=devices.kind(strategy)
    )
