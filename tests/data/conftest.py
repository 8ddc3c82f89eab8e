"""Fixtures that several files of this folder share."""

import pathlib

import batches_support
import folder_support
import numpy as np
import pytest
import tfds_support

from efficientnet_tf.data import digits, tfrecord


@pytest.fixture
def no_network(monkeypatch):
    import requests
    import tensorflow_datasets as tfds

    def closed(*args, **kwargs):
        raise requests.exceptions.ConnectionError("the network is closed\nreally")

    monkeypatch.setattr(requests.Session, "request", closed)
    monkeypatch.setattr(tfds.core.utils.gcs_utils, "_is_gcs_disabled", True)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tfds_support.store(tmp_path_factory.mktemp("tfds"))


@pytest.fixture(scope="module")
def numbered(tmp_path_factory) -> tfrecord.Split:
    """Records that their labels, 1 to 103, tell apart, in 7 files."""
    path = str(tmp_path_factory.mktemp("numbered"))
    rng = np.random.default_rng(0)
    examples = [
        (digits.encode_jpeg(rng.integers(0, 17, (8, 8))), number)
        for number in range(1, batches_support.RECORDS + 1)
    ]
    for split in ("train", "validation"):
        tfrecord.write_shards(path, split, examples, shards=batches_support.SHARDS)
    return tfrecord.open_splits(path).train


@pytest.fixture(scope="module")
def digit_splits(digits_dir) -> tfrecord.Splits:
    return tfrecord.open_splits(digits_dir, minival_shards=0.05)


@pytest.fixture
def both(tmp_path) -> pathlib.Path:
    """A folder of train and val."""
    folder_support.fill(tmp_path / "train", folder_support.TRAIN)
    folder_support.fill(tmp_path / "val", folder_support.VALIDATION, first=100)
    return tmp_path


@pytest.fixture
def flat(tmp_path) -> pathlib.Path:
    """A folder of classes alone."""
    folder_support.fill(tmp_path / "flat", folder_support.VALIDATION)
    return tmp_path / "flat"
