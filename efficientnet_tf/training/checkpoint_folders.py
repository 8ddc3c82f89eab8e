"""Saves a run's checkpoints: the latest to continue from, and the best to serve."""

import contextlib

import tensorflow as tf

from efficientnet_tf import disk
from efficientnet_tf.runs import checkpoint_files, finiteness, restoring
from efficientnet_tf.runs.checkpoint_files import Checkpoints
from efficientnet_tf.runs.finiteness import NotFiniteError
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

    def restore(self, found: Checkpoints) -> str:
        """Continues from the newest checkpoint that can be read.

        Args:
            found: the checkpoints, as `RunDir.to_continue` finds them.

        Returns:
            The path of the checkpoint.

        Raises:
            ValueError: naming a checkpoint that does not fit, or damaged ones and those
                that are not finite if there is no other.
        """
        return restoring.restore(found, self._restore, tells=self._writes)

    def _restore(self, path: str) -> None:
        self._state.rate_factor.assign(1.0)  # of a checkpoint that has none
        status = self._fitting(path).restore(path)
        status.assert_existing_objects_matched()
        finiteness.require(self._state.computed())

    def _fitting(self, path: str) -> tf.train.Checkpoint:
        """Returns the checkpoint object that has what a checkpoint's files have."""
        names = (name for name, _ in tf.train.list_variables(path))
        if any(name.startswith("rate_factor/") for name in names):
            return self._latest.checkpoint
        return self._state.checkpoint(rate_factor=False)

    def save(self) -> None:
        """Saves the whole state, to continue from; all hosts of a run call it.

        Raises:
            NotFiniteError: naming a variable that holds NaN or infinity.
            disk.WriteError: naming the checkpoint, if it cannot be written.
        """
        self._save(self._latest)

    def save_best(self) -> None:
        """Saves the weights to serve; see `save`."""
        self._save(self._best)

    def _save(
        self, manager: tf.train.CheckpointManager | bucket_checkpoints.Manager
    ) -> None:
        if name := self._state.first_not_finite():
            raise NotFiniteError(f"{name} is not finite", path=name)
        if not self._writes:
            return
        step = self._state.step.numpy()
        path = f"{manager.directory}/ckpt-{step}"
        try:
            with disk.writing(path):
                manager.save(checkpoint_number=step)
        except disk.WriteError as error:
            # What was written of it takes room, and the list does not name it.
            with contextlib.suppress(tf.errors.OpError):
                checkpoint_files.remove_unlisted(path)
            reason = f"{error.reason}; the same command continues from what is saved"
            raise disk.WriteError(path, reason) from None
