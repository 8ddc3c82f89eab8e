"""Saves a run's checkpoints: the latest to continue from, and the best to serve."""

import tensorflow as tf

from efficientnet_tf import files
from efficientnet_tf.training import bucket_checkpoints
from efficientnet_tf.training import state as state_lib

_KEPT = 3


class CheckpointFolders:
    """The two checkpoint folders of a run.

    Args:
        model_dir: the run's folder.
        state: the run's state, made in the strategy's scope.
        writes: whether this host saves. One host saves for all: the values are the same
            on all hosts, and saving needs no other host.
    """

    def __init__(
        self, model_dir: str, state: state_lib.TrainState, *, writes: bool = True
    ):
        self._state = state
        self._writes = writes
        device = state.step.device
        self._latest = bucket_checkpoints.manager(
            state.checkpoint(), f"{model_dir}/checkpoints", _KEPT, device=device
        )
        self._best = bucket_checkpoints.manager(
            state.inference_checkpoint(), f"{model_dir}/best", 1, device=device
        )

    def restore(self, path: str) -> None:
        """Continues from a checkpoint in checkpoints/.

        Args:
            path: the checkpoint's path, without the endings of its files.

        Raises:
            ValueError: naming a checkpoint that does not fit or is damaged.
        """
        try:
            status = self._latest.checkpoint.restore(path)
            status.assert_existing_objects_matched()
        except tf.errors.UnavailableError:
            raise  # a host or a bucket does not answer; the checkpoint is not damaged
        except (AssertionError, IndexError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"checkpoint {path} cannot be restored ({files.reason(error)}); delete "
                "it to fall back to the one before, or use another model_dir"
            ) from None

    def save(self) -> None:
        """Saves the whole state, to continue from."""
        self._save(self._latest)

    def save_best(self) -> None:
        """Saves the weights to serve."""
        self._save(self._best)

    def _save(
        self, manager: tf.train.CheckpointManager | bucket_checkpoints.Manager
    ) -> None:
        if self._writes:
            manager.save(checkpoint_number=self._state.step.numpy())
