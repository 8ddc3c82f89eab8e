"""Exponential moving average of weights and batch-norm statistics, TF1 semantics."""

from collections.abc import Sequence

import tensorflow as tf


class ExponentialMovingAverage(tf.Module):
    """Averages as `tf.compat.v1.train.ExponentialMovingAverage(decay, num_updates)`.

    Unlike Keras's `use_ema`, it can average batch-norm statistics too, and the decay
    grows with the step: min(decay, (1 + step) / (10 + step)).

    Args:
        variables: float Keras variables; each average starts at its variable's value.
        decay: float in [0, 1), the largest decay.
    """

    def __init__(self, variables: Sequence, *, decay: float = 0.9999):
        super().__init__(name="ema")
        self._variables = list(variables)
        self._decay = decay
        # Each replica updates its own copy without communication; the copies stay equal
        # if the variables do, and replica 0's is saved.
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
        """Moves every average towards its variable; call it in replica context.

        Args:
            step: integer scalar, the number of optimizer steps done.
        """
        step = tf.cast(step, tf.float32)
        decay = tf.minimum(self._decay, (1 + step) / (10 + step))
        for average, variable in zip(self.averages, self._variables, strict=True):
            average.assign_sub((1 - decay) * (average - variable.value))

    def by_path(self) -> dict[str, tf.Variable]:
        """Returns the averages by the paths of their variables."""
        return {
            variable.path: average
            for variable, average in zip(self._variables, self.averages, strict=True)
        }
