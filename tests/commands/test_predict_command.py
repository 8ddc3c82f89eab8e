"""--mode=predict: what it prints and writes for many images."""

import csv
import dataclasses
import json
import subprocess
import sys

import networks
import numpy as np
import pytest
import weight_helpers
from command_line import ROOT, refusal, run, succeed
from PIL import Image

import efficientnet_tf as en
from efficientnet_tf.inference import classifier

NAMES = ("daisy", "dandelion", "roses", "sunflowers", "tulips", "weeds")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A flag that names a file of small weights for six classes with names."""
    model = weight_helpers.build(
        networks.own(networks.ONE), classes=6, input_shape=(32, 32, 3)
    )
    model.passport = dataclasses.replace(model.passport, class_names=NAMES)
    path = tmp_path_factory.mktemp("weights") / "flowers.weights.h5"
    en.save_weights(model, path)
    return f"--weights={path}"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of 101 images, some in folders of their own."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(101):
        path = folder / ("", "deep", "deep/er")[number % 3] / f"{number:03}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 32, 3), "uint8")).save(path)
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_folder_becomes_a_table_a_csv_and_json(weights, photos, tmp_path):
    path = tmp_path / "new" / "found.csv"
    done = succeed("--mode=predict", weights, photos, f"--output={path}", "--json")
    *lines, told = done.stdout.splitlines()
    results = json.loads(told)["results"]
    files = [result["file"] for result in results]
    assert files == sorted(map(str, photos.rglob("*.png"))) and len(files) == 101
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    for line, row, result in zip(lines, rows, results, strict=True):
        first = result["predictions"][0]
        assert set(first) == {"class", "name", "probability"}
        assert all(p["name"] == NAMES[p["class"]] for p in result["predictions"])
        assert len(result["predictions"]) == 5
        assert line.split()[:2] == [result["file"], first["name"]]
        assert f" {first['probability']:.1%}" in line
        assert (row["file"], row["name"]) == (result["file"], first["name"])
        assert int(row["class"]) == first["class"]
        assert float(row["probability"]) == first["probability"]
        assert row["name_5"] == result["predictions"][4]["name"]
        assert row["error"] == ""
    assert "\r" not in done.stdout and "\x1b" not in done.stdout
    assert done.stderr.startswith("101/101 images, ")


def test_folders_patterns_and_files_are_predicted_in_the_order_given(weights, photos):
    names = (photos / "deep/er", photos / "*1.png", photos / "000.png")
    done = succeed("--mode=predict", weights, *names, "--json")
    expected = [
        *sorted((photos / "deep/er").glob("*.png")),
        *sorted(photos.glob("*1.png")),
        photos / "000.png",
    ]
    found = [result["file"] for result in done.json["results"]]
    assert found == list(map(str, expected))
    assert done.stderr == ""


def test_images_that_do_not_decode_are_named_and_counted(weights, photos, tmp_path):
    broken = [tmp_path / "a.jpg", tmp_path / "c.png"]
    for path in broken:
        path.write_bytes(b"\x89PNG and nothing else")
    good = tmp_path / "b.png"
    good.write_bytes((photos / "000.png").read_bytes())
    output = tmp_path / "found.csv"
    done = run("--mode=predict", weights, tmp_path, f"--output={output}", "--json")
    assert done.returncode == 1
    *named, last = done.stderr.splitlines()
    assert last == "error: 2 of 3 images cannot be read"
    assert [result["file"] for result in done.json["results"]] == [str(good)]
    failed = done.json["failed"]
    assert [one["file"] for one in failed] == list(map(str, broken))
    assert [one["error"] for one in failed] == named
    for path, line in zip(broken, named, strict=True):
        assert line.startswith(f"image file {path} cannot be decoded (")
    with open(output, newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert list(rows) == [str(broken[0]), str(good), str(broken[1])]
    assert [rows[str(path)]["error"] for path in broken] == named
    assert rows[str(broken[0])]["name"] == "" != rows[str(good)]["name"]


def test_nothing_but_images_that_do_not_decode(weights, tmp_path):
    (tmp_path / "a.jpg").touch()
    done = run("--mode=predict", weights, tmp_path / "a.jpg", "--json")
    assert done.returncode == 1
    assert done.json["results"] == [] and len(done.json["failed"]) == 1
    assert done.stderr.splitlines()[-1] == "error: 1 of 1 images cannot be read"


def test_what_cannot_work_is_refused_before_the_model_is_built(
    weights, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr(classifier, "open_classifier", None)
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    photo = photos / "000.png"
    for arguments, message in (
        ([f"{tmp_path}/none.png"], f"image file {tmp_path}/none.png does not exist"),
        ([photo, f"{photos}/*.jpg"], f"image file {photos}/*.jpg: no file has a name"),
        ([tmp_path / "empty"], f"image folder {tmp_path}/empty: holds no images"),
        ([photo, f"--output={tmp_path}/file/o.csv"], f"--output={tmp_path}/file/o.csv"),
        ([photo, "--output=/proc/o.csv"], "--output=/proc/o.csv: /proc is not a"),
        ([photo, f"--output={tmp_path}/{'n' * 256}.csv"], f"--output={tmp_path}/nn"),
        ([photo, "--output=found.txt"], "--output=found.txt: allowed is a file named"),
        ([photo, "--output=s3://b/o.csv"], "--output=s3://b/o.csv: allowed are paths"),
    ):
        assert refusal("--mode=predict", weights, *arguments).startswith(
            f"error: {message}"
        )
    (tmp_path / "d.csv").mkdir()
    line = refusal("--mode=predict", weights, photo, f"--output={tmp_path}/d.csv")
    assert line == f"error: --output={tmp_path}/d.csv: is a folder; name a file"


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_ends_it_without_a_word(weights, photos):
    process = subprocess.Popen(
        [sys.executable, "main.py", "--mode=predict", weights, photos, photos],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().startswith(str(photos / "000.png"))
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 1
