"""A first computation on every device of a strategy, to see that they work."""

import tensorflow as tf

from efficientnet_tf.hardware import devices

_SIDE = 128  # side of the matrices; their product's sum is exact in every precision


def compute(strategy: tf.distribute.Strategy) -> dict:
    """Multiplies two matrices on each replica and adds the results over all of them.

    Returns:
        "device" ("tpu", "gpu" or "cpu"), "replicas", and "tensorflow", its version.

    Raises:
        ValueError: if the sum is wrong.
    """
    replicas = strategy.num_replicas_in_sync
    total = float(sum_of_products(strategy))
    expected = float(replicas * _SIDE**3)
    device = devices.kind(strategy)
    if total != expected:
        raise ValueError(
            f"device={device}: {replicas} replicas computed {total:g} and not "
            f"{expected:g}; the device or its driver is at fault"
        )
    return {"device": device, "replicas": replicas, "tensorflow": tf.__version__}


@tf.function
def sum_of_products(strategy: tf.distribute.Strategy) -> tf.Tensor:
    """Sums all elements of the replicas' products; a float32 scalar."""

    def on_replica() -> tf.Tensor:
        ones = tf.ones([_SIDE, _SIDE])
        return tf.reduce_sum(tf.matmul(ones, ones))

    per_replica = strategy.run(on_replica)
    return strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)
