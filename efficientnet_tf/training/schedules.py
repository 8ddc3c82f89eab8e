"""Learning rates by step: the paper's schedule as in TF1, and Keras's cosine."""

import fractions
import math
from typing import Any

import keras
from keras import ops

from efficientnet_tf.training.settings import Schedule


def create(schedule: Schedule, *, train_images: int) -> Any:
    """Makes a run's learning-rate schedule, a function of the step.

    Args:
        schedule: settings; `lr_schedule` chooses the kind.
        train_images: int, images in an epoch.
    """
    if schedule.lr_schedule == "cosine":
        return _cosine(schedule, train_images)
    is_constant = schedule.lr_schedule == "constant"
    return LearningRate(
        batch_size=schedule.train_batch_size,
        train_images=train_images,
        base=schedule.learning_rate,
        decay_epochs=schedule.lr_decay_epochs,
        decay_rate=1.0 if is_constant else schedule.lr_decay_rate,
        warmup_epochs=schedule.warmup_epochs,
    )


def _cosine(schedule: Schedule, train_images: int) -> Any:
    peak = schedule.learning_rate * schedule.train_batch_size / 256
    total = schedule.steps(schedule.train_epochs, train_images=train_images)
    warmup = schedule.warmup_steps(train_images=train_images)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else peak,
        max(1, total - warmup),
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )


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


class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a factor that may change between two steps.

    Args:
        schedule: the learning rate by step.
        factor: float32 scalar variable; at 1 the rates are exactly the schedule's.
    """

    def __init__(self, schedule: Any, factor: Any):
        super().__init__()
        self._schedule = schedule
        self._factor = factor

    def __call__(self, step: Any) -> Any:
        """Computes the learning rate of a step."""
        return self._schedule(step) * ops.convert_to_tensor(self._factor)
