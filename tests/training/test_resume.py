"""A run that is killed ends where a run that was never killed does."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
from unittest import mock

import interrupted_run
import pytest
import tensorflow as tf
import whole_run
from command_line import refusal, run, succeed

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = pathlib.Path(interrupted_run.__file__)


def arguments(digits_dir, model_dir, *more) -> list[str]:
    """Arguments without the final validation and export, which a restart repeats."""
    given = whole_run.arguments(digits_dir, model_dir)
    return [*given, "--mode=train", "--train_epochs=0.5", *more]  # 42 steps


def kill(digits_dir, model_dir, moment, *more) -> str:
    """Starts or continues the run and kills it; returns what it printed."""
    how = f"SIGKILL {moment}"
    done = subprocess.run(
        [sys.executable, SCRIPT, how, *arguments(digits_dir, model_dir, *more)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,  # if it hangs
    )
    assert done.returncode == -signal.SIGKILL, done.stdout
    return done.stdout


def finish(digits_dir, model_dir, *more) -> str:
    """Starts or continues the run up to its end; returns its output."""
    return succeed(*arguments(digits_dir, model_dir, *more)).stderr


@pytest.fixture(scope="module")
def unbroken(digits_dir, tmp_path_factory):
    """The folder of a run that nothing disturbs."""
    model_dir = str(tmp_path_factory.mktemp("unbroken"))
    finish(digits_dir, model_dir)
    return model_dir


@pytest.fixture(scope="module")
def stopped(digits_dir, tmp_path_factory):
    """The folder of a run that got Ctrl-C after its 6th loop, and what it printed."""
    model_dir = tmp_path_factory.mktemp("stopped")
    loop = interrupted_run.PLACES["loop"]
    with mock.patch.object(*loop, getattr(*loop)):  # as it is again afterwards
        interrupted_run.interrupt("SIGINT", "loop", 6, seconds=0)
        return model_dir, run(*arguments(digits_dir, model_dir), "--json")


@pytest.fixture
def moments():
    """One moment in each kind of work of a run, in an order drawn from the seed."""
    seed = int(os.environ.get("KILL_SEED", 0))
    print(f"KILL_SEED={seed}")
    draw = random.Random(seed)
    # At most 24 steps to each: loops are of 3 steps or less, evaluations 11 steps
    # apart, checkpoints 6, with two records each.
    most = {"loop": 8, "evaluation": 2, "save": 3, "record": 6}
    places = draw.sample(list(most), len(most))
    return [
        f"{place} {draw.randint(1, most[place])} {draw.uniform(0, 0.1)}"
        for place in places
    ]


def damage_latest_checkpoint(model_dir) -> str:
    """Cuts it, and puts garbage in place of the list; returns what the run will say."""
    saved = tf.train.latest_checkpoint(f"{model_dir}/checkpoints")
    data = pathlib.Path(f"{saved}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:1000])
    pathlib.Path(model_dir, "checkpoints/checkpoint").write_bytes(b"\xff\xfe")
    # A kill may have left a whole checkpoint that the list did not name.
    return f"{model_dir}/checkpoints/checkpoint: is damaged; "


def test_ctrl_c_sigkill_and_damage_change_no_bit(
    digits_dir, tmp_path, unbroken, stopped, moments
):
    model_dir = shutil.copytree(stopped[0], tmp_path / "run")
    # Loops end at 3, 6, 9, 11, 12 and 15; checkpoints are of 6 and 12.
    assert "Ctrl-C: saved at step 15;" in stopped[1].stderr.splitlines()[-1]
    assert stopped[1].returncode == 130
    result = {"finished": False, "step": 15, "stopped_by": "SIGINT"}
    assert stopped[1].json == result | {"model_dir": str(stopped[0])}
    assert whole_run.latest_step(model_dir) == 15
    output = kill(digits_dir, model_dir, moments[0])
    assert "continuing from step 15" in output
    said = damage_latest_checkpoint(model_dir)
    output = finish(digits_dir, model_dir)
    assert said in output and "continuing from step" in output
    whole_run.assert_same_end(model_dir, unbroken)
    assert whole_run.metrics(model_dir, "eval") == whole_run.metrics(unbroken, "eval")
    # Each loop is told once; its speed differs.
    told, expected = (
        [record["step"] for record in whole_run.metrics(folder, "train")]
        for folder in (model_dir, unbroken)
    )
    assert told == expected


@pytest.mark.slow
def test_three_sigkills_change_no_bit(digits_dir, tmp_path, moments):
    killed, unbroken = tmp_path / "killed", tmp_path / "unbroken"
    longer = "--train_epochs=1"  # each kill may come 24 steps later
    for moment in moments[1:]:
        kill(digits_dir, killed, moment, longer)
    for folder in (killed, unbroken):
        finish(digits_dir, folder, longer)
    whole_run.assert_same_end(killed, unbroken)
    assert whole_run.metrics(killed, "eval") == whole_run.metrics(unbroken, "eval")


def test_a_run_with_other_settings_is_refused_and_left_alone(digits_dir, unbroken):
    model_dir = unbroken
    before = pathlib.Path(model_dir, "config.json").read_text()
    line = refusal(*arguments(digits_dir, model_dir), "--seed=8")
    assert "seed=7 (now 8)" in line
    assert pathlib.Path(model_dir, "config.json").read_text() == before
