"""Loads the weights of a run's checkpoints into a model."""

from collections.abc import Collection

import keras
import tensorflow as tf

from efficientnet_tf.runs import finiteness


def restore_inference(model: keras.Model, path: str) -> None:
    """Loads the weights to evaluate from a checkpoint into a model.

    Args:
        model: the model to load into.
        path: prefix of a checkpoint in checkpoints/ or best/.

    Raises:
        NotFiniteError: naming a variable that holds NaN or infinity.
    """
    checkpoint = tf.train.Checkpoint(inference=by_path(model.weights))
    status = checkpoint.read(path).expect_partial()
    status.assert_existing_objects_matched()
    finiteness.require(by_path(model.weights))


def by_path(variables: Collection[keras.Variable]) -> dict[str, tf.Variable]:
    """Returns the TensorFlow variables inside Keras variables, by path."""
    by_path = {variable.path: variable.value for variable in variables}
    if len(by_path) != len(variables):
        raise ValueError("two variables of the model share a path")
    return by_path
