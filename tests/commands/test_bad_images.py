"""Bad images in whole runs: found before training, named, or left out and listed."""

import csv
import pathlib

import folder_support
import networks
import pytest
from command_line import run

SMALL = (
    f"--blocks={networks.ONE}",
    "--image_size=8",
    "--train_batch_size=8",
    "--eval_batch_size=8",
    "--steps_per_loop=3",
    "--train_epochs=2",
    "--checkpoint_epochs=1",
    "--augment=none",
)


def _last(result) -> str:
    """The one line of error that a run ended with."""
    assert result.returncode == 1, result.stdout
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if "error: " in line]
    assert errors == result.stderr.splitlines()[-1:]
    return errors[0]


def _cut(path: pathlib.Path) -> str:
    path.write_bytes(path.read_bytes()[:60])
    return str(path)


@pytest.fixture
def photos(tmp_path) -> pathlib.Path:
    folder = tmp_path / "photos"
    folder_support.fill(folder / "train", (8, 8, 8))
    folder_support.fill(folder / "val", (3, 3, 3), first=100)
    return folder


@pytest.mark.slow
def test_bad_images_end_a_run_or_are_listed(tmp_path, photos):
    data = (f"--data_dir={photos}", *SMALL)
    of_validation = _cut(sorted((photos / "val" / "bee").iterdir())[1])
    of_training = _cut(sorted((photos / "train" / "cat").iterdir())[5])

    line = _last(run(*data, f"--model_dir={tmp_path}/first"))
    assert of_validation in line
    assert not (tmp_path / "first").exists()  # found before training

    line = _last(run("--mode=train", *data, f"--model_dir={tmp_path}/named"))
    assert of_training in line and "on_bad_record=skip" in line

    run_dir = (f"--model_dir={tmp_path}/skips", "--on_bad_record=skip")
    result = run("--mode=train", *data, *run_dir)
    assert result.returncode == 0, result.stderr
    result = run("--mode=eval", *run_dir, "--json")
    assert result.json["examples"] == 8
    with open(tmp_path / "skips" / "bad_records.csv", newline="") as file:
        listed = {row["file"]: row for row in csv.DictReader(file)}
    assert listed.keys() == {of_validation, of_training}
    assert {row["split"] for row in listed.values()} == {"train", "validation"}
    assert all(row["reason"] and not row["record"] for row in listed.values())
