"""A run that is killed ends where a run that was never killed does."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import networks
import pytest
import runs
import tensorflow as tf

ROOT = pathlib.Path(__file__).parents[1]
TOTAL_STEPS = 84


def command(digits_dir, model_dir):
    # Everything that could be forgotten is on: dropout, stochastic depth, averages,
    # augmentation, MixUp, held-out evaluations, checkpoints that coincide with
    # evaluations and checkpoints that do not.
    return [
        sys.executable,
        "main.py",
        f"--data_dir={digits_dir}",
        f"--model_dir={model_dir}",
        f"--blocks={networks.TINY}",
        "--augment=randaugment",
        "--mixup_alpha=0.2",
        "--train_epochs=4",
        "--steps_per_loop=3",
        "--checkpoint_epochs=0.25",
        "--eval_epochs=0.5",
        "--seed=7",
    ]


def start(digits_dir, model_dir):
    return subprocess.Popen(
        command(digits_dir, model_dir),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def latest_step(model_dir):
    path = tf.train.latest_checkpoint(f"{model_dir}/checkpoints")
    return int(path.rsplit("-", 1)[1]) if path else 0


def wait_for_checkpoint(model_dir, process, *, after=0):
    while latest_step(model_dir) <= after:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def unbroken(digits_dir, tmp_path_factory):
    """The folder of a run that nothing disturbs, and how many seconds it trains."""
    model_dir = str(tmp_path_factory.mktemp("unbroken"))
    process = start(digits_dir, model_dir)
    wait_for_checkpoint(model_dir, process)
    began = time.monotonic()
    wait_for_checkpoint(model_dir, process, after=TOTAL_STEPS - 1)
    seconds = time.monotonic() - began
    finish(process)
    return model_dir, seconds


@pytest.fixture(scope="module")
def stopped(digits_dir, tmp_path_factory):
    """The folder of a run of two checkpoints and a SIGTERM, and what it printed."""
    model_dir = tmp_path_factory.mktemp("stopped")
    process = start(digits_dir, model_dir)
    wait_for_checkpoint(model_dir, process)
    wait_for_checkpoint(model_dir, process, after=latest_step(model_dir))
    process.send_signal(signal.SIGTERM)
    return model_dir, finish(process)


def kill(digits_dir, model_dir, moments, *, training_seconds):
    """Continues a run past a checkpoint and kills it; returns what it printed."""
    process = start(digits_dir, model_dir)
    wait_for_checkpoint(model_dir, process, after=latest_step(model_dir))
    # Anywhere: in a step, an evaluation or a save.
    time.sleep(moments.uniform(0, training_seconds / 5))
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    return output


@pytest.fixture
def moments():
    seed = int(os.environ.get("KILL_SEED", time.time_ns() % 1000))
    print(f"KILL_SEED={seed}")
    return random.Random(seed)


def test_sigterm_then_sigkill_change_no_bit(
    digits_dir, tmp_path, unbroken, stopped, moments
):
    expected, training_seconds = unbroken
    model_dir = shutil.copytree(stopped[0], tmp_path / "run")
    assert "SIGTERM: saved at step" in stopped[1]
    stopped_at = int(stopped[1].split("saved at step ")[1].split(";")[0])
    assert 0 < stopped_at == latest_step(model_dir) < TOTAL_STEPS
    output = kill(digits_dir, model_dir, moments, training_seconds=training_seconds)
    assert f"continuing from step {stopped_at}" in output
    finish(start(digits_dir, model_dir))
    runs.assert_same_end(model_dir, expected)
    assert runs.metrics(model_dir, "eval") == runs.metrics(expected, "eval")


@pytest.mark.slow
def test_three_sigkills_change_no_bit(digits_dir, tmp_path, unbroken, moments):
    expected, training_seconds = unbroken
    for _ in range(3):
        kill(digits_dir, tmp_path, moments, training_seconds=training_seconds)
    finish(start(digits_dir, tmp_path))
    runs.assert_same_end(tmp_path, expected)
    assert runs.metrics(tmp_path, "eval") == runs.metrics(expected, "eval")


def test_a_run_with_other_settings_is_refused_and_left_alone(digits_dir, unbroken):
    model_dir = unbroken[0]
    before = pathlib.Path(model_dir, "config.json").read_text()
    refused = subprocess.run(
        [*command(digits_dir, model_dir), "--seed=8"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    assert "seed=7 (now 8)" in refused.stderr
    assert pathlib.Path(model_dir, "config.json").read_text() == before


def test_a_damaged_checkpoint_is_named_and_the_one_before_serves(
    digits_dir, tmp_path, unbroken, stopped
):
    model_dir = shutil.copytree(stopped[0], tmp_path / "run")
    saved = tf.train.latest_checkpoint(f"{model_dir}/checkpoints")
    data = pathlib.Path(f"{saved}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:1000])
    again = start(digits_dir, model_dir)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 1
    assert f"checkpoint {saved} cannot be restored" in output
    for path in pathlib.Path(saved).parent.glob(f"{pathlib.Path(saved).name}.*"):
        path.unlink()
    assert "continuing from step" in finish(start(digits_dir, model_dir))
    runs.assert_same_end(model_dir, unbroken[0])
