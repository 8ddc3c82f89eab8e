"""The state of a run as one object; a checkpoint holds nothing else.

The data position and every seed follow from the step and the run's seed, so they need
no variables of their own. Variables are saved under their Keras paths: Keras's own
checkpoint keys are positions, which change with the model's code.
"""

import math
from collections.abc import Callable

import keras
import tensorflow as tf

from efficientnet_tf.runs.checkpoints import by_path
from efficientnet_tf.training import ema
from efficientnet_tf.training.finite_state import FiniteState


class Evaluations(tf.Module):
    """A record of the evaluations so far; it decides best weights and early stopping.

    Make it outside the strategy's scope: no device needs it, and a TPU would round its
    float64 values.
    """

    def __init__(self) -> None:
        super().__init__(name="evaluations")
        # Checkpoints have this name for the best score of any kind.
        self.best_top_1 = tf.Variable(-1.0, trainable=False, dtype=tf.float64)
        self.best_loss = tf.Variable(math.inf, trainable=False, dtype=tf.float64)
        self.best_step = tf.Variable(-1, trainable=False, dtype=tf.int64)
        self.last_step = tf.Variable(-1, trainable=False, dtype=tf.int64)
        self.since_best = tf.Variable(0, trainable=False, dtype=tf.int64)

    def note(self, *, step: int, score: float, loss: float) -> bool:
        """Records an evaluation; returns whether it is the best so far.

        The loss decides between equal scores, which are common with few held-out
        images.

        Args:
            step: int, the evaluated step.
            score: float from 0 to 1, the leading one, see `LabelKind`.
            loss: float, the mean cross-entropy.
        """
        self.last_step.assign(step)
        best = (self.best_top_1.numpy(), -self.best_loss.numpy())
        if math.isfinite(loss) and (score, -loss) > best:
            self.best_top_1.assign(score)
            self.best_loss.assign(loss)
            self.best_step.assign(step)
            self.since_best.assign(0)
            return True
        self.since_best.assign_add(1)
        return False


class TrainState:
    """Model, optimizer, averages and the record of evaluations.

    Make it in the strategy's scope.

    Args:
        model: the built model with the run's weights.
        optimizer: the optimizer, not yet built.
        evaluations: the record of evaluations, made outside the scope.
        ema_decay: float in [0, 1), decay of the averages; 0 keeps no averages.
        rate_factor: float32 scalar variable, the factor of the optimizer's learning
            rate, which a rollback halves.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.Optimizer,
        *,
        evaluations: Evaluations,
        ema_decay: float,
        rate_factor: tf.Variable,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.evaluations = evaluations
        self.rate_factor = rate_factor
        optimizer.build(model.trainable_variables)
        self.ema = None
        if ema_decay > 0:
            # Floats only: keras.applications' Normalization has an integer counter.
            floats = [v for v in model.weights if v.dtype.startswith("float")]
            self.ema = ema.ExponentialMovingAverage(floats, decay=ema_decay)
        self._finite = FiniteState(self.computed())

    @property
    def step(self) -> tf.Variable:
        """The number of optimizer steps done, int64."""
        return self.optimizer.iterations.value

    def inference_weights(self) -> dict[str, tf.Variable]:
        """Returns the weights to evaluate: the averages, else the raw weights."""
        if self.ema is not None:
            return self.ema.by_path()
        return by_path(self.model.weights)

    def computed(self) -> dict[str, tf.Variable]:
        """Returns what the steps compute, by names for messages."""
        averages = self.ema.by_path() if self.ema is not None else {}
        return (
            by_path(self.model.weights)
            | {f"the average of {path}": v for path, v in averages.items()}
            | by_path(self.optimizer.variables)
        )

    def first_not_finite(self) -> str | None:
        """Returns the name of the first variable that holds NaN or infinity.

        The devices look for it. All hosts of a run call it at the same step.
        """
        return self._finite.first_not_finite()

    def snapshot(self) -> Callable[[], None]:
        """Copies all values to the host; returns a function that assigns them again."""
        variables = [
            *self.computed().values(),
            *self.evaluations.variables,
            self.rate_factor,
        ]
        values = [variable.numpy() for variable in variables]

        def restore() -> None:
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

        return restore

    def checkpoint(self, *, rate_factor: bool = True) -> tf.train.Checkpoint:
        """Returns the checkpoint to continue a run from.

        Args:
            rate_factor: False for a checkpoint of earlier versions, which had none.
        """
        factor = {"rate_factor": self.rate_factor} if rate_factor else {}
        return tf.train.Checkpoint(
            inference=self.inference_weights(),
            model=by_path(self.model.weights),
            optimizer=by_path(self.optimizer.variables),
            evaluations=self.evaluations,
            **factor,
        )

    def inference_checkpoint(self) -> tf.train.Checkpoint:
        """Returns the checkpoint to evaluate and export; its keys are the same."""
        return tf.train.Checkpoint(inference=self.inference_weights())
