"""The graph of a run's model that a step computes."""

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from efficientnet_tf import expansion
from efficientnet_tf.config import Config
from efficientnet_tf.hardware import devices
from efficientnet_tf.models import stages
from efficientnet_tf.training import cpu_graph, fused


def in_training(
    config: Config, model: keras.Model, *, on_cpu: bool
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from a training batch's images, or features, to logits.

    Args:
        config: configuration of the run.
        model: the run's model.
        on_cpu: whether one CPU takes the step.
    """
    if config.trains_classifier_only:
        return functools.partial(trained_part(config, model), training=True)
    # No TPU has run the fused pass yet, so it is off by default.
    if config.fused == "on" or config.recompute:
        network = expansion.expand(
            model.passport.variant, survival_prob=config.survival_prob
        )
        return fused.forward(model, network, recompute=config.recomputed_blocks)
    graph = training_model(config, model)
    if on_cpu and config.fused == "auto":
        graph = cpu_graph.for_training(graph)
    return functools.partial(graph, training=True)


def in_prediction(model: keras.Model, strategy: tf.distribute.Strategy) -> keras.Model:
    """Returns a model of the same variables that predicts what a model predicts.

    Args:
        model: a functional model that was made under the strategy.
        strategy: the strategy whose replicas predict.
    """
    is_cpu = devices.is_one_cpu(strategy)
    return cpu_graph.for_prediction(model) if is_cpu else model


def trained_part(config: Config, model: keras.Model) -> keras.Model:
    """Returns the part of a run's model that its training data passes through.

    Args:
        config: configuration of the run.
        model: the run's model.
    """
    return stages.classifier(model) if config.trains_classifier_only else model


def training_model(config: Config, model: keras.Model) -> keras.Model:
    """Returns the model of a training batch: of features, or of images of its size.

    Args:
        config: configuration of the run.
        model: the run's model.
    """
    if config.trains_classifier_only or config.train_size == config.image_size:
        return trained_part(config, model)
    return stages.at_size(model, config.train_size)
