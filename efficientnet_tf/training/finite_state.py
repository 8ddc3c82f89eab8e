"""Finds values of a run's state that are not finite, on the devices."""

import functools
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from efficientnet_tf.runs import finiteness


class NotFiniteStepError(finiteness.NotFiniteError):
    """A step whose loss, or a state whose values, are not finite.

    Args:
        text: one line that says what is not finite.
        suspects: the steps that may have made it so, counted from 1.
        path: name of the variable that is not finite; None for the loss.
    """

    def __init__(self, text: str, suspects: range, *, path: str | None = None):
        super().__init__(text, path=path)
        self.suspects = suspects


class FiniteState:
    """Names the first variable that holds NaN or infinity.

    The devices add up each variable, and the host reads the sums: a sum is finite only
    if all values are. All hosts of a run call it at the same step.

    Args:
        variables: variables by name, made under the current strategy; those of whole
            numbers are left out.
    """

    def __init__(self, variables: Mapping[str, tf.Variable]):
        self._strategy = tf.distribute.get_strategy()
        self._variables = {n: v for n, v in variables.items() if v.dtype.is_floating}

    def first_not_finite(self) -> str | None:
        """Returns the variable's name; None if all values are finite."""
        finite = np.isfinite(self._sums().numpy())
        named = zip(self._variables.items(), finite, strict=True)
        # The sum of finite values may overflow, so the values decide.
        return finiteness.first_not_finite(dict(item for item, ok in named if not ok))

    @functools.cached_property
    def _sums(self) -> Callable[[], tf.Tensor]:
        """Adds up each variable on all replicas, float32 [variables]."""
        strategy = self._strategy

        def replica() -> tf.Tensor:
            return tf.stack([tf.reduce_sum(v) for v in variables])

        def sums() -> tf.Tensor:
            found = strategy.run(replica)
            return strategy.reduce(tf.distribute.ReduceOp.SUM, found, axis=None)

        variables = list(self._variables.values())
        return tf.function(sums, autograph=False)
