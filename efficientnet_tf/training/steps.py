"""One training step and one evaluation step, inside orbit's loops.

Each replica's loss is divided by the global batch size, and the optimizer sums
gradients over replicas. So one replica and many take the same step on one global batch.
"""

import functools
import operator
import time
from collections.abc import Callable
from typing import Any

import keras
import orbit
import tensorflow as tf

from efficientnet_tf.training import state as state_lib
from efficientnet_tf.training.layer_seeds import LayerSeeds
from efficientnet_tf.training.objective import Batch, Objective


class Trainer(orbit.StandardTrainer):
    """Runs the paper's step: an objective's gradient, RMSProp, moving averages.

    Args:
        state: the run's state, made in the strategy's scope.
        objective: objective of the state's model.
        dataset: distributed batches as `Objective` takes them; None only traces.
        strategy: the strategy that the state was made under.
        batch_size: int, images of all replicas together.
        learning_rate: the optimizer's schedule, to report its value.
        seeds: seeds of the model's random layers.
        augment: function from a replica's batch to the batch to train on; None trains
            on the batch as it is.
    """

    def __init__(
        self,
        state: state_lib.TrainState,
        objective: Objective,
        dataset: Any,
        *,
        strategy: tf.distribute.Strategy,
        batch_size: int,
        learning_rate: Callable[[int], tf.Tensor],
        seeds: LayerSeeds,
        augment: Callable[[Batch], Batch] | None = None,
    ):
        super().__init__(dataset)
        self._state = state
        self._augment = augment
        self._objective = objective
        self._strategy = strategy
        self._batch_size = batch_size
        self._learning_rate = learning_rate
        self._seeds = seeds
        self._local_statistics = []
        if strategy.num_replicas_in_sync > 1:
            self._local_statistics = _local_statistics(state.model)
        self._loops = 0
        with strategy.scope():
            self._sums = {name: _replica_sum(name) for name in ("loss", "top_1")}

    def train_loop_begin(self) -> None:
        """Resets the sums and the clock; orbit calls it before each loop."""
        self._began = (int(self._state.step.numpy()), time.monotonic())
        for total in self._sums.values():
            total.assign(0.0)

    def train_step(self, iterator: Any) -> None:
        """Trains on the next batch; orbit calls it inside a graph."""
        self._strategy.run(self.replica_step, args=(next(iterator),))

    def train_loop_end(self) -> dict[str, float]:
        """Returns means over the loop's steps, its speed, and its last learning rate.

        The first loop reports its seconds in place of a speed, because tracing and
        compiling take most of them: two minutes for B0 on a GPU under XLA.
        """
        step = int(self._state.step.numpy())
        first_step, first_time = self._began
        steps = step - first_step
        means = {n: float(v.read_value()) / steps for n, v in self._sums.items()}
        seconds = time.monotonic() - first_time  # the reads above wait for the steps
        speed = {"images_per_second": steps * self._batch_size / seconds}
        if self._loops == 0:
            speed = {"first_loop_seconds": seconds}
        self._loops += 1
        return means | speed | {"learning_rate": float(self._learning_rate(step - 1))}

    def replica_step(self, batch: Batch) -> None:
        """Takes one replica's part of a step, on its share of the batch."""
        state = self._state
        self._seeds.assign(state.optimizer.iterations.value)
        if self._augment:
            batch = self._augment(batch)
        with tf.GradientTape() as tape:
            losses, logits = self._objective(batch)
            loss = functools.reduce(operator.add, losses.values())
        variables = state.model.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        state.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self._share_statistics()
        if state.ema is not None:
            state.ema.update(state.optimizer.iterations)
        correct = tf.equal(tf.argmax(logits, -1), tf.argmax(batch["label"], -1))
        top_1 = tf.reduce_sum(tf.cast(correct, tf.float32)) / self._batch_size
        self._sums["loss"].assign_add(loss)
        self._sums["top_1"].assign_add(top_1)

    def _share_statistics(self) -> None:
        """Averages the moving statistics of unsynchronised batch norms over replicas.

        Otherwise evaluation and checkpoints would use the statistics of one replica.
        """
        if not self._local_statistics:
            return
        # Copies, because MultiWorkerMirroredStrategy does not tell a variable's device.
        means = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.MEAN,
            [tf.identity(v.value) for v in self._local_statistics],
        )
        for variable, mean in zip(self._local_statistics, means, strict=True):
            variable.assign(mean)


