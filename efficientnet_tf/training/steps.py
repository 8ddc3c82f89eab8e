"""One training step and one evaluation step, inside orbit's loops.

Every loss is divided by the global batch once, here; the optimizer then sums gradients
over replicas. So one replica and many, with one global batch, take the same step.
"""

import functools
import time
from collections.abc import Callable

import keras
import orbit
import tensorflow as tf

from efficientnet_tf.training import state as state_lib


class Trainer(orbit.StandardTrainer):
    """Runs the paper's step: forward, L2, RMSProp, moving averages.

    Args:
        state: made in the strategy's scope.
        dataset: distributed, of (uint8 images, float32 one-hot labels) per replica.
        strategy: the strategy.
        batch_size: global.
        weight_decay: of L2, on every trainable variable outside batch normalisation.
        label_smoothing: share of each label given to all classes.
        learning_rate: the optimizer's schedule, to report.
        seed: of dropout and stochastic depth.
        forward: from images to logits in training; None calls the state's model.
    """

    def __init__(
        self,
        state: state_lib.TrainState,
        dataset,
        *,
        strategy: tf.distribute.Strategy,
        batch_size: int,
        weight_decay: float,
        label_smoothing: float,
        learning_rate: Callable[[int], tf.Tensor],
        seed: int,
        forward: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ):
        super().__init__(dataset)
        self._state = state
        self._forward = forward or functools.partial(state.model, training=True)
        self._strategy = strategy
        self._batch_size = batch_size
        self._weight_decay = weight_decay
        self._label_smoothing = label_smoothing
        self._learning_rate = learning_rate
        self._seed = seed
        self._decayed = [
            v for v in state.model.trainable_variables if not _in_batch_norm(v)
        ]
        self._seed_states = _seed_states(state.model)
        self._local_statistics = []
        if strategy.num_replicas_in_sync > 1:
            self._local_statistics = _local_statistics(state.model)
        self._loops = 0
        with strategy.scope():
            self._sums = {name: _replica_sum(name) for name in ("loss", "top_1")}

    def train_loop_begin(self):
        self._began = (int(self._state.step.numpy()), time.monotonic())
        for total in self._sums.values():
            total.assign(0.0)

    def train_step(self, iterator):
        images, labels = next(iterator)
        self._strategy.run(self.replica_step, args=(images, labels))

    def train_loop_end(self) -> dict[str, float]:
        """Means over the loop's steps, its speed, and its last learning rate.

        The first loop has its seconds in place of a speed: most of them go to tracing
        and compiling, two minutes for B0 on a GPU under XLA.
        """
        step = int(self._state.step.numpy())
        first_step, first_time = self._began
        steps = step - first_step
        means = {n: float(v.read_value()) / steps for n, v in self._sums.items()}
        seconds = time.monotonic() - first_time  # after the reads, which wait
        speed = {"images_per_second": steps * self._batch_size / seconds}
        if self._loops == 0:
            speed = {"first_loop_seconds": seconds}
        self._loops += 1
        return means | speed | {"learning_rate": float(self._learning_rate(step - 1))}

    def replica_step(self, images, labels):
        """One replica's part of a step.

        Args:
            images: uint8 [batch / replicas, height, width, 3].
            labels: float32 [batch / replicas, classes].
        """
        self._reseed()
        state = self._state
        with tf.GradientTape() as tape:
            logits = self._forward(images)
            loss = self._loss(logits, labels)
        variables = state.model.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        state.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self._share_statistics()
        if state.ema is not None:
            state.ema.update(state.optimizer.iterations)
        correct = tf.equal(tf.argmax(logits, -1), tf.argmax(labels, -1))
        top_1 = tf.reduce_sum(tf.cast(correct, tf.float32)) / self._batch_size
        self._sums["loss"].assign_add(loss)
        self._sums["top_1"].assign_add(top_1)

    def _loss(self, logits, labels):
        """This replica's share of the batch's mean cross-entropy plus L2."""
        classes = labels.shape[-1]
        smoothed = labels * (1 - self._label_smoothing) + (
            self._label_smoothing / classes
        )
        cross_entropy = tf.nn.softmax_cross_entropy_with_logits(smoothed, logits)
        loss = tf.reduce_sum(cross_entropy) / self._batch_size
        l2 = tf.add_n([tf.nn.l2_loss(v.value) for v in self._decayed])
        return loss + self._weight_decay * l2 / self._strategy.num_replicas_in_sync

    def _share_statistics(self):
        """Averages the moving statistics of batch norms that each replica does alone.

        Else replicas would evaluate, and a checkpoint keep, those of one of them.
        """
        if not self._local_statistics:
            return
        # Copies: MultiWorkerMirroredStrategy does not tell a variable's device.
        means = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.MEAN,
            [tf.identity(v.value) for v in self._local_statistics],
        )
        for variable, mean in zip(self._local_statistics, means, strict=True):
            variable.assign(mean)

    def _reseed(self):
        """Gives every random layer a seed made of the run's, the step and the replica.

        Keras's own generators hold equal states on all replicas, and so draw equal
        masks; and their states would be one more thing to restore.
        """
        if not self._seed_states:
            return
        replicas = self._strategy.num_replicas_in_sync
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        number = self._state.optimizer.iterations.value * replicas + tf.cast(
            replica, tf.int64
        )
        seeds = tf.random.stateless_uniform(
            [len(self._seed_states), 2],
            seed=tf.stack([tf.constant(self._seed, tf.int64), number]),
            minval=0,
            maxval=tf.int32.max,
            dtype=tf.int32,
        )
        for seed_state, seed in zip(self._seed_states, tf.unstack(seeds), strict=True):
            seed_state.assign(seed)


