"""What TensorFlow would keep for the whole process, and no longer does."""

import gc
import weakref

import tensorflow as tf
from tensorflow.python.framework import ops

from efficientnet_tf.hardware import freed_memory


def _silu():
    return tf.function(tf.nn.silu).get_concrete_function(tf.TensorSpec([1]))


def test_graphs_of_a_block_pass_and_no_others():
    before, kept = _silu(), weakref.ref(_silu().graph)
    with freed_memory.passing_graphs():
        passing = weakref.ref(_silu().graph)
    gc.collect()
    assert passing() is None
    assert kept() is not None  # if not, TensorFlow has learned to let go by itself
    x = tf.zeros([1])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = before(x)
    assert tape.gradient(y, x) == 0.5


def test_gradients_of_operations_stay():
    """Importing tensorflow_text, for one, registers such gradients."""
    registry, name = ops.gradient_registry._registry, "AnOperationOfATest"
    with freed_memory.passing_graphs():
        ops.RegisterGradient(name)(lambda operation, gradient: gradient)
    assert name in registry
    del registry[name]
