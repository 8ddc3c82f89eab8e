"""Checkpoints on disks that are full or fail: those saved before stay."""

import errno
import os
import types
from unittest import mock

import disks
import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf import disk
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import checkpoint_folders, disk_room


class State:
    """A state of one variable of 80 kB, in place of a network's."""

    def __init__(self):
        self.step = tf.Variable(0, dtype=tf.int64)
        self.value = tf.Variable(np.zeros(20_000, np.float32))
        self.rate_factor = tf.Variable(1.0)

    def checkpoint(self, *, rate_factor=True):
        factor = {"rate_factor": self.rate_factor} if rate_factor else {}
        return tf.train.Checkpoint(value=self.value, step=self.step, **factor)

    inference_checkpoint = checkpoint

    def computed(self):
        return {"value": self.value}

    def first_not_finite(self):
        return None


def saved(folder):
    """What the newest checkpoint of a run's folder holds."""
    state = State()
    checkpoints = checkpoint_folders.CheckpointFolders(str(folder), state)
    checkpoints.restore(RunDir(str(folder)).to_continue())
    assert set(state.value.numpy()) == {int(state.step)}
    return int(state.step)


def fill(folder):
    """Saves checkpoints until one fails; returns its step and the error."""
    state = State()
    checkpoints = checkpoint_folders.CheckpointFolders(str(folder), state)
    for step in range(1, 10):
        state.step.assign(step)
        state.value.assign(np.full(20_000, step, np.float32))
        try:
            checkpoints.save()
        except disk.WriteError as error:
            return step, str(error)
    raise AssertionError("there was room for 9 checkpoints")


# Full in the values, in the index, and in the list of the checkpoints.
@pytest.mark.parametrize("size", ["100k", "168k", "172k", "176k", "200k", "260k"])
def test_a_full_disk_leaves_the_checkpoints_before(tmp_path, size, capfd):
    folder = tmp_path / "disk"
    with disks.small_disk(folder, size):
        step, told = fill(folder / "run")
        path = f"{folder}/run/checkpoints/ckpt-{step}"
        assert told.startswith(f"{path}: cannot be written (No space left on device")
        left = os.listdir(folder / "run" / "checkpoints")
        assert not [name for name in left if f"ckpt-{step}" in name or "tmp" in name]
        if step > 1:
            assert saved(folder / "run") == step - 1
        assert "warning" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "number",
    [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO],
    ids=errno.errorcode.get,
)
def test_a_failed_save_is_named_and_leaves_the_one_before(tmp_path, number):
    state = State()
    checkpoints = checkpoint_folders.CheckpointFolders(str(tmp_path), state)
    state.value.assign(np.full(20_000, 4, np.float32))
    state.step.assign(4)
    checkpoints.save()
    state.step.assign(6)

    def fail(*args, **kwargs):
        (tmp_path / "checkpoints" / "ckpt-6_temp").mkdir()
        (tmp_path / "checkpoints" / "ckpt-6.index").touch()
        words = f"{tmp_path}/checkpoints/ckpt-6_temp/part; {os.strerror(number)}"
        raise tf.errors.ResourceExhaustedError(None, None, words)

    manager = tf.train.CheckpointManager
    with mock.patch.object(manager, "save", fail), pytest.raises(ValueError) as error:
        checkpoints.save()
    told = f"{tmp_path}/checkpoints/ckpt-6: cannot be written ({os.strerror(number)}"
    assert str(error.value).startswith(told)
    names = {"checkpoint", "ckpt-4.index", "ckpt-4.data-00000-of-00001"}
    assert set(os.listdir(tmp_path / "checkpoints")) == names
    assert saved(tmp_path) == 4


def test_room_for_a_checkpoint_is_asked_for_before_the_first_step(tmp_path):
    def variable(size):
        return types.SimpleNamespace(path=f"of {size}", value=tf.Variable([0.0] * size))

    state = types.SimpleNamespace(
        inference_weights=lambda: {"a": tf.Variable([0.0] * 10)},
        model=types.SimpleNamespace(weights=[variable(3), variable(7)]),
        optimizer=types.SimpleNamespace(variables=[variable(20)]),
    )
    assert disk_room.size(state) == 4 * (10 + 3 + 7 + 20)
    for total, free, is_refused in (
        (1000, 159, True),
        (1000, 160, False),
        (0, 0, False),
    ):
        usage = types.SimpleNamespace(total=total, free=free)
        with mock.patch.object(disk_room.shutil, "disk_usage", return_value=usage):
            if not is_refused:
                disk_room.check(f"{tmp_path}/new/run", state)
                continue
            with pytest.raises(ValueError) as error:
                disk_room.check(f"{tmp_path}/new/run", state)
            assert str(error.value).startswith(f"model_dir={tmp_path}/new/run: ")
    disk_room.check("gs://bucket/run", state)
