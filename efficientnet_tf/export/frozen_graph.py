"""Graphs with weights as constants, which kernels lay out once and not each time."""

from collections.abc import Callable, Sequence

import tensorflow as tf

Predict = Callable[[tf.Tensor], Sequence[tf.Tensor]]
# Largest protocol buffer in bytes, and so the largest graph that holds its weights.
GRAPH_BYTES = 2**31


def freeze(predict: Predict, images: tf.TensorSpec) -> Predict:
    """Returns a function with its present weights as constants.

    Args:
        predict: maps a batch of images to a list of tensors.
        images: what it takes.
    """
    # TensorFlow makes it public in its LiteRT converter alone.
    from tensorflow.python.framework import convert_to_constants

    traced = tf.function(predict, input_signature=[images], autograph=False)
    return convert_to_constants.convert_variables_to_constants_v2(
        traced.get_concrete_function()
    )
