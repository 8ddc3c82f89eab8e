"""How the batches that are predicted at once share a machine's cores."""

import tensorflow as tf

from efficientnet_tf.hardware import machine


def divide(batches: int | None) -> int:
    """Gives each batch its cores; call it before TensorFlow starts.

    On two cores of an AMD EPYC (Zen 5), two batches of B0 on a core each give 1.2 times
    the images a second of one batch on both, whose threads wait for each other. One
    image takes B0 8.6 ms on one core and 10.5 on both, B4 62 and 47.

    Args:
        batches: int, how many are predicted at once; None means one for each core, or 1
            on a GPU.

    Returns:
        How many batches are predicted at once.
    """
    cores = machine.cores()
    if batches is None:
        batches = 1 if tf.config.list_physical_devices("GPU") else cores
    tf.config.threading.set_intra_op_parallelism_threads(max(1, cores // batches))
    # A graph keeps a thread until it ends: each batch, each image that is decoded in a
    # thread of its own, and a map, which must not wait for them.
    tf.config.threading.set_inter_op_parallelism_threads(max(batches, cores) + 1)
    return batches
