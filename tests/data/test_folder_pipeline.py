"""Images of a folder through pipeline, configuration and run."""

import collections
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pipelines
import pytest
import tensorflow as tf
from folder_support import (
    CLASSES,
    TRAIN,
    VALIDATION,
    WANTED,
    WHOLE,
    check_first_images,
    class_counts,
    evaluate,
    open_splits,
)
from slow_cases import slow

from efficientnet_tf import config
from efficientnet_tf.data import batches, held_out, order, tfrecord
from efficientnet_tf.hardware import devices
from efficientnet_tf.training import evaluation, loop

ROOT = pathlib.Path(__file__).parents[2]


FLOWERS = pathlib.Path(
    os.environ.get("EFFICIENTNET_TF_TEST_DATA", ROOT.parent / "shared" / "data"),
    "flowers160",
)


def _train(split, count, *, batch_size=5, **position):
    dataset = batches.train_batches(
        split,
        pipelines.transform(WHOLE, 3),
        batch_size=batch_size,
        **({"seed": 0} | position),
    )
    drawn = list(dataset.take(count).as_numpy_iterator())
    return [np.concatenate([b[name] for b in drawn]) for name in ("image", "label")]


@pytest.mark.parametrize(
    ("minival", "images"), [(0.05, 2), (0.001, 1), (0.5, 22), (1, 1), (9, 9), (42, 42)]
)
def test_minival_takes_a_share_of_each_class(both, minival, images):
    whole = open_splits(both).train
    splits = open_splits(both, minival_images=minival)
    assert splits.minival.images == len(splits.minival.files) == images
    assert splits.train.images == 43 - images
    assert sorted(splits.train.files + splits.minival.files) == sorted(whole.files)
    assert list(splits.train.files) == sorted(splits.train.files)
    for taken, count in zip(class_counts(splits.minival), TRAIN, strict=True):
        assert abs(taken - count * images / 43) <= 1
    assert splits.minival == open_splits(both, minival_images=minival).minival


@pytest.mark.parametrize("count", [0, 1, 6, 7, 49, 50])
def test_exactly_as_many_are_held_out_as_asked(count):
    files = tuple(f"{i:02d}" for i in range(50))
    taken, others = held_out.evenly(files, count)
    assert (len(taken), tuple(sorted(taken + others))) == (count, files)


def test_an_epoch_has_every_image_once_in_an_order_of_its_own(both):
    split = open_splits(both).train
    orders = []
    for epoch in range(3):
        numbers = order.shuffled_records(
            split,
            tf.constant(split.files),
            images=split.images,
            seed=0,
            start=epoch * split.images,
            shuffle_buffer=16384,
        )
        paths = [path.decode() for _, path in numbers.take(43).as_numpy_iterator()]
        assert sorted(paths) == sorted(split.files)
        orders.append(tuple(paths))
    assert len(set(orders)) == 3


def test_training_shows_the_labels_of_the_folders(both):
    split = open_splits(both).train
    _, labels = _train(split, 2 * 43, batch_size=1)
    for epoch in (labels[:43], labels[43:]):
        np.testing.assert_array_equal(epoch.sum(0), TRAIN)


def test_a_stream_continues_bit_for_bit(both):
    split = open_splits(both).train
    whole = _train(split, 27, seed=3)
    for start in (5, 40, 85):
        again = _train(split, 10, seed=3, start=start)
        for one, other in zip(whole, again, strict=True):
            np.testing.assert_array_equal(one[start : start + 50], other)
    assert not np.array_equal(again[0], _train(split, 10, seed=4, start=85)[0])


def test_hosts_train_on_disjoint_images(both):
    split = open_splits(both).train
    shares = []
    for index in (0, 1):
        _, labels = _train(split, 21, batch_size=1, shard=batches.Shard(index, 2))
        shares.append(labels.sum(0))
    assert (np.abs(shares[0] - shares[1]) <= 2).all()
    assert (np.abs(shares[0] + shares[1] - TRAIN) <= 1).all()


@pytest.mark.parametrize(
    ("batch_size", "hosts"), [(5, 1), (5, 5), *slow((1, 1), (12, 1))]
)
def test_evaluation_has_every_image_once(flat, batch_size, hosts):
    split = open_splits(flat).validation
    found = [
        evaluate(split, batch_size=batch_size, shard=batches.Shard(i, hosts))
        for i in range(hosts)
    ]
    shown = [part["image"][part["mask"] == 1] for part in found]
    labels = np.concatenate([part["label"][part["mask"] == 1] for part in found])
    assert len({image.tobytes() for image in np.concatenate(shown)}) == 12
    assert collections.Counter(labels) == dict(enumerate(VALIDATION))
    assert sum(part["mask"].sum() for part in found) == 12


