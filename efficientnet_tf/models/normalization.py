"""Batch normalisation over groups of replicas, as the original trains on large slices.

Source: TpuBatchNormalization in tensorflow/tpu efficientnet utils.py.
"""

import keras


def replicas_per_group(replicas: int) -> int:
    """The original's: each its own up to 8, then eighths of the slice, at least 8."""
    return 1 if replicas <= 8 else max(8, replicas // 8)


@keras.saving.register_keras_serializable(package="efficientnet_tf")
class GroupedBatchNormalization(keras.layers.BatchNormalization):
    """Takes batch statistics over groups of neighbouring replicas.

    Needs TensorFlow, whose `tf.distribute` knows replicas; without a strategy it is a
    plain batch normalisation.

    Args:
        group_size: replicas in a group, a divisor of all; None takes
            `replicas_per_group`.
        **kwargs: see `keras.layers.BatchNormalization`.
    """

    def __init__(self, *, group_size: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.group_size = group_size

    def _moments(self, inputs, mask):
        mean, variance = super()._moments(inputs, mask)
        if keras.config.backend() != "tensorflow":
            return mean, variance
        return self.over_group(mean, variance)

    def over_group(self, mean, variance):
        """Of a replica's moments, those of its group; in replica context."""
        # Here alone, because replicas are TensorFlow's.
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

    def get_config(self):
        """See `keras.layers.Layer`."""
        return super().get_config() | {"group_size": self.group_size}
