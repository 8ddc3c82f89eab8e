"""A run on images with several labels: all that main.py does with one."""

import csv
import json
from unittest import mock

import label_support
import numpy as np
import pytest
import replicas
import tensorflow as tf
from command_line import refusal, succeed
from label_support import CLASSES, VALIDATION, average_precision, labels_of
from report_support import Page

import efficientnet_tf as en
from efficientnet_tf.hardware import devices
from efficientnet_tf.inference.classifier import Classifier

FIRST = label_support.TRAIN  # the number of the first validation image
BLOCKS = "r1_k3_s22_e1_i8_o8_se0.25"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return label_support.fill(tmp_path_factory.mktemp("data") / "colours")


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """The folder of a small run, and what main.py printed."""
    model_dir = tmp_path_factory.mktemp("run")
    arguments = arguments_of(data_dir, model_dir)
    return model_dir, succeed(*arguments, "--train_epochs=16", "--json")


def arguments_of(data_dir, model_dir):
    return (
        f"--data_dir={data_dir}",
        f"--model_dir={model_dir}",
        f"--blocks={BLOCKS}",
        "--image_size=32",
        "--eval_crop=fixed",
        "--augment=none",
        "--crop_area_min=0.9",
        "--mixup_alpha=0.1",
        "--label_smoothing=0.02",
        "--class_weights=balanced",
        "--minival_shards=8",
        "--train_batch_size=16",
        "--eval_batch_size=8",
        "--learning_rate=0.1",
        "--warmup_epochs=1",
        "--moving_average_decay=0.9",
        "--eval_epochs=4",
        "--checkpoint_epochs=16",
        "--steps_per_loop=8",
    )


@pytest.fixture(scope="module")
def truth():
    """The labels of the validation images, bool [images, classes]."""
    numbers = range(FIRST, FIRST + VALIDATION)
    return np.array([[name in labels_of(n) for name in CLASSES] for n in numbers])


@pytest.fixture(scope="module")
def paths(data_dir):
    numbers = range(FIRST, FIRST + VALIDATION)
    return [str(data_dir / "photos" / f"{number:03d}.png") for number in numbers]


@pytest.fixture(scope="module")
def logits(trained, paths):
    """The run's logits of the validation images, in float64."""
    classifier = Classifier.of_run(str(trained[0]))
    images = np.stack([classifier.read_image(path) for path in paths])
    return classifier.model(images, training=False).numpy().astype("float64")


@pytest.fixture(scope="module")
def shares(logits):
    return 1 / (1 + np.exp(-logits))


def test_a_run_learns_colours_and_says_what_it_learned(trained):
    model_dir, result = trained
    scores = result.json
    assert scores["mean_average_precision"] > 0.9
    assert scores["examples"] == VALIDATION and scores["finished"]
    assert "top_1" not in scores
    assert scores["class_names"] == list(CLASSES)
    told = f"mean average precision {scores['mean_average_precision']:.2%}, F1 "
    assert f"validation    {told}" in result.stdout
    config = json.loads((model_dir / "config.json").read_text())
    assert config["multi_label"] is True and config["dataset"] == "csv"
    assert json.loads((model_dir / "passport.json").read_text())["multi_label"] is True


def test_scores_are_those_of_numpy(trained, truth, logits, shares):
    scores, said = trained[1].json, shares >= 0.5
    seen = np.flatnonzero(truth.any(0))
    assert seen.tolist() == [0, 1, 2]  # violet has no average precision
    precisions = [average_precision(truth[:, c], logits[:, c]) for c in seen]
    assert scores["mean_average_precision"] == pytest.approx(np.mean(precisions))
    both = (truth & said).sum()
    assert scores["f1"] == pytest.approx(2 * both / (truth.sum() + said.sum()))
    assert scores["exact_match"] == pytest.approx((truth == said).all(1).mean())
    loss = -np.where(truth, np.log(shares), np.log1p(-shares)).mean()
    assert scores["loss"] == pytest.approx(loss, rel=1e-4)


