"""The command line as a user meets it: train, evaluate, export, predict."""

import json
import shutil
from unittest import mock

import networks
import numpy as np
import pytest
import report_support
import tensorflow as tf
from command_line import refusal, run, succeed
from end_to_end_support import new_process

from efficientnet_tf.data import preparation, tfrecord
from efficientnet_tf.hardware import devices
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.runs import run_lock
from efficientnet_tf.training import evaluation


@pytest.fixture(scope="module")
def trained(digits_dir, tmp_path_factory):
    """The folder of a small model after 3 epochs, and what main.py printed."""
    model_dir = tmp_path_factory.mktemp("run")
    return model_dir, new_process(*training_arguments(digits_dir, model_dir)).checked()


def training_arguments(digits_dir, model_dir):
    return (
        "--dataset=digits",
        f"--data_dir={digits_dir}",
        f"--model_dir={model_dir}",
        f"--blocks={networks.TINY}",
        "--train_batch_size=16",
        "--learning_rate=0.016",
        "--moving_average_decay=0.98",
        "--train_epochs=3",
        "--eval_epochs=1",
        "--warmup_epochs=0.25",
        "--json",
    )


@pytest.fixture(scope="module")
def validation(digits_dir):
    """All validation records: encoded images and labels from 0."""
    split = tfrecord.open_splits(digits_dir).validation
    records = [
        tfrecord.parse(record) for record in tf.data.TFRecordDataset(list(split.files))
    ]
    encoded = np.array([image.numpy() for image, _ in records])
    return encoded, np.array([int(label) - 1 for _, label in records])


def test_training_learns_and_says_where_everything_is(trained):
    model_dir, result = trained
    scores = result.json
    assert scores["finished"] and scores["step"] == int(3 * 1347 / 16)
    assert scores["examples"] == 360
    assert scores["weights"] == "ema"
    assert scores["top_1"] > 0.3
    for told in (model_dir, model_dir / "saved_model", "What to try next"):
        assert str(told) in result.stdout
    assert "images/s" in result.stderr and "left" in result.stderr
    for left in ("config.json", "checkpoints", "best", "metrics.jsonl", "train"):
        assert (model_dir / left).exists()
    digits = [str(digit) for digit in range(10)]
    for folder in (model_dir, model_dir / "saved_model"):
        assert (folder / "labels.txt").read_text().splitlines() == digits
    assert scores["class_names"] == digits
    found = json.loads((model_dir / "data.json").read_text())
    images = {part["name"]: part["images"] for part in found["parts"]}
    assert images == {"train": 1347, "minival": 90, "validation": 360}
    page = report_support.Page((model_dir / "report.html").read_text("utf-8"))
    assert f"{scores['top_1']:.1%}" in page.words("p")
    assert {"Accuracy (top-1)", "Loss", "Learning rate"} < set(page.words("h3"))
    head = f"data          digits in {found['data_dir']}\n"
    assert result.stderr.count(head) == 1
    assert result.stderr.count("chosen        recipe paper: 3 epochs in ba") == 1
    assert "classes       0, 1, 2, 3, 4 and 5 more\n" in result.stdout


