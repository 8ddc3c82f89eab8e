"""Computes batch norms' statistics anew, for weights that no step was taken with.

Averaged weights have no statistics of their own: those that were averaged belong to the
weights of each step. Source: Izmailov et al., arXiv 1803.05407, section 3.2.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from efficientnet_tf.training.label_kinds import Batch

Means = dict[str, tf.Tensor]  # by the paths of the model's moving statistics


class Recalibration:
    """Replaces the moving statistics among some weights by those of training batches.

    Args:
        model: the model, built in the strategy's scope.
        weights: variables to use, by the path of the model's variable; the moving means
            and variances among them are assigned.
        dataset: distributed batches, of which "image" is used.
        augment: function from a replica's batch to the batch that a step trains on;
            None leaves batches as they are.
        batches: int above 0, number of batches to take each time, from the first one.
        strategy: the strategy that the model was built under.
    """

    def __init__(
        self,
        model: keras.Model,
        weights: Mapping[str, tf.Variable],
        dataset: Any,
        *,
        batches: int,
        strategy: tf.distribute.Strategy,
        augment: Callable[[Batch], Batch] | None = None,
    ):
        self._model = model
        self._weights = weights
        self._dataset = dataset
        self._batches = batches
        self._strategy = strategy
        self._augment = augment or (lambda batch: batch)

    def __call__(self) -> None:
        """Computes the statistics of the weights as they are now, and assigns them."""
        iterator = iter(self._dataset)
        found = [self._step(iterator) for _ in range(self._batches)]
        for path in found[0]:
            values = tf.stack([statistics[path] for statistics in found])
            total = tf.reduce_mean(values, 0)
            if path.endswith("moving_variance"):
                # All images' variance is that inside the batches, and of their means.
                mean = path.replace("moving_variance", "moving_mean")
                means = tf.stack([statistics[mean] for statistics in found])
                total += tf.math.reduce_variance(means, 0)
            self._weights[path].assign(total)

    @functools.cached_property
    def _step(self) -> Callable[[Any], Means]:
        """Computes the statistics of the next distributed batch."""
        model, weights, strategy = self._model, self._weights, self._strategy
        trainable = [weights[v.path] for v in model.trainable_variables]
        paths = [v.path for v in model.non_trainable_variables]
        others = [weights.get(v.path, v.value) for v in model.non_trainable_variables]
        momentum = _momentum(model)

        def replica(batch: Batch) -> Means:
            images = self._augment(batch)["image"]
            _, moved = model.stateless_call(trainable, others, images, training=True)
            found = {}
            for path, old, new in zip(paths, others, moved, strict=True):
                kept = momentum.get(path.split("/")[0])
                if kept is not None and "/moving_" in path:
                    found[path] = (new - kept * old) / (1 - kept)
            return found

        def step(iterator: Any) -> Means:
            found = strategy.run(replica, args=(next(iterator),))
            mean = tf.distribute.ReduceOp.MEAN
            return {p: strategy.reduce(mean, v, axis=None) for p, v in found.items()}

        return tf.function(step, autograph=False)


def _momentum(model: keras.Model) -> dict[str, float]:
    """Returns the momentum of each batch norm that computes statistics, by layer."""
    return {
        layer.name: layer.momentum
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    }
