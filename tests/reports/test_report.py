"""Reports of real evaluations, as main.py writes them."""

import base64
import csv
import io
import json
import os
import re
import shlex

import networks
import numpy as np
import pytest
import report_support
import weight_helpers
from absl.testing import flagsaver
from command_line import refusal, succeed
from PIL import Image

import efficientnet_tf as en
import flags
import main
from efficientnet_tf.data import preparation
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.reports import repeat
from efficientnet_tf.runs import metrics
from efficientnet_tf.runs.run_dir import RunDir

CLASSES = ('<script>"x"', "a&b", os.fsdecode(b"n\xf8 utf"))  # sorted
IMAGES = (9, 8, 10)
FILES = ("classes.csv", "predictions.csv", "report.html")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of images by class, whose names are hostile."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number, (name, images) in enumerate(zip(CLASSES, IMAGES, strict=True)):
        for split, count in (("train", 4), ("val", images)):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 160, (70, 80, 3), "uint8")
                pixels[..., number] += 90
                Image.fromarray(pixels).save(root / split / name / f"{i}'\n{i}.png")
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    model = weight_helpers.build(
        networks.own(networks.ONE), classes=3, input_shape=(64, 64, 3)
    )
    en.save_weights(model, folder / "own.weights.h5")
    return folder / "own.weights.h5"


@pytest.fixture(scope="module")
def evaluated(weights, photos, tmp_path_factory):
    """The folder of a report on weights from outside, and the result of eval."""
    folder = tmp_path_factory.mktemp("report")
    result = succeed(
        "--mode=eval",
        "--report",
        f"--weights={weights}",
        f"--data_dir={photos}",
        f"--report_dir={folder}",
        "--eval_batch_size=10",
        "--json",
    )
    return folder, result


def read_csv(path) -> list[dict]:
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def read_page(folder) -> report_support.Page:
    return report_support.Page((folder / "report.html").read_text("utf-8"))


def test_the_headline_is_the_evaluations_own(evaluated):
    folder, result = evaluated
    assert sorted(os.listdir(folder)) == sorted(FILES)
    assert result.json["report"] == f"{folder}/report.html"
    assert f"report        {folder}/report.html" in result.stdout
    rows = read_csv(folder / "predictions.csv")
    correct = sum(int(row["correct"]) for row in rows)
    assert len(rows) == result.json["examples"] == sum(IMAGES)
    assert correct / len(rows) == result.json["top_1"]
    page = read_page(folder)
    assert f"{result.json['top_1']:.1%}" in page.words("p")
    assert f"{correct} of {len(rows)} validation images are" in page.text


def test_every_image_is_predicted_as_the_classifier_does(evaluated, weights, photos):
    folder, _ = evaluated
    classifier = Classifier.of_weights(str(weights))
    rows = read_csv(folder / "predictions.csv")
    names = [name.replace("\udcf8", "?") for name in CLASSES]
    paths = sorted((photos / "val").rglob("*.png"))
    assert sorted(row["file"] for row in rows) == sorted(map(str, paths))
    probabilities = classifier.predict([_read(classifier, r["file"]) for r in rows])
    for row, shares in zip(rows, probabilities, strict=True):
        true = row["file"].split("/")[-2].replace("\udcf8", "?")
        ranks = (-shares).argsort(kind="stable")
        assert row["true"] == true
        assert row["predicted"] == names[ranks[0]]
        assert row["correct"] == str(int(row["predicted"] == true))
        told = [row["probability"], row["probability_2"], row["probability_3"]]
        assert list(map(float, told)) == pytest.approx(shares[ranks], abs=1e-5)
        assert [row["name_2"], row["name_3"]] == [names[i] for i in ranks[1:]]


def _read(classifier, path):
    with open(path, "rb") as file:
        return classifier.preparation.decode(file.read())


def near(share):
    return pytest.approx(share, abs=1e-6)


def test_classes_are_counted_from_the_predictions(evaluated):
    folder, _ = evaluated
    predictions = read_csv(folder / "predictions.csv")
    for number, row in enumerate(read_csv(folder / "classes.csv")):
        of_class = [r for r in predictions if r["true"] == row["name"]]
        taken = [r for r in predictions if r["predicted"] == row["name"]]
        correct = sum(int(r["correct"]) for r in of_class)
        assert int(row["class"]) == number
        counts = [int(row[n]) for n in ("images", "predicted", "correct")]
        assert counts == [IMAGES[number], len(taken), correct]
        if taken:
            assert float(row["precision"]) == near(correct / len(taken))
        else:
            assert row["precision"] == ""
        assert float(row["recall"]) == near(correct / len(of_class))


def test_galleries_show_the_right_images_with_maps(evaluated, photos):
    folder, _ = evaluated
    rows = read_csv(folder / "predictions.csv")
    page = read_page(folder)
    wrong = [row for row in rows if row["correct"] == "0"]
    shown = [a["src"] for tag, a in page.elements if tag == "img"]
    pairs = min(24, len(wrong)) + min(24, len(rows))
    assert len(shown) == 2 * pairs
    most = max(wrong, key=lambda row: float(row["probability"]))
    decoded = [np.asarray(_open(uri)).astype(int) for uri in shown[:2]]
    prepared = preparation.Preparation(64, 64 / 96, "bicubic")
    with open(most["file"], "rb") as file:
        expected = prepared.decode(file.read()).numpy().astype(int)
    assert decoded[0].shape == decoded[1].shape == (64, 64, 3)
    # JPEG keeps noise roughly; a map changes it.
    assert np.abs(decoded[0] - expected).mean() < 40
    assert np.abs(decoded[0].mean((0, 1)) - expected.mean((0, 1))).max() < 4
    assert np.abs(decoded[1].mean((0, 1)) - expected.mean((0, 1))).max() > 8