def test_the_leading_score_picks_the_best_weights(trained):
    model_dir, result = trained
    lines = (model_dir / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    held_out = [r for r in records if r.get("split") == "minival"]
    assert [r["examples"] for r in held_out] == [8] * 4
    best = max(held_out, key=lambda r: (r["mean_average_precision"], -r["loss"]))
    assert result.json["checkpoint"].endswith(f"-{best['step']}")
    assert f"minival mean average precision {best['mean_average_precision']:.2%}" in (
        result.stderr
    )
    training = [r["f1"] for r in records if r["kind"] == "train"]
    assert 0 <= min(training) < 0.9 < max(training) <= 1


def test_two_devices_score_the_same(trained):
    model_dir, first = trained
    # The process's one strategy of two devices, see `replicas.two`.
    with mock.patch.object(devices, "make_strategy", return_value=replicas.two()):
        again = succeed(
            *("--mode=eval", f"--model_dir={model_dir}", "--eval_batch_size=6"),
            "--json",
        ).json
    for name in ("mean_average_precision", "f1", "exact_match", "loss", "examples"):
        assert again[name] == pytest.approx(first.json[name], rel=1e-5)


def test_a_saved_model_answers_sigmoids(trained, paths, shares):
    served = tf.saved_model.load(str(trained[0] / "saved_model")).signatures
    encoded = [tf.io.read_file(path) for path in paths]
    found = served["serving_default"](encoded=tf.stack(encoded))
    np.testing.assert_allclose(found["probabilities"], shares, atol=1e-5)
    best = [name.decode() for name in found["class_names"].numpy()]
    assert best == [CLASSES[c] for c in shares.argmax(1)]


def test_predict_tells_the_likely_labels(trained, paths, shares, tmp_path):
    csv_file = tmp_path / "found.csv"
    result = succeed(
        *("--mode=predict", f"--model_dir={trained[0]}", f"--output={csv_file}"),
        *("--json", *paths),
    )
    lines = result.stdout.splitlines()[: len(paths)]
    for line, found, each in zip(lines, result.json["results"], shares, strict=True):
        ranked = np.argsort(-each, kind="stable")
        names = [one["name"] for one in found["predictions"]]
        assert names == [CLASSES[c] for c in ranked]
        told = [one["probability"] for one in found["predictions"]]
        assert told == pytest.approx(each[ranked], abs=1e-5)
        likely = max(1, int((each >= 0.5).sum()))
        assert {name for name in CLASSES if name in line} == set(names[:likely])
    with csv_file.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == paths
    assert {"name_4", "probability_4"} < rows[0].keys()


def test_a_map_has_the_labels_own_probability(trained, paths, shares, tmp_path):
    result = succeed(
        *("--mode=cam", f"--model_dir={trained[0]}", f"--cam_dir={tmp_path}"),
        *("--cam_class=green", "--json", paths[0]),
    ).json["results"][0]
    assert (result["class"], result["name"]) == (1, "green")
    assert result["probability"] == pytest.approx(shares[0, 1], abs=1e-5)


def test_weights_from_outside_keep_what_they_are(trained, data_dir, tmp_path):
    model_dir, first = trained
    weights = tmp_path / "own.weights.h5"
    en.save_weights(Classifier.of_run(str(model_dir)).model, weights)
    again = succeed(
        *("--mode=eval", f"--weights={weights}", f"--data_dir={data_dir}"),
        *("--eval_batch_size=8", "--json"),
    ).json
    assert again["f1"] == first.json["f1"]
    built = en.EfficientNet(
        Classifier.of_run(str(model_dir)).model.passport.variant,
        weights=str(weights),
        classes=4,
        input_shape=(32, 32, 3),
    )
    assert built.get_layer("predictions").activation.__name__ == "sigmoid"


def read_csv(path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_report_lists_every_image(trained, paths, truth, shares):
    rows = {row["file"]: row for row in read_csv(trained[0] / "predictions.csv")}
    assert sorted(rows) == sorted(paths)
    for path, labels, each in zip(paths, truth, shares, strict=True):
        row, said = rows[path], each >= 0.5
        assert row["true"] == "|".join(np.array(CLASSES)[labels])
        ranked = [c for c in np.argsort(-each) if said[c]]
        assert row["predicted"] == "|".join(CLASSES[c] for c in ranked)
        assert row["correct"] == str(int((labels == said).all()))
        told = [float(p) for p in row["probability"].split("|") if p]
        assert told == pytest.approx(each[ranked], abs=1e-5)


def test_the_report_lists_every_label(trained, truth, logits, shares):
    rows, said = read_csv(trained[0] / "classes.csv"), shares >= 0.5
    assert [row["name"] for row in rows] == list(CLASSES)
    for c, row in enumerate(rows):
        both = int((truth[:, c] & said[:, c]).sum())
        counts = [int(row[n]) for n in ("images", "predicted", "correct")]
        assert counts == [truth[:, c].sum(), said[:, c].sum(), both]
        if truth[:, c].any():
            expected = average_precision(truth[:, c], logits[:, c])
            assert float(row["average_precision"]) == pytest.approx(expected, abs=1e-6)
            assert float(row["recall"]) == pytest.approx(both / counts[0], abs=1e-6)
        else:
            assert row["average_precision"] == row["recall"] == ""


def test_the_page_tells_of_labels(trained, truth, shares):
    model_dir, result = trained
    page = Page((model_dir / "report.html").read_text())
    scores = result.json
    assert f"{scores['mean_average_precision']:.1%}" in page.words("p")
    assert "mean average precision" in page.words("small")
    assert {"Mean average precision", "F1", "Loss"} < set(page.words("h3"))
    links = {a.get("href") for _, a in page.elements}
    assert {"#mistaken-labels", "#labels", "#calibration"} < links
    assert "#confusions" not in links
    wrong = int((truth != (shares >= 0.5)).sum())
    pictures = [a for tag, a in page.elements if tag == "img"]
    maps = [a for a in pictures if a["alt"].startswith("map of ")]
    assert len(maps) == min(24, wrong) + 24 == len(pictures) / 2


@pytest.mark.slow
def test_a_classifier_is_fitted_to_features_and_trained_alone(
    trained, data_dir, tmp_path
):
    weights = tmp_path / "start.weights.h5"
    en.save_weights(Classifier.of_run(str(trained[0])).model, weights)
    scores = succeed(
        *("--recipe=finetune", f"--weights={weights}", f"--blocks={BLOCKS}"),
        *(f"--data_dir={data_dir}", f"--model_dir={tmp_path}/run"),
        *("--image_size=32", "--eval_crop=fixed", "--freeze=backbone"),
        *("--train_batch_size=16", "--train_epochs=2", "--minival_shards=4"),
        *("--mode=train_and_eval", "--noreport", "--json"),
    ).json
    assert scores["mean_average_precision"] > 0.9


def test_one_label_an_image_cannot_be_evaluated_as_several(trained, data_dir, tmp_path):
    line = refusal(
        *(f"--data_dir={data_dir}", "--nomulti_label", f"--model_dir={tmp_path}/run"),
    )
    assert line == (
        f"error: --multi_label=False: {data_dir}/val.csv has the column labels, any "
        "number of them for an image; allowed is a column label, one for each image"
    )
