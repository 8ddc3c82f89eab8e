"""Fixtures that several files of this folder share."""

import pytest
import tensorflow as tf
import weight_helpers as helpers
from headless import headless
from weight_helpers import build, values
from weights_support import TEST

import efficientnet_tf as en
from efficientnet_tf.data import tfrecord


@pytest.fixture(scope="module")
def built():
    model = build(TEST)
    return model, model.passport


@pytest.fixture
def model(built):
    """Built once, and for each test as if it were new."""
    model, model.passport = built
    if hasattr(model, "load_report"):
        del model.load_report
    return helpers.randomize(model, seed=0)


@pytest.fixture(scope="session")
def built_headless():
    return headless()


@pytest.fixture
def target(built_headless):
    """A headless network whose weights differ from those of every file."""
    return helpers.randomize(built_headless)


@pytest.fixture
def saved(model, tmp_path):
    """A file of ours, and what is in it."""
    path = str(tmp_path / "saved.weights.h5")
    en.save_weights(model, path)
    expected = values(model)
    helpers.randomize(model)
    return path, expected


@pytest.fixture
def own_cache_settings(monkeypatch):
    """Nothing of the machine's reaches the cache of releases."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("EFFICIENTNET_TF_OFFLINE", raising=False)
    monkeypatch.delenv("EFFICIENTNET_TF_CACHE", raising=False)


@pytest.fixture(scope="module")
def images(digits_dir, tmp_path_factory):
    """PNG files of digits: train/CLASS, 200 in all, and val/CLASS, 60."""
    folder = tmp_path_factory.mktemp("images")
    splits = tfrecord.open_splits(digits_dir)
    for name, split, count in (
        ("train", splits.train, 200),
        ("val", splits.validation, 60),
    ):
        records = tf.data.TFRecordDataset(list(split.files)).take(count)
        for number, record in enumerate(records):
            encoded, label = tfrecord.parse(record)
            path = folder / name / f"digit{int(label) - 1}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded.numpy())
    return folder
