"""Graphs with weights as constants, which kernels lay out once and not each time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
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


def named(frozen: Any, names: Sequence[str]) -> tf.Graph:
    """Returns a frozen function's graph, with nodes that name its outputs.

    Args:
        frozen: what `freeze` returned.
        names: names of its outputs.
    """
    outputs = [output.name for output in frozen.outputs]
    with tf.Graph().as_default() as graph:
        found = tf.graph_util.import_graph_def(
            frozen.graph.as_graph_def(), return_elements=outputs, name=""
        )
        for name, output in zip(names, found, strict=True):
            tf.identity(output, name)
    return graph


def save(
    outputs: Callable[[tf.Tensor], Mapping[str, tf.Tensor]],
    images: tf.TensorSpec,
    path: str,
    *,
    variables: Sequence[tf.Variable] = (),
) -> None:
    """Writes a SavedModel with one signature, "serving_default".

    Args:
        outputs: maps a batch of images to tensors by name.
        images: what it takes.
        path: the folder to write.
        variables: those that `outputs` reads.
    """
    module = tf.Module()
    module.variables_of_outputs = list(variables)
    module.serve = tf.function(outputs, input_signature=[images], autograph=False)
    # Custom gradients are for training, and a frozen graph has lost what they need.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, path, signatures=module.serve, options=options)


def variables(model: keras.Model) -> list[tf.Variable]:
    """Returns a model's variables as a SavedModel has to hold them.

    TensorFlow saves a Keras variable as one more variable, which it loads in place of
    the one that the graph reads: Python does not notice, TensorFlow Serving and
    TensorFlow's C API find the latter without a value.
    """
    return [variable.value for variable in model.variables]
