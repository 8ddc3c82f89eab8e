"""Batch normalisation over groups of replicas, as the original trains on large slices.

Source: TpuBatchNormalization in tensorflow/tpu efficientnet utils.py.
"""

from typing import Any

import keras


def replicas_per_group(replicas: int) -> int:
    """Returns the original's group size: 1 up to 8 replicas, then 1/8, at least 8."""
    return 1 if replicas <= 8 else max(8, replicas // 8)


@keras.saving.register_keras_serializable(package="efficientnet_tf")
class GroupedBatchNormalization(keras.layers.BatchNormalization):
    """Takes batch statistics over groups of neighbouring replicas.

    Needs TensorFlow, whose `tf.distribute` knows replicas; without a strategy it is a
    plain batch normalisation.

    Args:
        group_size: int, replicas in a group, a divisor of all replicas; None takes
            `replicas_per_group`.
        **kwargs: keyword arguments of `keras.layers.BatchNormalization`.
    """

    def __init__(self, *, group_size: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.group_size = group_size

    def _moments(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        mean, variance = super()._moments(inputs, mask)
        if keras.config.backend() != "tensorflow":
            return mean, variance
        return self.over_group(mean, variance)

    def over_group(self, mean: Any, variance: Any) -> tuple[Any, Any]:
        """Turns a replica's moments into its group's; call in replica context.

        Args:
            mean: float32 [channels], this replica's mean.
            variance: float32 [channels], this replica's variance.
        """
        # Imported here: only replicas need TensorFlow.
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        replicas = replica.num_replicas_in_sync if replica else 1
        size = self.group_size or replicas_per_group(replicas)
        if replicas % size:
            raise ValueError(
                f"group_size={size}: allowed is a divisor of the {replicas} replicas"
            )
        if size == 1:
            return mean, variance
        # A row for each group; a replica adds to its own and reads it back.
        group = replica.replica_id_in_sync_group // size
        row = tf.one_hot(group, replicas // size, dtype=mean.dtype)
        moments = tf.stack([mean, variance + tf.square(mean)]) / size
        sums = replica.all_reduce(
            tf.distribute.ReduceOp.SUM, row[:, tf.newaxis, tf.newaxis] * moments
        )
        mean, mean_of_squares = tf.unstack(tf.gather(sums, group))
        return mean, tf.maximum(mean_of_squares - tf.square(mean), 0)

    def get_config(self) -> dict[str, Any]:
        """See `keras.layers.Layer`."""
        return super().get_config() | {"group_size": self.group_size}
