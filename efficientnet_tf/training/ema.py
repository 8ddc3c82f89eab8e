"""Exponential moving average of weights and batch-norm statistics, TF1 semantics."""

from collections.abc import Sequence

import tensorflow as tf


class ExponentialMovingAverage(tf.Module):
    """`tf.compat.v1.train.ExponentialMovingAverage(decay, num_updates=step)`.

    Unlike Keras's `use_ema` it averages what it is given, batch-norm statistics
    included, and ramps the decay as min(decay, (1 + step) / (10 + step)).

    Args:
        variables: float Keras variables; every average starts at its variable's value.
        decay: float in [0, 1).
    """

    def __init__(self, variables: Sequence, *, decay: float = 0.9999):
        super().__init__(name="ema")
        self._variables = list(variables)
        self._decay = decay
        # Each replica keeps and updates its own copy: they stay equal where the
        # variables do, without communication, and replica 0's is saved.
        self.averages = [
            tf.Variable(
                variable.value,
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                name=variable.path,
            )
            for variable in self._variables
        ]

    def update(self, step: tf.Tensor) -> None:
        """Moves every average towards its variable; call in replica context.

        Args:
            step: integer scalar, the number of optimizer steps done.
        """
        step = tf.cast(step, tf.float32)
        decay = tf.minimum(self._decay, (1 + step) / (10 + step))
        for average, variable in zip(self.averages, self._variables, strict=True):
            average.assign_sub((1 - decay) * (average - variable.value))

    def by_path(self) -> dict[str, tf.Variable]:
        """Returns the averages, keyed by their variables' paths."""
        return {
            variable.path: average
            for variable, average in zip(self._variables, self.averages, strict=True)
        }
