"""Which scores of a run are known, and which report tells of its end."""

import dataclasses
import os

import pytest
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.data import tfrecord
from efficientnet_tf.runs import metrics
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import known_scores

SPLIT = tfrecord.Split("validation", (), 360)
SCORES = {"top_1": 0.9, "top_5": 0.99, "loss": 0.4, "examples": 360}
SCORES |= {"weights": "ema", "split": "validation"}


@pytest.fixture
def run(tmp_path):
    """A run of 20 steps, of which the 10th was the best."""
    for name, step in (("checkpoints", 20), ("best", 10)):
        checkpoint = tf.train.Checkpoint(step=tf.Variable(step))
        manager = tf.train.CheckpointManager(checkpoint, f"{tmp_path}/{name}", 1)
        manager.save(checkpoint_number=step)
    metrics.append(str(tmp_path), "train", step=20, epoch=1.0, loss=0.3)
    return RunDir(str(tmp_path))


def note(run, *, kind="eval", step=10, **values):
    metrics.append(run.path, kind, step=step, epoch=0.5, **SCORES | values)


def test_the_scores_of_the_best_weights_are_known_by_their_line(run):
    note(run)
    note(run, step=20, top_1=0.1)
    expected = SCORES | {"checkpoint": f"{run.path}/best/ckpt-10"}
    assert known_scores.find(run, SPLIT) == expected


@pytest.mark.parametrize(
    "values",
    [
        {"step": 20},
        {"kind": "train"},
        {"split": "minival"},
        {"examples": 90},
        {"data_dir": "/other"},
        {"loss": float("nan")},
    ],
    ids=str,
)
def test_scores_of_anything_else_are_not(run, values):
    assert known_scores.find(run, SPLIT) is None
    note(run, **values)
    assert known_scores.find(run, SPLIT) is None


def test_scores_of_a_damaged_checkpoint_are_not(run):
    note(run)
    path = f"{run.path}/best/ckpt-10.data-00000-of-00001"
    os.truncate(path, os.path.getsize(path) // 2)
    assert known_scores.find(run, SPLIT) is None


def test_a_line_says_if_its_images_are_not_the_run_s(run):
    config = config_lib.create(dataset="digits", data_dir="/own")
    run.write_config(config)
    assert known_scores.other_data(run, config) == {}
    other = dataclasses.replace(config, data_dir="/other")
    assert known_scores.other_data(run, other) == {"data_dir": "/other"}


def test_a_report_counts_if_it_is_younger_than_the_last_checkpoint(run):
    page = f"{run.path}/report.html"
    assert not known_scores.is_reported(run, None)
    assert not known_scores.is_reported(run, page)
    saved = os.stat(f"{run.path}/checkpoints/ckpt-20.index").st_mtime
    open(page, "w").close()
    for seconds, is_reported in ((1, True), (-1, False)):
        os.utime(page, (saved + seconds, saved + seconds))
        assert known_scores.is_reported(run, page) is is_reported
