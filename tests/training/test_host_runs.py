"""main.py on several hosts: one run, one writer, and no host waits for a lost one."""

import csv
import functools
import json
import pathlib
import re
import shutil
import signal
import time

import host_processes
import networks
import pytest
import whole_run
from whole_run import latest_step

TOTAL_STEPS = 84
QUICK = ("--mode=train", "--minival_shards=0", "--train_epochs=0.2")


def command(digits_dir, model_dir, *more):
    return [
        "main.py",
        "--dataset=digits",
        f"--data_dir={digits_dir}",
        f"--model_dir={model_dir}",
        f"--blocks={networks.ONE}",
        *more,
    ]


def full_command(digits_dir, model_dir):
    """All that could be forgotten is on."""
    return ["main.py", *whole_run.arguments(digits_dir, model_dir), "--json"]


def metrics(model_dir) -> list[dict]:
    lines = pathlib.Path(model_dir, "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def names(model_dir) -> list[str]:
    """The files of a run, of TensorBoard's the folder for each."""
    folder = pathlib.Path(model_dir)
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(
        f"{path.parent}/events" if "tfevents" in path.name else str(path)
        for path in found
    )


def said(stderr: str) -> list[str]:
    """What main.py itself prints: gRPC's server announces itself too."""
    return [
        line
        for line in stderr.splitlines()
        if line.startswith("error:") or not re.search("absl::Init|grpc", line)
    ]


@pytest.mark.slow
def test_the_chief_alone_writes_and_speaks(digits_dir, tmp_path):
    commands = [command(digits_dir, tmp_path, *QUICK, "--json")] * 2
    with host_processes.started(commands) as processes:
        chief, other = host_processes.finish(processes)
    result = {"finished": True, "step": 4, "model_dir": str(tmp_path)}
    assert json.loads(chief[0]) == result
    assert "1437 images, 4 steps of 64 on 2 hosts" in chief[1]
    (waiting,) = said(other[1])
    assert waiting.startswith("worker 1 waits for worker 0 at 127.0.0.1:")
    assert other[0] == ""
    assert [(line["kind"], line["step"]) for line in metrics(tmp_path)] == [
        ("train", 4)
    ]
    assert names(tmp_path) == [
        "checkpoints/checkpoint",
        "checkpoints/ckpt-4.data-00000-of-00001",
        "checkpoints/ckpt-4.index",
        "config.json",
        "data.json",
        "labels.txt",
        "metrics.jsonl",
        "passport.json",
        "train/events",
    ]


@pytest.fixture(scope="module")
def undisturbed(digits_dir, tmp_path_factory):
    """The folder of a whole run on two hosts, and the chief's result."""
    model_dir = tmp_path_factory.mktemp("undisturbed")
    with host_processes.started([full_command(digits_dir, model_dir)] * 2) as processes:
        chief, _ = host_processes.finish(processes, timeout=600)
    return model_dir, json.loads(chief[0].splitlines()[-1])


@pytest.mark.slow
def test_two_hosts_leave_what_one_leaves(digits_dir, tmp_path, undisturbed):
    model_dir, result = undisturbed
    with host_processes.started([full_command(digits_dir, tmp_path)]) as processes:
        host_processes.finish(processes)
    # Hosts draw masks of their own, so another evaluation may be the best.
    any_best = [
        [re.sub(r"best/ckpt-\d+", "best/ckpt-N", name) for name in names(folder)]
        for folder in (model_dir, tmp_path)
    ]
    assert any_best[0] == any_best[1]
    told, expected = (
        [(line["kind"], line["step"]) for line in metrics(folder)]
        for folder in (model_dir, tmp_path)
    )
    # The last line is of the best weights on the validation images.
    assert told[:-1] == expected[:-1] and len(set(told)) == len(told) - 1
    assert told[-1][0] == expected[-1][0] == "eval"
    assert result["finished"] and result["examples"] == 360
    assert {line.get("examples") for line in metrics(model_dir)} == {None, 90, 360}


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_any_number_of_hosts_evaluates_a_run_the_same(undisturbed, tmp_path, count):
    model_dir = shutil.copytree(undisturbed[0], tmp_path / "run")
    reported = predictions(model_dir)
    evaluation = ["main.py", "--mode=eval", f"--model_dir={model_dir}", "--json"]
    evaluation += ["--report", "--eval_batch_size=46"]
    with host_processes.started([evaluation] * count) as processes:
        chief = host_processes.finish(processes)[0]
    scores = json.loads(chief[0].splitlines()[-1])
    for name in ("top_1", "top_5", "examples"):
        assert scores[name] == undisturbed[1][name]
    assert scores["loss"] == pytest.approx(undisturbed[1]["loss"], rel=1e-5)
    assert len(metrics(model_dir)) == len(metrics(undisturbed[0])) + 1
    # Each record has its own prediction, whichever host made it.
    again = predictions(model_dir)
    assert again.keys() == reported.keys() and len(again) == 360
    agreed = [again[file] == reported[file] for file in again]
    assert sum(agreed) >= 355  # rounding may decide between two classes
    correct = [row["correct"] == "1" for row in again.values()]
    assert sum(correct) / 360 == scores["top_1"]


def predictions(model_dir) -> dict[str, dict]:
    """Of each record the true and the predicted class, by predictions.csv."""
    with open(f"{model_dir}/predictions.csv", encoding="utf-8", newline="") as file:
        wanted = ("true", "predicted", "correct")
        return {r["file"]: {n: r[n] for n in wanted} for r in csv.DictReader(file)}


def wait_for_step(model_dir, processes, step: int) -> None:
    while latest_step(model_dir) < step:
        assert all(p.poll() is None for p in processes), processes[0].communicate()
        time.sleep(0.02)


def disturb(digits_dir, model_dir, sign, *, victim: int, at: int, count: int = 2):
    """Sends one of the hosts a signal at a step; returns what the others end with."""
    commands = [full_command(digits_dir, model_dir)] * count
    with host_processes.started(commands) as processes:
        wait_for_step(model_dir, processes, at)
        processes[victim].send_signal(sign)
        others = [p for i, p in enumerate(processes) if i != victim]
        # Measured are 3 to 13 s; how long a busy machine takes is not to be known.
        return [(*p.communicate(timeout=120), p.returncode) for p in others]


def assert_names_lost(ends, *victims: int) -> None:
    for _, stderr, code in ends:
        assert code == 1
        assert "Traceback" not in stderr
        errors = [line for line in said(stderr) if line.startswith("error:")]
        assert len(errors) == 1, stderr
        (error,) = errors
        assert error == said(stderr)[-1]
        assert any(f"worker {victim} is lost (" in error for victim in victims)


@pytest.mark.slow
def test_hosts_disturbed_in_every_way_end_as_undisturbed(
    digits_dir, tmp_path, undisturbed
):
    disturbed = functools.partial(disturb, digits_dir, tmp_path)
    assert_names_lost(disturbed(signal.SIGKILL, victim=1, at=12), 1)
    assert_names_lost(disturbed(signal.SIGKILL, victim=0, at=24), 0)
    assert_names_lost(disturbed(signal.SIGSTOP, victim=1, at=36), 1)
    # A signal to one host stops all at the same step, which the chief saves.
    ((stdout, stderr, code),) = disturbed(signal.SIGTERM, victim=1, at=48)
    result = json.loads(stdout)
    assert code == 0 and not result["finished"]
    assert f"SIGTERM: saved at step {result['step']}" in stderr
    assert latest_step(tmp_path) == result["step"] < TOTAL_STEPS
    commands = [full_command(digits_dir, tmp_path)] * 2
    with host_processes.started(commands) as processes:
        chief, _ = host_processes.finish(processes)
    assert f"on 2 hosts, continuing from step {result['step']}" in chief[1]
    whole_run.assert_same_end(tmp_path, undisturbed[0])
    assert whole_run.metrics(tmp_path, "eval") == whole_run.metrics(
        undisturbed[0], "eval"
    )
    assert set(names(tmp_path)) == set(names(undisturbed[0]))


@pytest.mark.slow
def test_four_hosts_end_when_one_is_killed(digits_dir, tmp_path):
    ends = disturb(digits_dir, tmp_path, signal.SIGKILL, victim=2, at=6, count=4)
    # The host that notices first ends, so the next one may miss that host instead.
    assert_names_lost(ends, 0, 1, 2, 3)
    assert "worker 2 is lost (" in "".join(stderr for _, stderr, _ in ends)


@pytest.mark.slow
def test_hosts_with_different_settings_are_refused(digits_dir, tmp_path):
    commands = [
        command(digits_dir, tmp_path, *QUICK, f"--seed={seed}") for seed in (1, 2)
    ]
    words = "--seed differs between worker 1 and worker 0 (on this host: {})"
    assert_refused(commands, words)
    assert not (tmp_path / "config.json").exists()


@pytest.mark.slow
def test_hosts_that_share_no_model_dir_are_refused(digits_dir, tmp_path, undisturbed):
    commands = [
        full_command(digits_dir, folder) for folder in (undisturbed[0], tmp_path)
    ]
    place = "the checkpoint in --model_dir differs between worker 1 and worker 0"
    assert_refused(commands, place)


def assert_refused(commands, words: str) -> None:
    """Every host ends with one line, which states the host's own value."""
    with host_processes.started(commands) as processes:
        ends = [(*p.communicate(timeout=300), p.returncode) for p in processes]
    for place, (_, stderr, code) in enumerate(ends):
        assert code == 1
        assert said(stderr)[-1].startswith(f"error: {words.format(place + 1)}")
