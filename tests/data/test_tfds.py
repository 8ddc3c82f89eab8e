import collections
import os
import pathlib

import numpy as np
import pipelines
import pytest
import tensorflow_datasets as tfds
from slow_cases import slow
from tfds_support import (
    CLASSES,
    TRAIN,
    VALIDATION,
    encode,
    label_of,
    make_examples,
    open_tfds,
    store,
)

from efficientnet_tf import config
from efficientnet_tf.data import batches, tfds_table
from efficientnet_tf.data.preparation import Preparation
from efficientnet_tf.training import build

pytestmark = pytest.mark.usefixtures("no_network")

WHOLE = Preparation(8, 1.0, "bicubic")  # images of 8x8 pixels are seen whole


def _evaluated(source, split, *, batch_size=4, shard=None) -> list[tuple[int, int]]:
    """(grey, label) of each image, in order."""
    dataset = source.evaluate(
        split,
        WHOLE,
        labels=pipelines.labels(CLASSES),
        batch_size=batch_size,
        shard=shard or batches.Shard(),
    )
    found = []
    for batch in dataset.as_numpy_iterator():
        mask = batch["mask"] == 1
        if not mask.any():
            break
        greys = batch["image"][mask].mean((1, 2, 3))
        found += zip(greys.tolist(), batch["label"][mask].tolist(), strict=True)
    return found


def _trained(source, count, *, seed=0, start=0) -> tuple[np.ndarray, np.ndarray]:
    """Greys and labels of `count` batches of 8."""
    transform = pipelines.transform(WHOLE, CLASSES)
    dataset = source.train(
        transform, batch_size=8, seed=seed, start=start, shuffle_buffer=20
    )
    drawn = list(dataset.take(count).as_numpy_iterator())
    greys = np.concatenate([batch["image"].mean((1, 2, 3)) for batch in drawn])
    return greys, np.concatenate([batch["label"] for batch in drawn]).argmax(-1)


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_evaluation_counts_every_image_once_with_its_label(tiny, hosts):
    source = open_tfds(tiny)
    wanted = [(g, label_of(g)) for g in range(100, 100 + VALIDATION)]
    found = []
    for host in range(hosts):  # the fourth has no file
        shard = batches.Shard(host, hosts)
        found += _evaluated(source, source.splits.validation, shard=shard)
    assert sorted(found) == wanted
    assert source.splits.validation.images == VALIDATION


def test_an_epoch_has_every_train_image_once_in_an_order_of_its_own(tiny):
    greys, labels = _trained(open_tfds(tiny), 25)  # 200 images, 4 epochs of 50
    epochs = greys.reshape(4, TRAIN)
    for epoch in epochs:
        assert sorted(epoch) == list(range(TRAIN))
    assert (epochs[0] == epochs[1]).sum() < 10
    assert labels.tolist() == [label_of(int(grey)) for grey in greys]


