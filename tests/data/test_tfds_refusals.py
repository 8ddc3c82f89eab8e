"""Data sets of tfds that cannot be used are named."""

import os

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tfds_support import FEATURES, encode, make_examples, open_tfds, store

pytestmark = pytest.mark.usefixtures("no_network")


def _message(*args, **kwargs) -> str:
    with pytest.raises(ValueError) as error:
        open_tfds(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_unknown_names_suggest_the_nearest(tmp_path):
    message = _message(str(tmp_path), "cifar11")
    assert message.startswith(
        f"dataset=tfds:cifar11: not in tensorflow_datasets {tfds.__version__} and not "
        f"in data_dir={tmp_path}; dataset=folder takes images by class; did you mean "
        "cifar1"
    )
    assert "dataset=folder" in _message(str(tmp_path), "birdsnap")


def test_another_number_of_classes_is_named(tiny):
    assert _message(tiny, num_classes=5) == (
        "num_classes=5: dataset=tfds:tiny has 3 classes; the two must agree"
    )


@pytest.mark.parametrize(
    ("features", "example"),
    [
        (
            {"image": FEATURES["image"], "digit": FEATURES["label"]},
            {"image": encode(0), "digit": 1},
        ),
        (
            {"image": FEATURES["image"], "label": tfds.features.Scalar(tf.int64)},
            {"image": encode(0), "label": 1},
        ),
        (
            {
                "image": tfds.features.Image(shape=(2, 2, 1), dtype=tf.float32),
                "label": FEATURES["label"],
            },
            {"image": np.zeros((2, 2, 1), np.float32), "label": 1},
        ),
    ],
    ids=["no-label", "number", "float-image"],
)
def test_features_it_lacks_are_named(tmp_path, features, example):
    splits = {"train": [example], "test": [example]}
    store(tmp_path, features=features, splits=splits, shards=1)
    assert _message(str(tmp_path)) == (
        f"dataset=tfds:tiny: its features are {', '.join(sorted(features))}; it must "
        "have image (an Image of uint8) and label (a ClassLabel)"
    )


def test_splits_it_lacks_are_named(tmp_path):
    splits = {"train": make_examples(0, 2)}
    store(tmp_path, splits=splits, shards=1)
    assert _message(str(tmp_path)) == (
        "dataset=tfds:tiny: its splits are train; it must have train, validation or "
        "test"
    )
    store(tmp_path, "cifar10", splits=splits, shards=1)
    assert _message(str(tmp_path), "cifar10", num_classes=10) == (
        "dataset=tfds:cifar10: its splits are train; it must have train, test"
    )


def test_sizes_other_than_the_papers_are_named(tmp_path):
    splits = {"train": make_examples(0, 4), "test": make_examples(100, 2)}
    store(tmp_path, "cifar10", splits=splits, shards=1)
    assert _message(str(tmp_path), "cifar10", num_classes=10).startswith(
        "dataset=tfds:cifar10: holds 4 train and 2 test images, not 50000 and 10000"
    )


def test_a_missing_file_is_named(tmp_path):
    store(tmp_path)
    path = tmp_path / "tiny" / "1.0.0" / "tiny-train.tfrecord-00001-of-00003"
    path.unlink()
    assert _message(str(tmp_path)).startswith(
        f"dataset=tfds:tiny: {path} is missing, and 0 files more"
    )


def test_other_file_formats_are_refused(tmp_path):
    store(tmp_path, file_format="array_record")
    assert _message(str(tmp_path)) == (
        "dataset=tfds:tiny: is prepared as array_record files; allowed is tfrecord "
        "(tfds build --file_format=tfrecord)"
    )


def test_with_the_network_closed_it_says_how_to_prepare_it(tmp_path, capsys):
    message = _message(str(tmp_path), "oxford_flowers102", num_classes=102)
    at = f"{tmp_path}/oxford_flowers102/2.1.1"
    assert message == (
        f"dataset=tfds:oxford_flowers102: cannot be prepared in {at} (the network is "
        "closed); where there is a network run tfds build oxford_flowers102 "
        "--data_dir=DIR, and give that DIR as data_dir"
    )
    output = capsys.readouterr()
    assert (output.out, output.err) == (
        "",
        f"tfds:oxford_flowers102: downloads 345 MB, to prepare {at}\n",
    )
    assert not os.path.exists(at)


def test_it_is_prepared_once(tmp_path, monkeypatch, capsys):
    builder = tfds.dataset_builders.AdhocBuilder(
        name="tiny",
        version="1.0.0",
        features=tfds.features.FeaturesDict(FEATURES),
        split_datasets={
            "train": list(enumerate(make_examples(0, 4))),
            "test": list(enumerate(make_examples(100, 2))),
        },
        data_dir=str(tmp_path),
    )
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: builder)
    for _ in range(2):
        splits = open_tfds(str(tmp_path)).splits
        assert (splits.train.images, splits.validation.images) == (4, 2)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("tfds:tiny: downloads 0 MB, to prepare") == 1
