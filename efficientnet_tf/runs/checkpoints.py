"""Finds a run's checkpoints, and loads their weights into a model."""

from collections.abc import Collection

import keras
import tensorflow as tf


def step_of(path: str) -> int:
    """Reads the step in a checkpoint's name."""
    return int(path.rsplit("-", 1)[1])


def latest(folder: str) -> str | None:
    """Finds the newest checkpoint whose files exist; the user may have deleted some."""
    record = tf.train.get_checkpoint_state(folder)
    path = f"{folder}/checkpoint"
    if record is None and tf.io.gfile.exists(path):
        # get_checkpoint_state only logs an error of reading; reading the file again
        # raises it, so that a run does not start over.
        with tf.io.gfile.GFile(path, "rb") as file:
            file.read()
    paths = record.all_model_checkpoint_paths if record else []
    there = (path for path in reversed(paths) if tf.io.gfile.exists(f"{path}.index"))
    return next(there, None)


def restore_inference(model: keras.Model, path: str) -> None:
    """Loads the weights to evaluate from a checkpoint into a model.

    Args:
        model: the model to load into.
        path: prefix of a checkpoint in checkpoints/ or best/.
    """
    checkpoint = tf.train.Checkpoint(inference=by_path(model.weights))
    status = checkpoint.read(path).expect_partial()
    status.assert_existing_objects_matched()


def by_path(variables: Collection[keras.Variable]) -> dict[str, tf.Variable]:
    """Returns the TensorFlow variables inside Keras variables, by path."""
    by_path = {variable.path: variable.value for variable in variables}
    if len(by_path) != len(variables):
        raise ValueError("two variables of the model share a path")
    return by_path