def test_evaluation_is_that_of_the_same_images_in_records(both, tmp_path):
    images = open_splits(both).validation
    examples = [
        (pathlib.Path(path).read_bytes(), CLASSES.index(path.split("/")[-2]) + 1)
        for path in images.files
    ]
    for split in ("train", "validation"):
        tfrecord.write_shards(f"{tmp_path}/records", split, examples, shards=1)
    records = tfrecord.open_splits(f"{tmp_path}/records").validation
    got, expected = evaluate(images), evaluate(records)
    assert got.keys() == expected.keys()
    for name in got:
        np.testing.assert_array_equal(got[name], expected[name])


def test_the_classes_of_a_folder_are_counted(both, flat):
    for data_dir, recipe in ((both, "scratch"), (flat, "paper")):
        made = config.create(dataset="folder", data_dir=str(data_dir))
        assert (made.num_classes, made.recipe) == (3, recipe)
    same = config.create(dataset="folder", data_dir=str(both), num_classes=3)
    assert config.loads(config.dumps(same)) == same


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({}, "data_dir is missing: dataset folder needs the folder of its train and"),
        ({"data_dir": "/none"}, "data_dir=/none: No such file or directory"),
        ({"data_dir": "gs://a/b"}, "data_dir=gs://a/b: folder data sets are read from"),
        ({"num_classes": 2}, "num_classes=2: data_dir="),
        ({"num_train_images": 43}, "num_train_images=43: the images of a folder or"),
        ({"image_size": 2}, "image_size=2: allowed is 8 and more"),
    ],
)
def test_a_config_refuses_what_does_not_agree(both, chosen, message):
    if chosen and "data_dir" not in chosen:
        chosen = chosen | {"data_dir": str(both)}
    with pytest.raises(ValueError) as error:
        config.create(dataset="folder", **chosen)
    assert str(error.value).startswith(message)


def test_flags_count_classes_without_tensorflow(both):
    code = (
        "import sys, flags; flags.parse(sys.argv); flags.check();"
        "print(flags.to_config().num_classes);"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    argv = ["--dataset=folder", f"--data_dir={both}"]
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("3\n", "")


@pytest.fixture
def strategy(monkeypatch) -> tf.distribute.Strategy:
    """One CPU, whose operations are left as the other tests have them."""
    monkeypatch.setattr(devices, "configure_numerics", lambda *_: "float32")
    return tf.distribute.OneDeviceStrategy("/cpu:0")


def _tiny(data_dir) -> config.Config:
    return config.create(
        dataset="folder",
        data_dir=str(data_dir),
        image_size=16,
        width_coefficient=0.1,
        depth_coefficient=0.1,
        train_batch_size=6,
        eval_batch_size=5,
        train_epochs=1,
        minival_shards=0,
        augment="none",
    )


@pytest.mark.slow
def test_a_folder_trains_and_a_flat_one_scores_it(both, flat, tmp_path, strategy):
    run, model_dir = _tiny(both), f"{tmp_path}/run"
    trained = loop.train(run, model_dir=model_dir, strategy=strategy, validate=False)
    assert trained == {"finished": True, "step": 43 // 6}
    found = json.loads(pathlib.Path(model_dir, "data.json").read_text())
    assert [part["counts"] for part in found["parts"]] == [
        *(list(TRAIN), list(VALIDATION))
    ]
    assert found["class_names"] == list(CLASSES)
    elsewhere = config.override(run, data_dir=str(flat))
    scored = evaluation.evaluate(elsewhere, model_dir=model_dir, strategy=strategy)
    assert (scored["examples"], scored["split"]) == (12, "validation")
    lines = pathlib.Path(model_dir, "metrics.jsonl").read_text().splitlines()
    of_both, of_flat = map(json.loads, lines)
    assert of_both["epoch"] == round(42 / 43, 4)
    assert (of_flat["examples"], of_flat["epoch"]) == (12, None)


def test_training_on_a_flat_folder_is_refused(flat, tmp_path, strategy):
    with pytest.raises(ValueError) as error:
        loop.train(_tiny(flat), model_dir=f"{tmp_path}/run", strategy=strategy)
    assert str(error.value) == f"data_dir={flat}: no train folder; {WANTED}"
    assert not os.path.exists(f"{tmp_path}/run")


@pytest.mark.skipif(not FLOWERS.is_dir(), reason=f"{FLOWERS} is not there")
def test_flowers_are_2934_and_736_images_in_5_classes():
    made = config.create(dataset="folder", data_dir=str(FLOWERS))
    assert (made.num_classes, made.train_batch_size) == (5, 32)
    splits = open_splits(FLOWERS, num_classes=5, minival_images=0.05)
    assert splits.train.images + splits.minival.images == 2934
    assert (splits.minival.images, splits.validation.images) == (147, 736)
    check_first_images(splits.train)