def test_metrics_are_json_lines_in_order(trained):
    lines = (trained[0] / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert {record["kind"] for record in records} == {"train", "eval"}
    on_the_way = [r for r in records if r.get("split") != "validation"]
    steps = [record["step"] for record in on_the_way]
    assert steps == sorted(steps)
    for record in records:
        assert record["epoch"] == pytest.approx(record["step"] * 16 / 1347, abs=1e-4)
        if record["kind"] == "eval":
            assert (
                record["examples"]
                == {"minival": 90, "validation": 360}[record["split"]]
            )
            assert 0 <= record["top_1"] <= record["top_5"] <= 1
        else:
            assert {"loss", "learning_rate", "top_1"} <= record.keys()


def test_evaluation_in_other_batches_on_two_devices_scores_the_same(trained):
    model_dir, first = trained
    make = mock.Mock(wraps=devices.make_strategy)
    patched = mock.patch.object(devices, "make_strategy", make)
    before = (model_dir / "metrics.jsonl").read_text()
    with patched, run_lock.held(str(model_dir)):  # as beside a training
        again = succeed(
            "--mode=eval",
            f"--model_dir={model_dir}",
            "--eval_batch_size=14",
            "--num_cpu_devices=2",
            "--json",
        )
    assert make.call_args.kwargs["num_cpu_devices"] == 2
    after = (model_dir / "metrics.jsonl").read_text()
    assert after.startswith(before) and after.count("\n") == before.count("\n") + 1
    ours, expected = again.json, first.json
    for name in ("top_1", "top_5", "examples", "checkpoint"):
        assert ours[name] == expected[name]
    assert ours["loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_the_best_held_out_weights_are_the_ones_evaluated(trained):
    lines = (trained[0] / "metrics.jsonl").read_text().splitlines()
    held_out = [r for r in map(json.loads, lines) if r.get("split") == "minival"]
    best = max(held_out, key=lambda record: (record["top_1"], -record["loss"]))
    assert trained[1].json["checkpoint"].endswith(f"-{best['step']}")


def test_saved_model_serves_encoded_images_as_evaluation_saw_them(trained, validation):
    served = tf.saved_model.load(str(trained[0] / "saved_model"))
    serve = served.signatures["serving_default"]
    encoded, labels = validation
    outputs = serve(encoded=tf.constant(encoded))
    names = [name.decode() for name in outputs["class_names"].numpy()]
    assert names == [str(label) for label in outputs["classes"].numpy()]
    scores = trained[1].json
    assert np.mean(outputs["classes"] == labels) == pytest.approx(scores["top_1"])
    top_5 = (outputs["top_k_classes"].numpy() == labels[:, None]).any(1).mean()
    assert top_5 == pytest.approx(scores["top_5"])
    np.testing.assert_allclose(tf.reduce_sum(outputs["probabilities"], 1), 1, rtol=1e-5)


def test_saved_model_takes_pixels_of_either_type(trained, validation):
    served = tf.saved_model.load(str(trained[0] / "saved_model"))
    prepared = preparation.Preparation(32, 0.875, "bicubic")
    images = tf.stack([prepared.decode(image) for image in validation[0][:20]])
    from_bytes = served.signatures["serving_default"](
        encoded=tf.constant(validation[0][:20])
    )["probabilities"]
    from_uint8 = served.signatures["tensor_uint8"](images=images)
    from_float = served.signatures["tensor"](images=tf.cast(images, tf.float32))
    for outputs in (from_uint8, from_float):
        np.testing.assert_allclose(outputs["probabilities"], from_bytes, atol=1e-6)
        np.testing.assert_allclose(
            tf.nn.softmax(outputs["logits"]), outputs["probabilities"], atol=1e-6
        )
    model = Classifier.of_run(str(trained[0])).model
    np.testing.assert_allclose(
        from_uint8["logits"], model(images, training=False), atol=1e-4, rtol=1e-4
    )


def test_saved_model_decodes_png_and_jpeg_alike(trained, validation):
    serve = tf.saved_model.load(str(trained[0] / "saved_model")).signatures[
        "serving_default"
    ]
    jpeg = validation[0][0]
    pixels = tf.io.decode_jpeg(jpeg, channels=3)
    png = tf.io.encode_png(pixels).numpy()
    outputs = serve(encoded=tf.constant([jpeg, png]))["probabilities"].numpy()
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-6)


def test_export_replaces_the_old_model_whole(trained, tmp_path):
    target = tmp_path / "served"
    target.mkdir()
    (target / "saved_model.pb").write_text("an old one")
    (target / "leftover").write_text("old")
    arguments = ["--mode=export", f"--model_dir={trained[0]}"]
    result = succeed(*arguments, f"--export_dir={target}", "--json")
    assert result.json["export_dir"] == str(target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["served"]
    assert not (target / "leftover").exists()
    assert tf.saved_model.load(str(target)).signatures


def test_export_refuses_a_folder_that_holds_something_else(trained, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    arguments = ["--mode=export", f"--model_dir={trained[0]}"]
    for target, message in [
        (tmp_path, f"export_dir={tmp_path} holds thesis.tex and no SavedModel"),
        (trained[0], "the SavedModel would replace the run"),
        (trained[0].parent, "the SavedModel would replace the run"),
    ]:
        assert message in refusal(*arguments, f"--export_dir={target}")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert (trained[0] / "config.json").exists()


def test_predict_ranks_classes_of_image_files(trained, validation, tmp_path):
    paths = []
    for number, image in enumerate(validation[0][:3]):
        paths.append(tmp_path / f"{number}.jpg")
        paths[-1].write_bytes(image)
    result = succeed("--mode=predict", f"--model_dir={trained[0]}", "--json", *paths)
    results = result.json["results"]
    assert [r["file"] for r in results] == list(map(str, paths))
    serve = tf.saved_model.load(str(trained[0] / "saved_model")).signatures[
        "serving_default"
    ]
    outputs = serve(encoded=tf.constant(validation[0][:3]))
    for row, prediction in enumerate(results):
        ranked = [p["class"] for p in prediction["predictions"]]
        assert ranked == outputs["top_k_classes"][row].numpy().tolist()
        assert prediction["predictions"][0]["probability"] == pytest.approx(
            float(outputs["top_k_probabilities"][row, 0]), abs=1e-5
        )
        assert [p["name"] for p in prediction["predictions"]] == list(map(str, ranked))


def test_the_command_of_a_finished_run_changes_nothing(trained, digits_dir):
    model_dir, first = trained
    kept = [*model_dir.glob("*.*"), *model_dir.glob("best/*")]
    before = {path: path.read_bytes() for path in kept}
    again = succeed(*training_arguments(digits_dir, model_dir))
    # The last evaluation of this file's tests was in other batches.
    scores = again.json
    assert scores.pop("loss") == pytest.approx(first.json["loss"], rel=1e-6)
    assert scores == {n: v for n, v in first.json.items() if n != "loss"}
    assert f", finished at step {first.json['step']}\n" in again.stderr
    assert {path: path.read_bytes() for path in kept} == before
    assert not (model_dir / ".lock").exists()


def test_a_report_that_is_missing_is_made_without_another_line(trained, digits_dir):
    model_dir = trained[0]
    evaluate = mock.Mock(side_effect=ValueError("evaluated"))
    with mock.patch.object(evaluation, "evaluate", evaluate):
        (model_dir / "report.html").rename(model_dir / "hidden.html")
        try:
            ended = run(*training_arguments(digits_dir, model_dir))
        finally:
            (model_dir / "hidden.html").rename(model_dir / "report.html")
    assert ended.stderr.splitlines()[-1] == "error: evaluated"
    assert evaluate.call_args.kwargs["is_known"]


def test_a_finished_run_is_not_continued_with_other_data(trained, digits_dir, tmp_path):
    model_dir = trained[0]
    before = {path: path.read_bytes() for path in model_dir.glob("*.*")}
    shutil.copytree(digits_dir, tmp_path / "other")
    (tmp_path / "other/train-00003-of-00016").write_bytes(
        (tmp_path / "other/train-00002-of-00016").read_bytes()
    )
    line = refusal(*training_arguments(tmp_path / "other", model_dir))
    assert line.startswith(f"error: --data_dir={tmp_path}/other: ")
    assert str(model_dir) in line and "data.json" in line
    assert {path: path.read_bytes() for path in model_dir.glob("*.*")} == before


@pytest.mark.parametrize("mode", ["eval", "export"])
def test_folder_without_a_run_is_named(tmp_path, mode):
    line = refusal(f"--mode={mode}", f"--model_dir={tmp_path}")
    assert f"--model_dir={tmp_path}: no config.json" in line


def test_eval_refuses_settings_the_run_was_not_trained_with(trained):
    line = refusal("--mode=eval", f"--model_dir={trained[0]}", "--image_size=64")
    assert "--image_size=64: the run was trained with 32" in line
