"""tools/search_baseline.py: what it refuses, and a search by it."""

import sys
from unittest import mock

import pytest
from command_line import tool
from search_support import read_csv


def test_without_optuna_the_tool_says_what_to_install(tmp_path):
    with mock.patch.dict(sys.modules, {"optuna": None}):
        done = tool("search_baseline", "--dataset=digits", f"--root={tmp_path}")
    assert done.returncode == 1
    assert done.stderr == "error: optuna is missing: pip install -e '.[search]'\n"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--image_size=4", "--image_size=4: allowed is 8 and more"),
        (
            "--minival_shards=0",
            "--minival_shards=0: a search chooses by held-out images; allowed is more",
        ),
    ],
)
def test_the_tool_names_what_is_wrong(tmp_path, argument, message):
    done = tool("search_baseline", "--dataset=digits", f"--root={tmp_path}", argument)
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")


@pytest.mark.slow
def test_the_tool_searches_and_compares(tmp_path):
    arguments = (
        "search_baseline",
        "--dataset=digits",
        f"--root={tmp_path}",
        "--trials=2",
        "--seeds=1",
        "--workers=2",
        "--compare",
        "--json",
        "--train_epochs=1",
        "--eval_epochs=1",
        "--image_size=8",
    )
    result = tool(*arguments).checked().json
    # Both begin with the same two networks, which are trained once.
    assert (result["trials"], result["networks"]) == (4, 2)
    folders = [p for p in (tmp_path / "trainings").iterdir() if p.is_dir()]
    assert len(folders) == 2
    lines = read_csv(tmp_path / "trials.csv")
    best = max(lines, key=lambda line: float(line["reward"]))
    assert best["blocks"] == result["best"]["blocks"]
    assert 0 < result["best"]["held_out_top_1"] <= 1
    assert tool(*arguments).checked().json == result
