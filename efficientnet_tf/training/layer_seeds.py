"""Seeds of dropout and stochastic depth, made of the run's seed, step and replica."""

import keras
import tensorflow as tf


class LayerSeeds:
    """Seeds a model's random layers for each step.

    Keras's own generators hold equal states on all replicas, and so draw equal masks;
    and their states would be one more thing to restore.

    Args:
        model: the model whose random layers are seeded.
        seed: int, the run's.
        replicas: int, how many draw.
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
        """Seeds every random layer; call in replica context.

        Args:
            step: int64 scalar, the optimizer steps done.
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
