"""Runs of main.py that are refused, end early, or take minutes."""

import json
import os
from unittest import mock

import networks
import numpy as np
import pytest
import tensorflow as tf
from command_line import refusal, run, succeed
from end_to_end_support import new_process

from efficientnet_tf.runs import run_lock


def test_batch_that_does_not_divide_among_devices_is_refused(tmp_path, digits_dir):
    replicas = mock.PropertyMock(return_value=2)
    kind = tf.distribute.OneDeviceStrategy
    with mock.patch.object(kind, "num_replicas_in_sync", replicas):
        line = refusal(
            f"--model_dir={tmp_path}",
            "--dataset=digits",
            f"--data_dir={digits_dir}",
            "--train_batch_size=63",
        )
    assert "train_batch_size=63: allowed is a multiple of the 2 devices" in line
    assert not list(tmp_path.iterdir())


def test_weights_that_cannot_be_loaded_leave_no_run_behind(tmp_path, digits_dir):
    weights = tmp_path / "damaged.weights.h5"
    weights.write_bytes(b"not a file of weights")
    for path, message in [
        (tmp_path / "none.weights.h5", f"weights={tmp_path}/none.weights.h5: does not"),
        (weights, f"{weights}: is no Keras weights file"),
    ]:
        line = refusal(
            f"--model_dir={tmp_path}/run",
            "--dataset=digits",
            f"--data_dir={digits_dir}",
            f"--weights={path}",
        )
        assert message in line
        assert not (tmp_path / "run").exists()


def test_a_run_folder_that_cannot_be_made_is_named_first(tmp_path):
    (tmp_path / "file").touch()
    data = ("--dataset=digits", f"--data_dir={tmp_path}/none")
    line = refusal(f"--model_dir={tmp_path}/file/run", *data)
    assert f"--model_dir={tmp_path}/file/run: {tmp_path}/file is not" in line


def test_a_second_run_in_a_folder_is_refused(tmp_path, digits_dir):
    data = ("--dataset=digits", f"--data_dir={digits_dir}")
    with run_lock.held(str(tmp_path)):
        line = refusal(f"--model_dir={tmp_path}", *data)
    assert line.startswith(f"error: --model_dir={tmp_path}: process {os.getpid()} on ")
    assert not list(tmp_path.iterdir())


def test_fake_data_trains_without_files(tmp_path):
    result = succeed(
        "--dataset=fake",
        "--num_train_images=64",
        "--train_batch_size=16",
        "--eval_batch_size=256",
        "--image_size=32",
        f"--blocks={networks.ONE}",
        "--steps_per_loop=2",
        f"--model_dir={tmp_path}",
        "--json",
    )
    scores = result.json
    assert scores["step"] == 4 and scores["examples"] == 1024


@pytest.mark.slow
def test_default_run_reaches_97_percent(tmp_path):
    scores = new_process(f"--model_dir={tmp_path}", "--json").checked().json
    assert scores["examples"] == 360
    assert scores["top_1"] >= 0.97


SMALL = (f"--blocks={networks.ONE}", "--steps_per_loop=5")


@pytest.mark.slow
def test_training_stops_early_when_held_out_images_gain_nothing(tmp_path, digits_dir):
    result = succeed(
        f"--model_dir={tmp_path}",
        "--dataset=digits",
        f"--data_dir={digits_dir}",
        *SMALL,
        "--learning_rate=1e-12",
        "--moving_average_decay=0",
        "--eval_epochs=0.5",
        "--early_stopping_evals=2",
        "--mode=train",
        "--json",
    )
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    held_out = [r for r in map(json.loads, lines) if r.get("split") == "minival"]
    assert result.json["finished"]
    assert result.json["step"] == held_out[-1]["step"] < 200
    best = max(held_out, key=lambda record: (record["top_1"], -record["loss"]))
    assert held_out.index(best) == len(held_out) - 3
    assert {line["weights"] for line in held_out} == {"raw"}


@pytest.fixture(scope="module")
def not_finite(tmp_path_factory, digits_dir):
    """Runs main.py at a rate that no weights survive; returns the folder and result."""
    folder = tmp_path_factory.mktemp("not_finite")

    def ended(*arguments):
        return run(
            f"--model_dir={folder}/run",
            f"--export_dir={folder}/export",
            "--dataset=digits",
            f"--data_dir={digits_dir}",
            *SMALL,
            "--learning_rate=1e38",
            "--warmup_epochs=0",
            "--train_epochs=0.3",
            *arguments,
        )

    return folder, ended


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_nothing(not_finite):
    folder, ended = not_finite
    result = ended("--json")
    assert result.returncode == 1
    assert result.json["kind"] == "number"
    assert result.json["path"].startswith("stem_")  # the first update reaches all
    error = result.stderr.splitlines()[-1]
    assert error.startswith("error: step 2: the loss is not finite; it begins at step")
    assert "no checkpoint is saved yet" in error
    for name in ("checkpoints", "best", "../export"):
        assert not list(folder.glob(f"run/{name}/*"))


@pytest.mark.slow
def test_what_the_error_advises_works_in_the_same_folder(not_finite):
    folder, ended = not_finite
    result = ended("--nan_policy=rollback")
    assert result.returncode == 1 and "halved 3 times" in result.stderr
    lines = map(json.loads, (folder / "run/metrics.jsonl").read_text().splitlines())
    assert [(line["kind"], line["rate_factor"]) for line in lines] == [
        ("rollback", 0.5),
        ("rollback", 0.25),
        ("rollback", 0.125),
    ]
    again = ended("--learning_rate=0.001", "--json").checked()
    assert again.json["step"] == 6
    assert "no better than chance" in again.stderr  # 6 steps teach nothing


@pytest.mark.slow
def test_a_rate_that_grows_too_large_keeps_the_last_checkpoint(tmp_path, digits_dir):
    result = run(
        f"--model_dir={tmp_path}",
        "--dataset=digits",
        f"--data_dir={digits_dir}",
        *SMALL,
        "--learning_rate=1e30",
        "--warmup_epochs=0.5",
        "--checkpoint_epochs=0.05",
    )
    assert result.returncode == 1
    saved = tf.train.latest_checkpoint(str(tmp_path / "checkpoints"))
    step = int(saved.rsplit("-", 1)[1])
    assert f"checkpoint of step {step} is kept" in result.stderr
    assert "--nan_policy=rollback" in result.stderr
    assert step < int(result.stderr.split("error: step ")[1].split(":")[0])
    reader = tf.train.load_checkpoint(saved)
    for name in reader.get_variable_to_shape_map():
        if name.startswith(("model/", "inference/", "optimizer/")):
            assert np.isfinite(reader.get_tensor(name)).all(), name
