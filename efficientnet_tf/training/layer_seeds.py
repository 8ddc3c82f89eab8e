"""Seeds of dropout and stochastic depth, from the run's seed, the step and replica."""

import keras
import tensorflow as tf


class LayerSeeds:
    """Seeds a model's random layers before each step.

    Keras's own seed generators have the same state on all replicas, which would draw
    equal masks, and a checkpoint would have to store their states.

    Args:
        model: the model whose random layers are seeded.
        seed: int, the run's seed.
        replicas: int, number of replicas.
    """

    def __init__(self, model: keras.Model, seed: int, *, replicas: int):
        self._states = [
            variable
            for variable in model.non_trainable_variables
            if variable.path.endswith("seed_generator_state")
        ]
        self._seed = seed
        self._replicas = replicas

    def assign(self, step: tf.Tensor) -> None:
        """Seeds every random layer; call it in replica context.

        Args:
            step: int64 scalar, the number of optimizer steps done.
        """
        if not self._states:
            return
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        number = step * self._replicas + tf.cast(replica, tf.int64)
        seeds = tf.random.stateless_uniform(
            [len(self._states), 2],
            seed=tf.stack([tf.constant(self._seed, tf.int64), number]),
            minval=0,
            maxval=tf.int32.max,
            dtype=tf.int32,
        )
        for state, seed in zip(self._states, tf.unstack(seeds), strict=True):
            state.assign(seed)
