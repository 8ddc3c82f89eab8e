"""What a killed run leaves half-written goes; what anybody may need stays."""

import os
import re
import time
import types
import uuid

import pytest
import tensorflow as tf
from tensorflow.python.lib.io import file_io

from efficientnet_tf import files
from efficientnet_tf.runs import run_lock
from efficientnet_tf.training import held_folder
from efficientnet_tf.training.run import Run


class Chief:
    is_chief = True


HEX = uuid.UUID(int=7).hex


@pytest.fixture
def model_dir(tmp_path):
    """A run with a checkpoint in each folder."""
    for name in ("checkpoints", "best"):
        checkpoint = tf.train.Checkpoint(step=tf.Variable(6))
        manager = tf.train.CheckpointManager(checkpoint, f"{tmp_path}/{name}", 3)
        manager.save(checkpoint_number=6)
    return str(tmp_path)


def listed(folder) -> set[str]:
    return {
        os.path.relpath(os.path.join(place, name), folder)
        for place, _, names in os.walk(folder)
        for name in names
    }


def leave(model_dir, *names, age=0.0):
    for name in names:
        path = os.path.join(model_dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write("half")
        then = time.time() - age
        os.utime(path, (then, then))


def begin(model_dir, capsys) -> str:
    with held_folder.alone(model_dir, Chief()):
        assert run_lock.NAME in os.listdir(model_dir)
    return capsys.readouterr().err


LEFT = (
    "checkpoints/ckpt-9_temp/part-00000-of-00001.data-00000-of-00001",
    "checkpoints/ckpt-9.index.tempstate12345",
    f"checkpoints/checkpoint.tmp{HEX}",
    "checkpoints/ckpt-9.data-00000-of-00001",
    "checkpoints/ckpt-9.index",
    "checkpoints/ckpt-12.data-00000-of-00001",
    "best/ckpt-9_temp/part-00000-of-00001.index",
    f"best/.checkpoint.{HEX}.partial",  # of the list, as it was mended
    f".config.json.{HEX}.partial",
    f".metrics.jsonl.{HEX}.partial",
)


@pytest.mark.parametrize("left", [LEFT[:1], LEFT], ids=["one", "all"])
def test_leftovers_go_and_are_told(model_dir, left, capsys):
    before = listed(model_dir)
    leave(model_dir, *left)
    line = begin(model_dir, capsys)
    assert line.count("\n") == 1 and f"in {model_dir}: " in line
    assert line.count(",") == len(left) - 1 and "checkpoints/ckpt-9_temp" in line
    assert listed(model_dir) == before
    assert not os.path.exists(f"{model_dir}/checkpoints/ckpt-9_temp")
    assert begin(model_dir, capsys) == ""


@pytest.mark.parametrize(
    "name",
    [
        "checkpoints/ckpt-12.index",  # of a save whose record was not written
        "checkpoints/ckpt-6.data-00000-of-00001.mine",
        "checkpoints/notes_temp",
        "best/my-9.data-00000-of-00001",
        "ckpt-9_temp",
        f".report.html.{HEX}.partial",  # perhaps of an evaluation beside this run
        f".trial-{uuid.UUID(int=7)}",
        "train/events.out.tfevents.1",
    ],
)
def test_what_may_be_needed_stays(model_dir, name, capsys):
    leave(model_dir, name)
    before = listed(model_dir)
    assert begin(model_dir, capsys) == ""
    assert listed(model_dir) == before


def test_a_lost_record_of_checkpoints_loses_no_checkpoint(model_dir, capsys):
    before = listed(model_dir)
    os.remove(f"{model_dir}/checkpoints/checkpoint")
    assert begin(model_dir, capsys) == ""
    assert listed(model_dir) == before - {"checkpoints/checkpoint"}


def test_a_checkpoint_that_was_whole_once_stays(model_dir, capsys):
    os.remove(f"{model_dir}/checkpoints/ckpt-6.index")
    leave(model_dir, "best/ckpt-6_temp/part-00000-of-00001.index")
    before = listed(model_dir)
    assert begin(model_dir, capsys) == ""
    assert listed(model_dir) == before


def test_half_files_of_other_commands_go_after_an_hour(model_dir, capsys):
    before = listed(model_dir)
    others = (f".report.html.{HEX}.partial", f".trial-{uuid.UUID(int=7)}")
    leave(model_dir, *others, age=3700)
    assert begin(model_dir, capsys).count(HEX[-4:]) == 2
    assert listed(model_dir) == before


def test_the_names_are_those_that_writers_use(tmp_path, monkeypatch):
    with files.replacing(f"{tmp_path}/config.json") as partial:
        assert files.PARTIAL.fullmatch(os.path.basename(partial))[1] == "config.json"
        open(partial, "w").close()
    written = []
    monkeypatch.setattr(file_io, "rename", lambda a, *_: written.append(a))
    file_io.atomic_write_string_to_file(f"{tmp_path}/checkpoint", "")
    assert re.fullmatch(r"checkpoint\.tmp[0-9a-f]{32}", os.path.basename(written[0]))


def test_an_error_of_the_run_frees_its_folder(model_dir):
    with pytest.raises(RuntimeError), held_folder.alone(model_dir, Chief()):
        raise RuntimeError
    with held_folder.alone(model_dir, Chief()):
        pass


def test_hosts_that_do_not_write_hold_nothing(model_dir):
    class Other:
        is_chief = False

    with held_folder.alone(model_dir, Chief()), held_folder.alone(model_dir, Other()):
        pass


def test_a_run_that_has_lost_its_folder_saves_nothing():
    def check_held():
        raise ValueError("taken over")

    # Whatever else a save calls is missing here.
    run = types.SimpleNamespace(step=6, _saved_step=0, _check_held=check_held)
    with pytest.raises(ValueError, match="taken over"):
        Run._save(run)