def _open(uri) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_the_page_is_whole_and_hostile_names_are_text(evaluated):
    text = (evaluated[0] / "report.html").read_text("utf-8")
    page = read_page(evaluated[0])
    assert "<script" not in text and "n? utf" in page.text
    assert '<script>"x"' in page.text and "script" not in page.tags()


def test_the_page_repeats_but_for_date_and_speeds(evaluated):
    folder, result = evaluated
    before = {name: (folder / name).read_bytes() for name in FILES}
    command = shlex.split(_command(read_page(folder)))
    assert command[:2] == ["python", "main.py"]
    again = succeed(*command[2:], "--json")
    for name in ("top_1", "loss", "examples", "report"):
        assert again.json[name] == result.json[name]
    for name in ("classes.csv", "predictions.csv"):
        assert (folder / name).read_bytes() == before[name]
    measured = rb"\d+ \w+ \d{4}, \d\d:\d\d UTC|[\d,.]+ (images/s|s) ?"
    texts = (before["report.html"], (folder / "report.html").read_bytes())
    first, second = (re.sub(measured, b"", text) for text in texts)
    assert first == second


def _command(page) -> str:
    """The command that the page gives for the evaluation."""
    (command,) = [text for text in page.words("code") if "--mode=eval" in text]
    return command


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """A run of two epochs on the photos, and what main.py printed."""
    model_dir = tmp_path_factory.mktemp("run")
    result = succeed(
        f"--model_dir={model_dir}",
        f"--data_dir={photos}",
        f"--blocks={networks.STRIDED}",
        "--image_size=8",
        "--train_batch_size=4",
        "--eval_batch_size=8",
        "--train_epochs=2",
        "--eval_epochs=1",
        "--minival_shards=3",
        "--augment=none",
        "--json",
    )
    return model_dir, result


@pytest.mark.slow
def test_training_ends_with_a_report(trained):
    model_dir, result = trained
    assert result.json["report"] == f"{model_dir}/report.html"
    assert set(FILES) < set(os.listdir(model_dir))
    page = read_page(model_dir)
    assert f"{result.json['top_1']:.1%}" in page.words("p")
    assert {"Accuracy (top-1)", "Loss", "Learning rate"} < set(page.words("h3"))
    # After three strides over 8 pixels the last feature map has one place.
    assert "there are no class activation maps" in page.text
    assert not [a for _, a in page.elements if a.get("alt", "").startswith("map")]


@pytest.mark.slow
def test_the_training_command_makes_the_same_configuration(trained):
    model_dir, _ = trained
    (command,) = [
        text for text in read_page(model_dir).words("code") if "--mode=" not in text
    ]
    saved = RunDir(str(model_dir)).read_config()
    with flagsaver.flagsaver():
        main.parse(shlex.split(command)[1:])
        assert flags.to_config() == saved
        assert flags.model_dir() == str(model_dir)
    # It names what decides, and leaves out what the recipe says.
    assert "--train_epochs=2.0" in command and "--momentum" not in command


@pytest.mark.slow
def test_a_report_is_written_again_by_eval_and_left_out_if_asked(trained, tmp_path):
    model_dir, first = trained
    before = (model_dir / "predictions.csv").read_bytes()
    for name in FILES:
        (model_dir / name).unlink()
    plain = succeed("--mode=eval", f"--model_dir={model_dir}", "--json").json
    assert "report" not in plain and not (model_dir / "report.html").exists()
    again = succeed(
        "--mode=eval", f"--model_dir={model_dir}", "--report", "--json"
    ).json
    assert again["top_1"] == plain["top_1"] == first.json["top_1"]
    assert (model_dir / "predictions.csv").read_bytes() == before
    assert again["report"] == f"{model_dir}/report.html"


def test_metrics_that_a_kill_cut_short_are_left_out(tmp_path):
    lines = [json.dumps(line) for line in report_support.history()]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"kind": "tra', "3"]))
    assert metrics.read(str(tmp_path)) == report_support.history()
    assert metrics.read(str(tmp_path / "none")) == []


def test_a_folder_that_cannot_be_written_is_named_first(weights, photos, tmp_path):
    (tmp_path / "file").touch()
    line = refusal(
        "--mode=eval",
        "--report",
        f"--weights={weights}",
        f"--data_dir={photos}",
        f"--report_dir={tmp_path}/file/x",
    )
    assert line.startswith(f"error: --report_dir={tmp_path}/file/x: {tmp_path}/file is")


def test_commands_quote_what_a_shell_would_take_apart():
    told = repeat.commands(
        "out", weights="a b.h5", ema=False, chosen={"data_dir": "$x"}
    )
    words = shlex.split(told["evaluate"])
    assert "train" not in told
    assert words[2:] == [
        *("--mode=eval", "--data_dir=$x", "--weights=a b.h5"),
        *("--weights_ema=false", "--report", "--report_dir=out"),
    ]
