"""Trainings that are stopped at random moments, and how their ends are compared."""

import os
import pathlib
import shutil
import signal
import sys

import pytest
import small_run
import tensorflow as tf

from efficientnet_tf.experiments import interruptions
from efficientnet_tf.runs import metrics

# Computes for 0.4 seconds after it has written its settings, or until Ctrl-C.
WORK = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
pressed = []
signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
while time.process_time() < 0.1: pass  # more than Python needs to start
(folder / "config.json").touch()
while time.process_time() < 0.5 and not pressed: pass
print("seconds", time.process_time())
sys.exit(130 if pressed else 0)
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [(None, 0), (signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, -15)],
)
def test_a_signal_comes_at_its_moment(tmp_path, number, code):
    command = [sys.executable, "-c", WORK, str(tmp_path)]
    ended = interruptions.run(command, str(tmp_path), number=number, at=0.15)
    assert (ended.code, ended.was_stopped) == (code, number is not None)
    if number is None:
        assert 0.3 < ended.cpu_seconds < 0.6
    else:
        assert 0.15 <= ended.cpu_seconds < 0.6  # a busy machine looks late
    assert ("seconds" in ended.output) == (code >= 0)


# A program of one step, which a file counts: it saves at Ctrl-C, then goes on.
STEPS = """
import os, pathlib, signal, sys, time
folder, forgets = pathlib.Path(sys.argv[1]), sys.argv[2] == "forgets"
pressed = []
signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
os.makedirs(folder, exist_ok=True)
(folder / "config.json").touch()
if (folder / "saved").exists():
    print("a run, continuing from step", 6 if forgets else 7, flush=True)
    sys.exit()
until = time.process_time() + 0.3
while time.process_time() < until:
    if pressed:
        (folder / "saved").touch()
        print("Ctrl-C: saved at step 7; the same command continues")
        sys.exit(130)
"""


@pytest.mark.parametrize("forgets", [True, False])
def test_a_run_goes_on_where_it_saved(tmp_path, monkeypatch, forgets):
    monkeypatch.setattr(interruptions, "differences", lambda *folders: [])
    how = "forgets" if forgets else "remembers"
    found = interruptions.trials(
        lambda folder: [sys.executable, "-c", STEPS, folder, how],
        root=str(tmp_path),
        numbers=[signal.SIGINT, signal.SIGKILL],
        seed=28,  # early moments
    )
    pressed, killed = found
    fault = "the next command does not begin at step 7"
    assert pressed.was_stopped and pressed.faults == ((fault,) if forgets else ())
    assert killed.was_stopped and killed.faults == ()


def make_run(folder, *, value=1.0):
    for name in ("checkpoints", "best"):
        checkpoint = tf.train.Checkpoint(a=tf.Variable([value, 0.0]))
        tf.train.CheckpointManager(checkpoint, f"{folder}/{name}", 1).save(6)
    metrics.append(str(folder), "train", step=6, epoch=1, loss=0.5, images_per_second=9)


@pytest.fixture
def two(tmp_path):
    """Two equal runs; the folders as texts."""
    folders = [str(tmp_path / name) for name in ("a", "b")]
    for folder in folders:
        make_run(folder)
    return folders


def test_equal_runs_differ_in_nothing_but_speed_and_events(two):
    first, second = two
    shutil.copytree(f"{first}/best", f"{first}/train")
    for path in pathlib.Path(first, "train").iterdir():
        path.rename(path.with_name(f"events.out.tfevents.{path.name}"))
    path = pathlib.Path(second, metrics.NAME)
    path.write_text(path.read_text().replace("9", "7"))
    assert interruptions.differences(first, second) == []


def test_a_checkpoint_more_is_none_if_it_is_listed(two):
    first, second = two
    folder = f"{first}/checkpoints"
    for step, place in ((4, f"{first}/lone"), (5, folder), (6, folder)):
        checkpoint = tf.train.Checkpoint(a=tf.Variable([1.0, 0.0]))
        tf.train.CheckpointManager(checkpoint, place, 2).save(step)
    assert "lone/ckpt-4.index: left over" in interruptions.differences(first, second)
    shutil.rmtree(f"{first}/lone")
    assert os.path.exists(f"{folder}/ckpt-5.index")
    assert interruptions.differences(first, second) == []


def test_a_bit_a_line_and_a_leftover_are_differences(two):
    first, second = two
    shutil.rmtree(f"{first}/best")
    checkpoint = tf.train.Checkpoint(a=tf.Variable([1.0, -0.0]))
    tf.train.CheckpointManager(checkpoint, f"{first}/best", 1).save(6)
    metrics.append(first, "eval", step=6, epoch=1, loss=0.5)
    os.makedirs(f"{first}/checkpoints/ckpt-9_temp")
    pathlib.Path(f"{first}/checkpoints/ckpt-9_temp/part").touch()
    assert interruptions.differences(first, second) == [
        "best: a/.ATTRIBUTES/VARIABLE_VALUE differs",
        "metrics.jsonl: other lines",
        "checkpoints/ckpt-9_temp/part: left over",
    ]


@pytest.mark.slow
def test_stopped_runs_end_as_one_that_was_left_alone(digits_dir, tmp_path):
    kills, presses = map(int, os.environ.get("INTERRUPTIONS", "3 2").split())

    found = list(
        interruptions.trials(
            small_run.command(str(digits_dir)),
            root=str(tmp_path),
            numbers=[signal.SIGKILL] * kills + [signal.SIGINT] * presses,
            seed=int(os.environ.get("KILL_SEED", "0")),
        )
    )
    for trial in found:
        print(trial)
    assert [trial.faults for trial in found] == [()] * (kills + presses)
    assert any(trial.was_stopped for trial in found)
