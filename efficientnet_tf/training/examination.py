"""Computes a model layer by layer, to name the first value that is not finite."""

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf.models import efficientnet
from efficientnet_tf.training.label_kinds import Batch
from efficientnet_tf.training.objective import Objective

_GRADIENT = "the gradient of "


class Examination:
    """Names the first layer whose output, gradient or statistics are not finite.

    It changes no variable but the seeds of random layers. Memory: it keeps the output
    of every layer, twice where there are gradients.

    Args:
        model: functional model to compute, built in the strategy's scope.
        weights: variables to compute with, by the path of the model's variable; the
            model's own where one is missing.
        strategy: the strategy that the model was built under.
    """

    def __init__(
        self,
        model: keras.Model,
        weights: Mapping[str, tf.Variable],
        *,
        strategy: tf.distribute.Strategy,
    ):
        self._strategy = strategy
        self._names, tensors = _outputs(model)
        with strategy.scope(), efficientnet.deep_graphs():
            self._layers = keras.Model(model.inputs, tensors)
        self._trainable, self._others = (
            [weights.get(v.path, v.value) for v in variables]
            for variables in (
                self._layers.trainable_variables,
                self._layers.non_trainable_variables,
            )
        )
        self._found: list[str] = []  # names of what the traced function looks at

    def of_step(
        self, objective: Objective, prepare: Callable[[Batch], Batch]
    ) -> Callable[[Any], str | None]:
        """Returns a function that examines a step with an iterator's next batch.

        Args:
            objective: the step's losses.
            prepare: function from a replica's batch to what the model is given; it
                seeds the random layers.
        """

        def replica(batch: Batch) -> tf.Tensor:
            batch = prepare(batch)
            values = [tf.convert_to_tensor(v) for v in self._trainable]
            with tf.GradientTape() as tape:
                tape.watch(values)
                outputs, moved = self._forward(values, batch["image"], training=True)
                losses = objective.losses(outputs[-1], batch["label"])
                loss = functools.reduce(operator.add, losses.values())
            # Gradients pass from the loss to the first layer.
            sources = [*reversed(outputs), *values]
            gradients = tape.gradient(
                loss, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            paths = [v.path for v in self._layers.trainable_variables]
            backward = [*reversed(self._names), *paths]
            statistics = [v.path for v in self._layers.non_trainable_variables]
            return self._looked_at(
                [
                    *zip(self._names, outputs, strict=True),
                    *((f"the loss ({name})", loss) for name, loss in losses.items()),
                    *zip([_GRADIENT + n for n in backward], gradients, strict=True),
                    *zip(statistics, moved, strict=True),
                ]
            )

        return self._examined(replica)

    def of_evaluation(self) -> Callable[[Any], str | None]:
        """Returns a function that examines the evaluation of an iterator's batch."""

        def replica(batch: Batch) -> tf.Tensor:
            outputs, _ = self._forward(self._trainable, batch["image"], training=False)
            return self._looked_at(zip(self._names, outputs, strict=True))

        return self._examined(replica)

    def _forward(
        self, trainable: list, images: tf.Tensor, *, training: bool
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Returns the layers' outputs, and the moved non-trainable variables."""
        outputs, moved = self._layers.stateless_call(
            trainable, self._others, images, training=training
        )
        return tf.nest.flatten(outputs), moved  # Keras returns a single one bare

    def _looked_at(self, named: Any) -> tf.Tensor:
        """Returns 1 for each tensor that is not finite; keeps names while tracing."""
        floats = [(name, tensor) for name, tensor in named if tensor.dtype.is_floating]
        self._found = [name for name, _ in floats]
        finite = [tf.reduce_all(tf.math.is_finite(tensor)) for _, tensor in floats]
        return tf.cast(~tf.stack(finite), tf.float32)

    def _examined(
        self, replica: Callable[[Batch], tf.Tensor]
    ) -> Callable[[Any], str | None]:
        strategy = self._strategy

        @functools.partial(tf.function, autograph=False)
        def bad(iterator: Any) -> tf.Tensor:
            found = strategy.run(replica, args=(next(iterator),))
            return strategy.reduce(tf.distribute.ReduceOp.SUM, found, axis=None)

        def examine(iterator: Any) -> str | None:
            (found,) = np.nonzero(bad(iterator).numpy())
            return self._found[found[0]] if found.size else None

        return examine


def _outputs(model: keras.Model) -> tuple[list[str], list[Any]]:
    """Returns the outputs of a model's layers in the order of the graph, and names.

    A layer's `output` will not do: it has several where a model was made at a second
    size of images.
    """
    depths = sorted(model._nodes_by_depth, reverse=True)  # Keras has no public way
    nodes = [node for depth in depths for node in model._nodes_by_depth[depth]]
    named = [
        (f"the output of {node.operation.name}", tensor)
        for node in nodes
        if not node.is_input
        for tensor in node.outputs
    ]
    names, tensors = zip(*named, strict=True)
    return list(names), list(tensors)
