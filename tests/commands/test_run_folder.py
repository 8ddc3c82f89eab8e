"""Every mode with a run's folder that is damaged, full, or cannot be written."""

import errno
import json
import os
import pathlib
import shutil
from unittest import mock

import disks
import networks
import numpy as np
import pytest
import tensorflow as tf
import whole_run
from command_line import refusal, run, succeed, tool
from PIL import Image

from efficientnet_tf import config as config_lib
from efficientnet_tf.commands import list as list_command
from efficientnet_tf.data import inventory
from efficientnet_tf.runs import checkpoints, metrics, run_model
from efficientnet_tf.runs.run_dir import RunDir

BEST, LATEST = 3, 7  # the class that each checkpoint predicts
NETWORK = ("--dataset=digits", f"--blocks={networks.ONE}", "--width_coefficient=0.1")


@pytest.fixture(scope="module")
def trained(digits_dir, tmp_path_factory):
    """A run's folder as training leaves it, of which each checkpoint has its class."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    config = config_lib.create(
        dataset="digits",
        data_dir=digits_dir,
        blocks=networks.ONE,
        width_coefficient=0.1,
        eval_batch_size=360,
    )
    saved = RunDir(str(folder))
    saved.write_config(config)
    saved.write_data(inventory.Inventory("digits", digits_dir, (), None))
    model = run_model.create(config)
    saved.write_passport(model.passport)
    values = checkpoints.by_path(model.weights)
    for name, step, label in (("checkpoints", 4, LATEST), ("best", 2, BEST)):
        values["predictions/bias"].assign(100.0 * np.eye(10)[label])
        checkpoint = tf.train.Checkpoint(inference=values)
        manager = tf.train.CheckpointManager(checkpoint, f"{folder}/{name}", 3)
        manager.save(checkpoint_number=step)
        metrics.append(str(folder), "train", step=step, epoch=step / 10)
    return folder


@pytest.fixture
def copied(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(path)
    return str(path)


def share(digits_dir, label):
    """The share of validation digits with a label, in whole images of 360."""
    from sklearn import datasets, model_selection

    labels = datasets.load_digits().target
    _, held = model_selection.train_test_split(
        labels, test_size=360, stratify=labels, random_state=0
    )
    return (held == label).mean()


def warnings_of(done, folder):
    """The warnings that name a folder; others are of a network that learned nothing."""
    lines = done.stderr.splitlines()
    return [x for x in lines if x.startswith("warning") and str(folder) in x]


def test_a_damaged_best_is_named_and_the_latest_serves(copied, photo, digits_dir):
    (data,) = (copied / "best").glob("*.data*")
    data.write_bytes(data.read_bytes()[:-9])
    said = f"warning       {copied}/best/ckpt-2: is damaged ("
    for mode in (("--mode=predict", photo), ("--mode=eval",)):
        done = succeed(*mode, f"--model_dir={copied}", "--json")
        (line,) = warnings_of(done, copied)
        assert line.startswith(said)
        assert line.endswith(f"; taking {copied}/checkpoints/ckpt-4")
        if mode[0] == "--mode=eval":
            assert done.json["top_1"] == pytest.approx(share(digits_dir, LATEST))
            assert done.json["checkpoint"] == f"{copied}/checkpoints/ckpt-4"
        else:
            (result,) = done.json["results"]
            assert result["predictions"][0]["name"] == str(LATEST)
    (data,) = (copied / "checkpoints").glob("*.data*")
    data.unlink()
    line = refusal("--mode=export", f"--model_dir={copied}", f"--export_dir={copied}/x")
    assert line.startswith(f"error: {copied}/best/ckpt-2: is damaged (")
    assert f"{copied}/checkpoints/ckpt-4: its .data-00000-of-00001 is missing" in line


def test_scores_are_told_if_a_training_replaces_the_best_weights_meanwhile(
    copied, digits_dir
):
    flags = (f"--model_dir={copied}", "--report", "--json")
    with mock.patch.object(run_model, "of_checkpoint", side_effect=ValueError("gone")):
        done = succeed("--mode=eval", *flags)
    assert done.json["top_1"] == pytest.approx(share(digits_dir, BEST))
    assert "report" not in done.json and "the report is not written" in done.stderr


@pytest.mark.parametrize("file", ["config.json", "passport.json"])
def test_garbage_is_named_in_every_mode(copied, photo, digits_dir, tmp_path, file):
    (copied / file).write_bytes(b"\xff\xfe\0")
    folder = f"--model_dir={copied}"
    for mode in (
        ("--mode=predict", photo),
        ("--mode=cam", photo, f"--cam_dir={tmp_path}/cam"),
        ("--mode=export", f"--export_dir={tmp_path}/out"),
        ("--mode=eval",),
        ("--mode=train", *NETWORK, f"--data_dir={digits_dir}"),
    ):
        line = refusal(*mode, folder)
        assert line.startswith(f"error: {copied}/{file}: is damaged (holds bytes")
        assert "put back a copy of it" in line
    shown = run("--mode=show", *NETWORK, f"--data_dir={digits_dir}", folder, "--json")
    assert shown.returncode == 1
    assert shown.json["files"][f"{copied}/{file}"].startswith("is damaged (")
    assert shown.json["files"][f"{copied}/best/ckpt-2"] is None


def test_without_config_the_training_command_is_named(copied, photo):
    (copied / "config.json").unlink()
    line = refusal("--mode=predict", photo, f"--model_dir={copied}")
    assert line.startswith(f"error: {copied}/config.json: is missing, although")
    assert "run the training command again" in line


def test_metrics_that_cannot_grow_are_named_before_the_work(copied, digits_dir):
    (copied / "metrics.jsonl").unlink()
    (copied / "metrics.jsonl").mkdir()
    folder = f"--model_dir={copied}"
    line = refusal("--mode=train", *NETWORK, f"--data_dir={digits_dir}", folder)
    assert line.startswith(f"error: {copied}/metrics.jsonl: cannot be written (Is a")


def test_a_run_that_cannot_be_written_is_read(trained, photo, tmp_path, digits_dir):
    with disks.small_disk(tmp_path / "disk", "1m"):
        folder = shutil.copytree(trained, tmp_path / "disk" / "run")
        disks.change(tmp_path / "disk", "ro")
        read = f"--model_dir={folder}"
        done = succeed("--mode=eval", read, "--json")
        assert done.json["top_1"] == pytest.approx(share(digits_dir, BEST))
        (line,) = warnings_of(done, folder)
        assert line.startswith(f"warning       model_dir={folder}: cannot be written: ")
        done = succeed("--mode=predict", read, photo, "--json")
        assert done.json["results"][0]["predictions"][0]["name"] == str(BEST)
        for flag, mode in (
            (f"--model_dir={folder}", ("--mode=train", *NETWORK)),
            (f"--cam_dir={folder}/cam", ("--mode=cam", photo)),
            (f"--export_dir={folder}/saved_model", ("--mode=export",)),
            (f"--report_dir={folder}", ("--mode=eval", "--report")),
            (f"--output={folder}/o.csv", ("--mode=predict", photo)),
        ):
            given = [f"--output={folder}/o.csv"] if "output" in flag else []
            line = refusal(*mode, read, *given)
            assert line.startswith(f"error: {flag}: cannot be written: Read-only"), line


def test_a_file_is_no_folder_of_a_run(tmp_path, digits_dir):
    file = tmp_path / "file"
    file.touch()
    for mode in (("--mode=train", *NETWORK), ("--mode=eval",), ("--mode=export",)):
        line = refusal(*mode, f"--model_dir={file}", f"--data_dir={digits_dir}")
        assert line.startswith(f"error: --model_dir={file}: ")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train").touch()
    line = refusal(
        *("--mode=train", *NETWORK, f"--data_dir={digits_dir}"),
        f"--model_dir={tmp_path}/run",
    )
    assert line.startswith(f"error: {tmp_path}/run/train: ")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("compound_scaling", ["--phi=1", "--plot={}/plot.png"]),
        ("reproduce_paper", ["table1", "--quick", "--output_dir={}/out"]),
        ("search_baseline", ["--root={}/root"]),
        ("search_coefficients", ["--root={}/root", "--dataset=digits"]),
    ],
)
def test_outputs_of_tools_are_tried_first(tmp_path, name, arguments):
    (tmp_path / "file").touch()
    given = [argument.format(tmp_path / "file") for argument in arguments]
    done = tool(name, *given)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    (flag,) = [argument for argument in given if str(tmp_path) in argument]
    assert line.startswith(f"error: {flag}: ")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/run/events"),
        tf.errors.ResourceExhaustedError(
            None, None, "{{node a}} /run/events; No space left on device [Op:Flush]"
        ),
    ],
    ids=["python", "tensorflow"],
)
def test_a_disk_s_answer_anywhere_is_one_line(error):
    with mock.patch.object(list_command, "run", side_effect=error):
        done = run("--mode=list", "--json")
    line = "/run/events: No space left on device: free some space there"
    assert (done.returncode, done.stderr) == (1, f"error: {line}\n")
    assert done.json == {"error": line, "kind": "file", "path": "/run/events"}


@pytest.mark.slow
@pytest.mark.parametrize("size", ["12k", "130k", "190k", "320k"])
def test_training_goes_on_after_the_disk_was_full(digits_dir, tmp_path, size):
    steps = [
        *("--train_batch_size=32", "--eval_batch_size=360", "--steps_per_loop=2"),
        *("--train_epochs=0.14", "--checkpoint_epochs=0.045", "--eval_epochs=0.045"),
        *("--augment=none", "--mode=train", f"--data_dir={digits_dir}"),
    ]
    succeed(*NETWORK, *steps, f"--model_dir={tmp_path}/unbroken")
    with disks.small_disk(tmp_path / "disk", size):
        folder = tmp_path / "disk" / "run"
        command = (*NETWORK, *steps, f"--model_dir={folder}")
        done = run(*command)
        assert done.returncode == 1
        line = done.stderr.splitlines()[-1]
        assert line.startswith((f"error: {folder}/", f"error: --model_dir={folder}: "))
        assert "No space left" in line or "are free there" in line
        disks.change(tmp_path / "disk", "size=2m")
        succeed(*command)
        whole_run.assert_same_end(folder, tmp_path / "unbroken")
        told = [
            json.loads(line)["step"]
            for line in pathlib.Path(folder, "metrics.jsonl").read_text().splitlines()
            if '"train"' in line
        ]
        assert told == [2, 4, 5]
