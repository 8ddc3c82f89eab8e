"""Normalises on virtual CPU devices; run by test_normalization.py.

The number of devices is fixed once TensorFlow has started:
python group_run.py DEVICES IN.npy OUT.npz GROUP_SIZE ..., a group size of 0 for None.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf.hardware import devices
from efficientnet_tf.models import normalization


def main(num_devices: int, source: str, out: str, *group_sizes: str) -> None:
    strategy = devices.make_strategy("cpu", num_cpu_devices=num_devices)
    images = np.load(source)  # [replicas, batch, rows, columns, channels]
    found = {}
    for size in group_sizes:
        try:
            results = normalise(strategy, images, int(size))
        except ValueError as error:
            results = {"error": str(error)}
        found |= {f"{size} {name}": value for name, value in results.items()}
    np.savez(out, **found)


def normalise(strategy, images: np.ndarray, group_size: int) -> dict:
    """Each replica's outputs, gradients and statistics."""
    with strategy.scope():
        layer = normalization.GroupedBatchNormalization(
            group_size=group_size or None, momentum=0.5
        )
        layer.build(images.shape[1:])

    def take(value):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(value[context.replica_id_in_sync_group])
        )

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.sin(3 * y))
        return y, tape.gradient(loss, x)

    y, gradient = tf.function(lambda x: strategy.run(step, (x,)))(take(images))
    return {
        "outputs": local(strategy, y),
        "gradients": local(strategy, gradient),
        "means": local(strategy, layer.moving_mean.value),
        "variances": local(strategy, layer.moving_variance.value),
    }


def joined(images: np.ndarray) -> dict:
    """What a plain layer makes of a group's images, joined into one batch."""
    layer = keras.layers.BatchNormalization(momentum=0.5)
    batch = tf.constant(images.reshape(-1, *images.shape[2:]))
    with tf.GradientTape() as tape:
        tape.watch(batch)
        y = layer(batch, training=True)
        loss = tf.reduce_sum(tf.sin(3 * y))
    return {
        "outputs": y.numpy().reshape(images.shape),
        "gradients": tape.gradient(loss, batch).numpy().reshape(images.shape),
        "means": layer.moving_mean.numpy(),
        "variances": layer.moving_variance.numpy(),
    }


def local(strategy, value) -> np.ndarray:
    """Returns each replica's value."""
    return np.stack([v.numpy() for v in strategy.experimental_local_results(value)])


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
