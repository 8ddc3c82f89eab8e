"""One training step and one evaluation step, inside orbit's loops.

Each replica's loss is divided by the global batch size, and the optimizer sums
gradients over replicas. So one replica and many take the same step on one global batch.
"""

import functools
import math
import operator
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import orbit
import tensorflow as tf

from efficientnet_tf.training import label_kinds
from efficientnet_tf.training import state as state_lib
from efficientnet_tf.training.examination import Examination
from efficientnet_tf.training.finite_state import NotFiniteStepError
from efficientnet_tf.training.label_kinds import Batch, LabelKind
from efficientnet_tf.training.layer_seeds import LayerSeeds
from efficientnet_tf.training.objective import Objective


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
        kind: what labels the images have.
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
        kind: LabelKind = label_kinds.ONE_LABEL,
    ):
        super().__init__(dataset)
        self._state = state
        self._augment = augment
        self._objective = objective
        self._strategy = strategy
        self._batch_size = batch_size
        self._learning_rate = learning_rate
        self._seeds = seeds
        self._kind = kind
        self._local_statistics = []
        if strategy.num_replicas_in_sync > 1:
            self._local_statistics = _local_statistics(state.model)
        self._loops = 0
        with strategy.scope():
            self._sums = {
                name: _replica_sum(name) for name in ("loss", "hits", "of", "finite")
            }

    def train_loop_begin(self) -> None:
        """Resets the sums and the clock; orbit calls it before each loop."""
        self._began = (int(self._state.step.numpy()), time.monotonic())
        for total in self._sums.values():
            total.assign(0.0)

    def train_step(self, iterator: Any) -> None:
        """Trains on the next batch; orbit calls it inside a graph."""
        self._strategy.run(self.replica_step, args=(next(iterator),))

    def train_loop_end(self) -> dict[str, float]:
        """Returns scores of the loop's steps, its speed, and its last learning rate.

        The first loop reports its seconds in place of a speed, because tracing and
        compiling take most of them: two minutes for B0 on a GPU under XLA.

        Raises:
            NotFiniteStepError: if a loss, or the state after the loop, is not finite.
        """
        step = int(self._state.step.numpy())
        first_step, first_time = self._began
        steps = step - first_step
        sums = {name: float(v.read_value()) for name, v in self._sums.items()}
        seconds = time.monotonic() - first_time  # the reads above wait for the steps
        self._require_finite(sums, first=first_step + 1, last=step)
        scores = {"loss": sums["loss"] / steps} | self._kind.step_scores(sums)
        speed = {"images_per_second": steps * self._batch_size / seconds}
        if self._loops == 0:
            speed = {"first_loop_seconds": seconds}
        self._loops += 1
        return scores | speed | {"learning_rate": float(self._learning_rate(step - 1))}

    def replica_step(self, batch: Batch) -> None:
        """Takes one replica's part of a step, on its share of the batch."""
        state = self._state
        batch = self._prepared(batch)
        with tf.GradientTape() as tape:
            losses, logits = self._objective(batch)
            loss = functools.reduce(operator.add, losses.values())
        variables = state.model.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        state.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self._share_statistics()
        if state.ema is not None:
            state.ema.update(state.optimizer.iterations)
        sums = {"loss": loss} | self._kind.step_sums(logits, batch["label"])
        for name, value in sums.items():
            self._sums[name].assign_add(value)
        # The loop's loss stays NaN or infinite, so this counts the steps before it is.
        finite = tf.math.is_finite(self._sums["loss"].read_value())
        self._sums["finite"].assign_add(tf.cast(finite, tf.float32))

    def examiner(self, model: keras.Model) -> Callable[[Any], str | None]:
        """Returns a function that names what is not finite in the next batch's step.

        Args:
            model: the state's model, as it takes training batches. The fused pass is
                examined as the Keras layers that it computes.
        """
        examination = Examination(model, {}, strategy=self._strategy)
        return examination.of_step(self._objective, self._prepared)

    def _prepared(self, batch: Batch) -> Batch:
        """Seeds a step's random layers, and augments its batch."""
        self._seeds.assign(self._state.optimizer.iterations.value)
        return self._augment(batch) if self._augment else batch

    def _require_finite(self, sums: dict[str, float], *, first: int, last: int) -> None:
        if not math.isfinite(sums["loss"]):
            # A replica whose own images give a finite loss gets NaN from the others'
            # gradients, and so counts one step more.
            replicas = self._strategy.num_replicas_in_sync
            step = first + int(sums["finite"]) // replicas
            # Weights that gradients of the step before made NaN are found in this one.
            suspects = range(max(first, step - 1), step + 1)
            raise NotFiniteStepError(f"step {step}: the loss is not finite", suspects)
        if path := self._state.first_not_finite():
            raise NotFiniteStepError(
                f"step {last}: {path} is not finite", range(first, last + 1), path=path
            )

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
        kind: what labels the images have. Scores of several labels an image are not
            means over the images: `predictions.Predictor` completes them.
        graph: a model of the same variables that computes the logits; None is `model`.
    """

    def __init__(
        self,
        model: keras.Model,
        weights: dict[str, tf.Variable],
        dataset: Any,
        *,
        strategy: tf.distribute.Strategy,
        kind: LabelKind = label_kinds.ONE_LABEL,
        graph: keras.Model | None = None,
    ):
        super().__init__(dataset)
        self._kind = kind
        self._model = model
        self._graph = graph = graph or model
        self._weights = weights
        self._strategy = strategy
        self._trainable = [weights[v.path] for v in graph.trainable_variables]
        self._non_trainable = [
            weights.get(v.path, v.value) for v in graph.non_trainable_variables
        ]

    def eval_begin(self) -> dict[str, float]:
        """Returns the initial sums: none, because the kind of labels names them."""
        return {}

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
        return {
            n: state.get(n, 0.0) + v.numpy().astype("float64")
            for n, v in step_outputs.items()
        }

    def eval_end(self, sums: Any) -> dict[str, float]:
        """Returns the means over all examples, and their number; see `LabelKind`."""
        if not sums:
            raise ValueError("the evaluation data holds no examples")
        examples = int(sums["examples"])
        means = {n: float(np.max(total)) / examples for n, total in sums.items()}
        return means | {"examples": examples}

    def first_layer_not_finite(self, batches: int) -> str | None:
        """Names the first layer whose output is not finite.

        Args:
            batches: int, the number of batches to look at.

        Returns:
            The layer in the first batch that has one; None if all outputs are finite,
            or if they do not fit into memory together.
        """
        examine = Examination(
            self._model, self._weights, strategy=self._strategy
        ).of_evaluation()
        data = iter(self.eval_dataset)
        try:
            return next(filter(None, (examine(data) for _ in range(batches))), None)
        except tf.errors.ResourceExhaustedError:
            return None

    def replica_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Sums scores over one replica's share of a batch."""
        return self._kind.sums(self.logits(batch["image"]), batch)

    def logits(self, images: tf.Tensor) -> tf.Tensor:
        """Computes the weights' logits of images, float32 [batch, classes]."""
        logits, _ = self._graph.stateless_call(
            self._trainable, self._non_trainable, images, training=False
        )
        return tf.cast(logits, tf.float32)


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
