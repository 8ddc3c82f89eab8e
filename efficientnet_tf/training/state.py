"""All that a run must remember, as one object; the only thing that is checkpointed.

The data position and every seed derive from `step` and the run's seed, so they are
remembered with it. Variables are saved under their Keras paths: Keras's own checkpoint
keys are positions, which change with the model's code.
"""

import math

import keras
import tensorflow as tf

from efficientnet_tf.training import ema


class Evaluations(tf.Module):
    """The held-out evaluations so far: they decide the best weights and early stopping.

    Make it outside the strategy's scope: nothing on a device needs it, and a TPU would
    round its float64s.
    """

    def __init__(self):
        super().__init__(name="evaluations")
        self.best_top_1 = tf.Variable(-1.0, trainable=False, dtype=tf.float64)
        self.best_loss = tf.Variable(math.inf, trainable=False, dtype=tf.float64)
        self.best_step = tf.Variable(-1, trainable=False, dtype=tf.int64)
        self.last_step = tf.Variable(-1, trainable=False, dtype=tf.int64)
        self.since_best = tf.Variable(0, trainable=False, dtype=tf.int64)

    def note(self, *, step: int, top_1: float, loss: float) -> bool:
        """Records an evaluation; says whether it is the best so far.

        The loss decides between equals: few held-out images make many of them.
        """
        self.last_step.assign(step)
        best = (self.best_top_1.numpy(), -self.best_loss.numpy())
        if (top_1, -loss) > best:
            self.best_top_1.assign(top_1)
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
        model: built; its weights are the run's.
        optimizer: unbuilt.
        evaluations: made outside the scope.
        ema_decay: 0 keeps no averages.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.Optimizer,
        *,
        evaluations: Evaluations,
        ema_decay: float,
    ):
        self.model = model
        self.optimizer = optimizer
        self.evaluations = evaluations
        optimizer.build(model.trainable_variables)
        self.ema = None
        if ema_decay > 0:
            # keras.applications' Normalization counts what it adapted to, in integers.
            floats = [v for v in model.weights if v.dtype.startswith("float")]
            self.ema = ema.ExponentialMovingAverage(floats, decay=ema_decay)

    @property
    def step(self) -> tf.Variable:
        """Optimizer steps done, int64."""
        return self.optimizer.iterations.value

    def inference_weights(self) -> dict[str, tf.Variable]:
        """What evaluation runs: the averages if there are any, else the raw weights."""
        if self.ema is not None:
            return self.ema.by_path()
        return by_path(self.model.weights)

    def checkpoint(self) -> tf.train.Checkpoint:
        """Everything, to continue a run."""
        return tf.train.Checkpoint(
            inference=self.inference_weights(),
            model=by_path(self.model.weights),
            optimizer=by_path(self.optimizer.variables),
            evaluations=self.evaluations,
        )

    def inference_checkpoint(self) -> tf.train.Checkpoint:
        """What evaluation and export need of a checkpoint, under the same keys."""
        return tf.train.Checkpoint(inference=self.inference_weights())


def restore_inference(model: keras.Model, path: str) -> None:
    """Loads the evaluated weights of either kind of checkpoint into a model."""
    checkpoint = tf.train.Checkpoint(inference=by_path(model.weights))
    status = checkpoint.read(path).expect_partial()
    status.assert_existing_objects_matched()


def by_path(variables) -> dict[str, tf.Variable]:
    """Keras variables' TensorFlow variables, keyed by path."""
    by_path = {variable.path: variable.value for variable in variables}
    if len(by_path) != len(variables):
        raise ValueError("two variables of the model share a path")
    return by_path