class Evaluator(orbit.StandardEvaluator):
    """Scores weights on every example exactly once.

    A stateless call computes the model with these weights. Nothing is assigned to the
    model's variables, so an interrupted evaluation cannot leave wrong values in them.

    Args:
        model: the model, built in the strategy's scope.
        weights: variables to evaluate, by the path of the model's variable.
        dataset: distributed batches of `data.batches.eval_batches`; None only traces.
        strategy: the strategy that the model was built under.
    """

    def __init__(
        self,
        model: keras.Model,
        weights: dict[str, tf.Variable],
        dataset: Any,
        *,
        strategy: tf.distribute.Strategy,
    ):
        super().__init__(dataset)
        self._model = model
        self._strategy = strategy
        self._trainable = [weights[v.path] for v in model.trainable_variables]
        self._non_trainable = [
            weights.get(v.path, v.value) for v in model.non_trainable_variables
        ]

    def eval_begin(self) -> dict[str, float]:
        """Returns the initial sums, all zero."""
        return {"examples": 0.0, "top_1": 0.0, "top_5": 0.0, "loss": 0.0}

    def eval_step(self, iterator: Any) -> dict[str, tf.Tensor]:
        """Sums the scores of the next batch over all replicas."""
        return self.total(self._strategy.run(self.replica_step, args=(next(iterator),)))

    def total(self, sums: dict[str, Any]) -> dict[str, tf.Tensor]:
        """Adds up the sums of all replicas."""
        return {
            name: self._strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
            for name, value in sums.items()
        }

    def eval_reduce(self, state: Any, step_outputs: Any) -> dict[str, float]:
        """Adds a batch's sums; ends the loop at the first batch of only padding."""
        if float(step_outputs["examples"]) == 0:
            raise StopIteration  # every host has only padding left
        return {name: state[name] + float(step_outputs[name]) for name in state}

    def eval_end(self, sums: Any) -> dict[str, float]:
        """Returns the means over all examples, and their number."""
        examples = int(sums["examples"])
        if examples == 0:
            raise ValueError("the evaluation data holds no examples")
        means = {n: sums[n] / examples for n in ("top_1", "top_5", "loss")}
        return means | {"examples": examples}

    def replica_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Sums scores over one replica's share of a batch."""
        return scores(self.logits(batch["image"]), batch)

    def logits(self, images: tf.Tensor) -> tf.Tensor:
        """Computes the weights' logits of images, float32 [batch, classes]."""
        logits, _ = self._model.stateless_call(
            self._trainable, self._non_trainable, images, training=False
        )
        return tf.cast(logits, tf.float32)


def ranked(logits: tf.Tensor) -> tf.Tensor:
    """Returns the five likeliest classes, or all if fewer, int32 [batch, 5].

    Classes are -1 where logits are not finite: their ranks mean nothing.

    Args:
        logits: float32 [batch, classes].
    """
    classes = tf.math.top_k(logits, k=min(5, logits.shape[-1])).indices
    finite = tf.reduce_all(tf.math.is_finite(logits), axis=-1, keepdims=True)
    return tf.where(finite, classes, -1)


def scores(logits: tf.Tensor, batch: Batch) -> dict[str, tf.Tensor]:
    """Sums the scores of a batch, whose padding counts nothing.

    Args:
        logits: float32 [batch, classes].
        batch: a batch of `data.batches.eval_batches`.
    """
    labels, mask = batch["label"], batch["mask"]
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    hits = tf.cast(tf.equal(ranked(logits), labels[:, tf.newaxis]), tf.float32)
    hits *= mask[:, tf.newaxis]
    return {
        "examples": tf.reduce_sum(mask),
        "top_1": tf.reduce_sum(hits[:, 0]),
        "top_5": tf.reduce_sum(hits),
        "loss": tf.reduce_sum(cross_entropy * mask),
    }


def _local_statistics(model: keras.Model) -> list:
    return [
        variable
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized
        for variable in layer.non_trainable_variables
    ]


def _replica_sum(name: str) -> tf.Variable:
    """Makes a variable that each replica adds to; reading it sums over replicas."""
    return tf.Variable(
        0.0,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
        name=name,
    )
