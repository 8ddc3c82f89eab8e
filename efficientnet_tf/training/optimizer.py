"""RMSProp and the learning rate with the semantics of TF1, on Keras 3."""

import fractions
import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("efficientnet_tf")
class RMSprop(keras.optimizers.RMSprop):
    """`tf.compat.v1.train.RMSPropOptimizer`: the mean square starts at one.

    Keras starts it at zero, which makes the first step 1/sqrt(1 - rho) times as long,
    and 30-fold at the recipe's epsilon. The rest is Keras's own: epsilon inside the
    square root, the learning rate inside the momentum buffer.
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
        """Makes the slots; mean squares begin at one, as in TF1."""
        if self.built:
            return
        super().build(variables)
        for mean_square in self._velocities:
            mean_square.assign(ops.ones_like(mean_square))


def learning_rate(
    step: Any,
    *,
    batch_size: int,
    train_images: int,
    base: float = 0.016,
    decay_epochs: float = 2.4,
    decay_rate: float = 0.97,
    warmup_epochs: float = 5.0,
) -> Any:
    """The paper's schedule: linear warm-up, then a staircase counted from step 0.

    The rate is `base` per 256 images of batch. Stairs are found in integers, so that no
    edge lies a step off; with `decay_epochs` taken as the decimal it is written as.
    Source: paper section 5.2, and `build_learning_rate` in tensorflow/tpu utils.py.

    Args:
        step: integer or integer tensor, from 0.
        batch_size: global.
        train_images: images in an epoch.
        base: rate per 256 images of batch, after warm-up.
        decay_epochs: epochs between stairs.
        decay_rate: factor of each stair.
        warmup_epochs: epochs to rise linearly from 0.

    Returns:
        A float32 scalar tensor.
    """
    step = ops.cast(step, "int64")
    peak = base * batch_size / 256
    # step // (decay_epochs * train_images / batch_size) as a ratio of integers.
    stair = fractions.Fraction(str(decay_epochs)) * train_images / batch_size
    stairs = ops.cast(step * stair.denominator // stair.numerator, "float32")
    # A float32 power would carry decay_rate's rounding error 145 times at 350 epochs.
    decayed = peak * ops.exp(math.log(decay_rate) * stairs)
    warmup_steps = int(warmup_epochs * train_images / batch_size)
    if warmup_steps == 0:
        return decayed
    warming = peak * ops.cast(step, "float32") / warmup_steps
    return ops.where(step < warmup_steps, warming, decayed)


@keras.saving.register_keras_serializable("efficientnet_tf")
class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """`learning_rate` as a Keras schedule; takes the same keyword arguments."""

    def __init__(self, **kwargs: Any):
        super().__init__()
        self._kwargs = kwargs
        self(0)  # a wrong argument fails here, not in the first step

    def __call__(self, step: Any) -> Any:
        """Computes the learning rate of a step, see `learning_rate`."""
        return learning_rate(step, **self._kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this schedule."""
        return dict(self._kwargs)
