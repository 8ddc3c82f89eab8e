"""Runs of main.py that are refused, end early, or take minutes."""

import json
import os
from unittest import mock

import networks
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


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
    tmp_path, digits_dir
):
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
    assert "error: loss is " in result.stderr and "--learning_rate" in result.stderr
    failed_at = int(result.stderr.split(" at step ")[1].split(";")[0])
    saved = tf.train.latest_checkpoint(str(tmp_path / "checkpoints"))
    assert int(saved.rsplit("-", 1)[1]) < failed_at
