"""Checkpoints in a bucket: each file is written on this machine and uploaded once.

TensorFlow's own manager writes them to the bucket under other names, then copies and
deletes. That takes 50 requests for each checkpoint, one after the other, against 9.
"""

import contextlib
import os
import tempfile

import tensorflow as tf

from efficientnet_tf import files
from efficientnet_tf.runs import checkpoint_files


def manager(
    checkpoint: tf.train.Checkpoint, directory: str, max_to_keep: int, *, device: str
) -> "tf.train.CheckpointManager | Manager":
    """Makes a tf.train.CheckpointManager, or a `Manager` where that saves requests.

    Args:
        checkpoint: the variables to save.
        directory: path or URL of the folder to save to.
        max_to_keep: int, checkpoints to keep.
        device: TensorFlow's name of the variables' device. If another process holds
            the variables (a remote TPU's or several hosts'), that process writes them,
            which only TensorFlow's own manager supports.
    """
    is_here = "/job:localhost/" in device
    kind = Manager if files.is_url(directory) and is_here else None
    return (kind or tf.train.CheckpointManager)(checkpoint, directory, max_to_keep)


class Manager:
    """The methods of tf.train.CheckpointManager that a run needs.

    Either manager can continue from the other's checkpoints.

    Args:
        checkpoint: the variables to save.
        directory: URL of the folder to save to.
        max_to_keep: int, checkpoints to keep.
    """

    def __init__(
        self, checkpoint: tf.train.Checkpoint, directory: str, max_to_keep: int
    ):
        self.checkpoint = checkpoint
        self.directory = directory
        self._max_to_keep = max_to_keep
        state = tf.train.get_checkpoint_state(directory)
        self._paths = list(state.all_model_checkpoint_paths) if state else []

    def save(self, checkpoint_number: int) -> str:
        """Saves a checkpoint under a number and returns its path."""
        path = f"{self.directory}/ckpt-{checkpoint_number}"
        self.checkpoint.save_counter.assign_add(1)
        with tempfile.TemporaryDirectory() as folder:
            self.checkpoint.write(f"{folder}/ckpt")
            # The index is uploaded last: a checkpoint with an index is whole.
            for name in sorted(os.listdir(folder)):
                files.upload(f"{folder}/{name}", path + name.removeprefix("ckpt"))
        self._paths = [p for p in self._paths if p != path] + [path]
        # If the process is killed before it deletes the old checkpoints, they stay in
        # the recorded list, and the next process deletes them.
        checkpoint_files.write_record(self.directory, self._paths)
        while len(self._paths) > self._max_to_keep:
            _delete(self._paths.pop(0))
        return path


def _delete(path: str) -> None:
    # The index is deleted first: without it there is no checkpoint.
    for name in [f"{path}.index", *tf.io.gfile.glob(f"{path}.data-*")]:
        with contextlib.suppress(tf.errors.NotFoundError):
            tf.io.gfile.remove(name)
