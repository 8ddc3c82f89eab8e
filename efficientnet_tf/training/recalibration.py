"""Computes batch norms' statistics anew, for weights that no step was taken with.

Averaged weights have no statistics of their own: those that were averaged belong to the
weights of each step. Source: Izmailov et al., arXiv 1803.05407, section 3.2.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

Means = dict[str, tf.Tensor]  # by the paths of the model's moving statistics


def recalibrate(
    model: keras.Model,
    weights: Mapping[str, tf.Variable],
    dataset: Any,
    *,
    batches: int,
    strategy: tf.distribute.Strategy,
) -> None:
    """Replaces the moving statistics among some weights by those of training batches.

    Args:
        model: the model, built in the strategy's scope.
        weights: variables to use, by the path of the model's variable; the moving means
            and variances among them are assigned.
        dataset: distributed batches, of which "image" is used.
        batches: int, number of batches to take, 1 or more.
        strategy: the strategy that the model was built under.
    """
    step, iterator = _step(model, weights, strategy), iter(dataset)
    found = [step(iterator) for _ in range(batches)]
    for path in found[0]:
        values = tf.stack([statistics[path] for statistics in found])
        total = tf.reduce_mean(values, 0)
        if path.endswith("moving_variance"):
            # The variance of all images is that inside the batches, and of their means.
            mean = path.replace("moving_variance", "moving_mean")
            means = tf.stack([statistics[mean] for statistics in found])
            total += tf.math.reduce_variance(means, 0)
        weights[path].assign(total)


def _step(
    model: keras.Model,
    weights: Mapping[str, tf.Variable],
    strategy: tf.distribute.Strategy,
) -> Callable[[Any], Means]:
    """Returns a function that computes the statistics of a distributed batch."""
    trainable = [weights[v.path] for v in model.trainable_variables]
    paths = [v.path for v in model.non_trainable_variables]
    others = [weights.get(v.path, v.value) for v in model.non_trainable_variables]
    momentum = {
        layer.name: layer.momentum
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    }

    def replica(images: tf.Tensor) -> Means:
        _, moved = model.stateless_call(trainable, others, images, training=True)
        found = {}
        for path, old, new in zip(paths, others, moved, strict=True):
            kept = momentum.get(path.split("/")[0])
            if kept is not None and "/moving_" in path:
                found[path] = (new - kept * old) / (1 - kept)
        return found

    def step(iterator: Any) -> Means:
        found = strategy.run(replica, args=(next(iterator)["image"],))
        mean = tf.distribute.ReduceOp.MEAN
        return {path: strategy.reduce(mean, v, axis=None) for path, v in found.items()}

    return tf.function(step, autograph=False)
