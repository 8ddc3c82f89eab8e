"""RMSProp and the learning rate for Keras 3, computed as in TF1."""

import fractions
import math
from typing import Any

import keras
from keras import ops


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
    """The paper's schedule: linear warm-up, and drops that are counted from step 0.

    The peak rate is `base` times batch_size / 256. Drops are counted in integers, with
    `decay_epochs` as an exact decimal; in floats some come one step late or early.
    Source: paper section 5.2, and `build_learning_rate` in tensorflow/tpu utils.py.

    Args:
        step: integer or integer tensor, from 0.
        batch_size: int, images of all replicas together.
        train_images: int, images in an epoch.
        base: float, peak rate for a batch of 256 images.
        decay_epochs: float above 0, epochs between drops.
        decay_rate: float from 0 to 1, factor of each drop.
        warmup_epochs: float from 0, epochs in which the rate rises linearly from 0.

    Returns:
        A float32 scalar tensor.
    """
    step = ops.cast(step, "int64")
    peak = base * batch_size / 256
    # step // (decay_epochs * train_images / batch_size) as a ratio of integers.
    stair = fractions.Fraction(str(decay_epochs)) * train_images / batch_size
    stairs = ops.cast(step * stair.denominator // stair.numerator, "float32")
    # A float32 power would multiply decay_rate's rounding error by the number of drops,
    # 145 in 350 epochs.
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
        self(0)  # raises for a wrong argument now, not in the first step

    def __call__(self, step: Any) -> Any:
        """Computes the learning rate of a step as `learning_rate` does."""
        return learning_rate(step, **self._kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that this schedule was made with."""
        return dict(self._kwargs)