class Evaluator(orbit.StandardEvaluator):
    """Scores the averaged weights on every example exactly once.

    The averages stand in for the model's variables in a stateless call: nothing is
    swapped, so nothing can be left swapped.

    Args:
        model: built in the strategy's scope.
        weights: by variable path, what to evaluate.
        dataset: distributed, of `data.batches.eval_batches`.
        strategy: the strategy.
    """

    def __init__(
        self,
        model: keras.Model,
        weights: dict[str, tf.Variable],
        dataset,
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

    def eval_begin(self):
        return {"examples": 0.0, "top_1": 0.0, "top_5": 0.0, "loss": 0.0}

    def eval_step(self, iterator) -> dict[str, tf.Tensor]:
        sums = self._strategy.run(self.replica_step, args=(next(iterator),))
        return {
            name: self._strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
            for name, value in sums.items()
        }

    def eval_reduce(self, state, step_outputs):
        if float(step_outputs["examples"]) == 0:
            raise StopIteration  # only padding is left, on every host
        return {name: state[name] + float(step_outputs[name]) for name in state}

    def eval_end(self, sums) -> dict[str, float]:
        examples = int(sums["examples"])
        if examples == 0:
            raise ValueError("the evaluation data holds no examples")
        means = {n: sums[n] / examples for n in ("top_1", "top_5", "loss")}
        return means | {"examples": examples}

    def replica_step(self, batch) -> dict[str, tf.Tensor]:
        """Sums over one replica's share of a batch, "image", "label" and "mask"."""
        logits, _ = self._model.stateless_call(
            self._trainable, self._non_trainable, batch["image"], training=False
        )
        logits = tf.cast(logits, tf.float32)
        labels, mask = batch["label"], batch["mask"]
        cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        ranked = tf.math.top_k(logits, k=min(5, logits.shape[-1])).indices
        hits = tf.cast(tf.equal(ranked, labels[:, tf.newaxis]), tf.float32)
        # The ranks of a model that answers NaN mean nothing.
        finite = tf.reduce_all(tf.math.is_finite(logits), axis=-1)
        hits *= (mask * tf.cast(finite, tf.float32))[:, tf.newaxis]
        return {
            "examples": tf.reduce_sum(mask),
            "top_1": tf.reduce_sum(hits[:, 0]),
            "top_5": tf.reduce_sum(hits),
            "loss": tf.reduce_sum(cross_entropy * mask),
        }


def _in_batch_norm(variable) -> bool:
    """Keras 3 names say only "gamma"; the path's last part tells, as does the layer."""
    return variable.path.rsplit("/", 1)[-1] in ("gamma", "beta")


def _seed_states(model: keras.Model) -> list:
    return [
        variable
        for variable in model.non_trainable_variables
        if variable.path.endswith("seed_generator_state")
    ]


def _local_statistics(model: keras.Model) -> list:
    return [
        variable
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized
        for variable in layer.non_trainable_variables
    ]


def _replica_sum(name: str) -> tf.Variable:
    """Each replica adds to its own; reading it sums over replicas."""
    return tf.Variable(
        0.0,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
        name=name,
    )
