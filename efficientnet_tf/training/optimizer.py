"""Optimizers by name for Keras 3: RMSProp as in TF1, Keras's SGD and AdamW."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from efficientnet_tf.training.settings import Optimisation


@keras.saving.register_keras_serializable("efficientnet_tf")
class RMSprop(keras.optimizers.RMSprop):
    """RMSProp as `tf.compat.v1.train.RMSPropOptimizer`: the mean square starts at one.

    Keras starts it at zero, which makes the first step 1/sqrt(1 - rho) times as long,
    and 30 times at the recipe's epsilon. Keras agrees with TF1 in the rest: epsilon is
    inside the square root, the learning rate inside the momentum buffer.
    """

    def __init__(
        self,
        learning_rate: Any = 0.016,
        rho: float = 0.9,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ):
        super().__init__(
            learning_rate=learning_rate,
            rho=rho,
            momentum=momentum,
            epsilon=epsilon,
            **kwargs,
        )

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes the optimizer's variables; mean squares start at one, as in TF1."""
        if self.built:
            return
        super().build(variables)
        for mean_square in self._velocities:
            mean_square.assign(ops.ones_like(mean_square))


def create(
    optimisation: Optimisation, learning_rate: Any, *, rates: Sequence[float]
) -> keras.optimizers.Optimizer:
    """Makes a run's optimizer.

    Args:
        optimisation: settings; `optimizer` chooses the kind.
        learning_rate: float, or a Keras schedule.
        rates: floats, factors of the learning rate, one for each trainable variable of
            the model.
    """
    kind: Any
    if optimisation.optimizer == "rmsprop":
        kind, arguments = (
            RMSprop,
            {
                "rho": optimisation.rmsprop_decay,
                "momentum": optimisation.momentum,
                "epsilon": optimisation.rmsprop_epsilon,
            },
        )
    elif optimisation.optimizer == "sgd":
        kind = keras.optimizers.SGD
        arguments = {"momentum": optimisation.momentum, "nesterov": True}
    else:
        kind = keras.optimizers.AdamW
        arguments = {"weight_decay": optimisation.weight_decay}
    name = optimisation.optimizer
    made = _with_rates(kind, rates)(learning_rate, name=name, **arguments)
    if optimisation.optimizer == "adamw":
        made.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return made


def _with_rates(kind: Any, rates: Sequence[float]) -> Any:
    """Returns an optimizer's class that multiplies the rate of each variable."""
    if set(rates) <= {1.0}:
        return kind

    class WithRates(kind):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            rate = rates[self._get_variable_index(variable)]
            super().update_step(gradient, variable, learning_rate * rate)

    return WithRates
