"""A run's folder: which checkpoint serves and which one continues."""

import shutil

import pytest
import tensorflow as tf

from efficientnet_tf.runs.run_dir import RunDir


def test_the_best_checkpoint_serves_and_the_latest_continues(tmp_path):
    for name, step in (("checkpoints", 20), ("best", 10)):
        checkpoint = tf.train.Checkpoint(step=tf.Variable(step))
        manager = tf.train.CheckpointManager(checkpoint, f"{tmp_path}/{name}", 1)
        manager.save(checkpoint_number=step)
    run = RunDir(str(tmp_path))
    assert run.latest_checkpoint() == f"{tmp_path}/checkpoints/ckpt-20"
    assert run.inference_checkpoint() == f"{tmp_path}/best/ckpt-10"
    shutil.rmtree(tmp_path / "best")
    assert run.inference_checkpoint() == f"{tmp_path}/checkpoints/ckpt-20"
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(ValueError, match="no checkpoint there yet"):
        run.inference_checkpoint()
