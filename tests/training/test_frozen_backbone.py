"""Runs that train a classifier alone, on features that are computed once."""

from unittest import mock

import networks
import numpy as np
import pytest
import tensorflow as tf
from folder_support import CLASSES, fill

import efficientnet_tf as en
from efficientnet_tf import config as config_lib
from efficientnet_tf.runs import run_model
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import build, loop, objective
from efficientnet_tf.training.settings import Optimisation
from efficientnet_tf.weights import reading

SETTINGS = {
    "recipe": "finetune",
    "blocks": networks.ONE,
    "freeze": "none",
    "image_size": 32,
    "dataset": "folder",
    "minival_shards": 4,
    "train_batch_size": 8,
    "train_epochs": 2.0,
    "learning_rate": 0.3,
    "lr_schedule": "constant",  # a cosine depends on the last step
    "eval_batch_size": 8,
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    fill(folder / "train", (12, 20, 12))
    fill(folder / "val", (3, 5, 4), first=100)
    return str(folder)


@pytest.fixture(scope="module")
def settings(data_dir, tmp_path_factory):
    """The settings of a run from the weights of a random network."""
    path = str(tmp_path_factory.mktemp("weights") / "start.weights.h5")
    chosen = SETTINGS | {"data_dir": data_dir}
    random = config_lib.create(**chosen | {"recipe": "paper", "seed": 5})
    en.save_weights(run_model.create(random), path)
    return chosen | {"weights": path}


def train(settings, folder, **chosen):
    config = config_lib.create(**settings | chosen)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    return loop.train(config, model_dir=str(folder), strategy=strategy)


def values(folder):
    run = RunDir(str(folder))
    model = run_model.of_run(run, run.read_config())
    return {v.path: v.numpy() for v in model.weights if v.dtype == "float32"}


@pytest.fixture(scope="module")
def trained(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    result = train(settings, folder, freeze="backbone", moving_average_decay=0.0)
    return folder, result


def test_only_the_classifier_changes(trained, settings):
    start = run_model.start_from(
        config_lib.create(**settings),
        reading.read_weights(settings["weights"], None),
    )
    got = values(trained[0])
    same = {v.path for v in start.weights if np.array_equal(v, got.get(v.path))}
    assert got.keys() - same == {"predictions/kernel", "predictions/bias"}


def test_scores_are_those_of_the_whole_model(trained, data_dir):
    folder, result = trained
    classifier = en.Classifier.of_run(str(folder))
    hits, loss = 0, 0.0
    paths = sorted(tf.io.gfile.glob(f"{data_dir}/val/*/*"))
    for path in paths:
        (found,) = classifier.predict([classifier.read_image(path)])
        label = CLASSES.index(path.split("/")[-2])
        hits += found.argmax() == label
        loss -= np.log(found[label])
    assert result["examples"] == len(paths) == 12
    assert result["top_1"] == pytest.approx(hits / 12)
    assert result["loss"] == pytest.approx(loss / 12, rel=1e-4)


@pytest.mark.slow
def test_a_continued_run_ends_with_the_same_bits(trained, settings, tmp_path):
    chosen = {"freeze": "backbone", "moving_average_decay": 0.0}
    train(settings, tmp_path, **chosen, train_epochs=1.0)
    train(settings, tmp_path, **chosen)
    expected = values(trained[0])
    for path, value in values(tmp_path).items():
        np.testing.assert_array_equal(value, expected[path])


def test_balanced_classes_weigh_the_same(settings):
    chosen = settings | {"class_weights": "balanced", "minival_shards": 0}
    config = config_lib.create(**chosen)
    split = build.open_source(config).splits.train
    weights = build.class_weights(config, split)
    assert weights == pytest.approx([44 / 3 / 12, 44 / 3 / 20, 44 / 3 / 12])
    plain = config_lib.create(**settings)
    assert build.class_weights(plain, split) is None


def test_records_do_not_tell_their_classes(digits_dir, tmp_path):
    chosen = {"dataset": "digits", "data_dir": digits_dir, "class_weights": "balanced"}
    with (
        mock.patch.object(run_model, "create", side_effect=AssertionError("built")),
        pytest.raises(ValueError, match="class_weights=balanced: dataset=digits"),
    ):
        train(chosen, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_loss_is_weighted_by_the_label():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 3)).astype("float32")
    labels = np.eye(3, dtype="float32")[[0, 1, 2, 2]]
    labels[3] = (0.5, 0, 0.5)
    weights = [0.5, 1.0, 4.0]
    config = config_lib.create(label_smoothing=0.0)
    loss = objective.PaperObjective(
        en.EfficientNet(networks.own(networks.ONE), classes=3),
        config.section(Optimisation),
        batch_size=4,
        replicas=1,
        class_weights=weights,
    ).losses(tf.constant(logits), tf.constant(labels))["cross_entropy"]
    powers = np.exp(logits)
    each = -(labels * np.log(powers / powers.sum(1, keepdims=True))).sum(1)
    assert float(loss) == pytest.approx((each * (labels @ weights)).mean(), rel=1e-5)