@pytest.mark.parametrize("minival", [0.2, *slow(0)])
def test_training_continues_from_any_step_in_any_copy(tiny, tmp_path, minival):
    os.symlink(tiny, tmp_path / "copy")
    whole, _ = _trained(open_tfds(tiny, minival=minival), 20, seed=3)
    again = open_tfds(f"{tmp_path}/copy", minival=minival)
    for start in (8, 48, 120):
        part, _ = _trained(again, 20 - start // 8, seed=3, start=start)
        np.testing.assert_array_equal(part, whole[start:])
    other, _ = _trained(open_tfds(tiny, minival=minival), 20, seed=4)
    assert (other == whole).mean() < 0.2


def _stored_order(data_dir, split) -> list[float]:
    """The greys as tfds itself reads them, file after file."""
    builder = tfds.builder("tiny", data_dir=data_dir)
    read = tfds.ReadConfig(interleave_cycle_length=1)
    dataset = builder.as_dataset(split=split, read_config=read)
    return [float(e["image"].mean()) for e in dataset.as_numpy_iterator()]


@pytest.mark.parametrize(
    ("minival", "held_out"),
    [(7, 7), *slow((0.05, 2), (49, 49))],
)
def test_minival_is_held_out_at_even_distances(tiny, minival, held_out):
    source = open_tfds(tiny, minival=minival)
    splits = source.splits
    order = _stored_order(tiny, "train")
    # Of n in a row, the last of each n / k.
    places = {-(-(i + 1) * TRAIN // held_out) - 1 for i in range(held_out)}
    held = {grey for place, grey in enumerate(order) if place in places}
    minival_greys = [grey for grey, _ in _evaluated(source, splits.minival)]
    assert sorted(minival_greys) == sorted(held)
    kept = [grey for grey, _ in _evaluated(source, splits.train)]
    assert sorted(kept) == sorted(set(order) - held)
    assert (splits.minival.images, splits.train.images) == (held_out, TRAIN - held_out)
    greys, _ = _trained(source, 14)
    assert not set(greys) & held


def test_without_minival_every_train_image_is_trained_on(tiny):
    splits = open_tfds(tiny).splits
    assert (splits.minival, splits.train.images) == (None, TRAIN)
    with pytest.raises(ValueError, match="leaves nothing of 50 train images"):
        open_tfds(tiny, minival=50)


def test_minival_of_ordered_files_takes_of_each_class_its_share(tmp_path):
    examples = [{"image": encode(2 * i), "label": i // 20} for i in range(60)]
    splits = {"train": examples, "test": examples}
    data_dir = store(tmp_path, splits=splits, shards=1, disable_shuffling=True)
    source = open_tfds(data_dir, minival=0.1)
    labels = [label for _, label in _evaluated(source, source.splits.minival)]
    assert collections.Counter(labels) == {0: 2, 1: 2, 2: 2}


def test_validation_comes_before_test_which_may_lack_labels(tmp_path):
    unlabelled = [{"image": encode(200), "label": -1}]
    splits = {
        "train": make_examples(0, 4),
        "validation": make_examples(100, 5),
        "test": unlabelled,
    }
    source = open_tfds(store(tmp_path, splits=splits, shards=1))
    assert source.splits.validation.images == 5
    splits = {"train": make_examples(0, 4), "test": unlabelled}
    with pytest.raises(ValueError) as error:
        open_tfds(store(tmp_path, "unlabelled", splits=splits, shards=1), "unlabelled")
    assert "label is -1; allowed is 0 to num_classes=3 - 1" in str(error.value)


def test_a_paper_dataset_is_split_as_the_paper_does(tmp_path, monkeypatch):
    row = tfds_table.Row("train+validation", "test", 9, 2, 102)
    monkeypatch.setitem(tfds_table.ROWS, "oxford_flowers102", row)
    splits = {
        "train": make_examples(0, 4),
        "validation": make_examples(100, 5),
        "test": make_examples(200, 2),
    }
    data_dir = store(tmp_path, "oxford_flowers102", splits=splits, shards=2)
    source = open_tfds(data_dir, "oxford_flowers102", minival=3, num_classes=102)
    parts = (source.splits.train, source.splits.minival, source.splits.validation)
    greys = [{grey for grey, _ in _evaluated(source, part)} for part in parts]
    assert [len(part) for part in greys] == [6, 3, 2]
    assert greys[0] | greys[1] == {*range(4), *range(100, 105)}
    assert greys[2] == {200, 201}


def test_labels_have_the_names_that_tfds_keeps(tiny, tmp_path):
    # The label of `tiny` has a number of classes and no names.
    assert open_tfds(tiny).splits.class_names is None
    names = ["ant", "bee", "Gänseblümchen"]
    label = tfds.features.ClassLabel(names=names)
    features = {"image": tfds.features.Image(), "label": label}
    data_dir = store(tmp_path, features=features)
    kept = pathlib.Path(data_dir, "tiny/1.0.0/label.labels.txt")
    assert kept.read_text().splitlines() == names
    assert open_tfds(data_dir).splits.class_names == tuple(names)


@pytest.mark.parametrize("name", tfds_table.ROWS)
def test_the_table_agrees_with_tfds(name, tmp_path):
    row = tfds_table.ROWS[name]
    absent = {"birdsnap", "fgvc_aircraft"}
    assert (name in tfds.list_builders(with_community_datasets=False)) != (
        name in absent
    )
    if name not in absent:
        builder = tfds.builder(name, data_dir=str(tmp_path))
        assert builder.info.features["label"].num_classes == row.classes
        assert isinstance(builder.info.features["image"], tfds.features.Image)


def test_a_run_opens_it(tiny):
    made = config.create(dataset="tfds:tiny", data_dir=tiny, num_classes=CLASSES)
    splits = build.open_source(made).splits
    assert (splits.train.images, splits.minival.images) == (48, 2)
    offset = config.create(
        dataset="tfds:tiny", data_dir=tiny, num_classes=CLASSES + 1, label_offset=1
    )
    assert build.open_source(offset).splits.validation.images == VALIDATION
