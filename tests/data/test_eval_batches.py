"""Evaluation: every example once, then padding."""

import numpy as np
import pytest
import tensorflow as tf
from batches_support import RECORDS, SHARDS, encoded_images, evaluate, prepare, train
from slow_cases import slow

from efficientnet_tf.data import batches, digits, tfrecord


@pytest.mark.parametrize("batch_size", [10, 103, *slow(1, 50, 206, 300)])
def test_evaluation_has_every_example_once_and_masks_the_rest(numbered, batch_size):
    found = evaluate(numbered, batch_size=batch_size, extra=2)
    mask = found["mask"]
    assert mask.sum() == RECORDS
    np.testing.assert_array_equal(mask[:RECORDS], 1)
    assert (mask[RECORDS:] == 0).all()
    assert len(mask) == (-(-RECORDS // batch_size) + 2) * batch_size
    assert sorted(found["label"][:RECORDS]) == list(range(RECORDS))
    assert not found["image"][RECORDS:].any()
    assert len({image.tobytes() for image in found["image"][:RECORDS]}) == RECORDS


@pytest.mark.parametrize("batch_size", [128, *slow(120)])
def test_evaluation_counts_all_360_digits(digit_splits, batch_size):
    split = digit_splits.validation
    found = evaluate(
        split, batch_size=batch_size, prepared=prepare(32, 0.5), num_classes=10
    )
    assert found["mask"].sum() == 360
    assert set(found["label"][found["mask"] == 1]) == set(range(10))


def test_hosts_evaluate_every_example_once_together(numbered):
    found = [
        evaluate(numbered, batch_size=20, shard=batches.Shard(index, 3))
        for index in range(3)
    ]
    labels = np.concatenate([part["label"][part["mask"] == 1] for part in found])
    assert sorted(labels) == list(range(RECORDS))


def test_evaluation_shows_the_center_crop(numbered):
    found = evaluate(numbered, batch_size=RECORDS, prepared=prepare(16, 0.5))
    encoded = encoded_images(numbered)
    order = {n: k for k, n in enumerate(found["label"])}
    in_file_order = [n for i in range(SHARDS) for n in range(i, RECORDS, SHARDS)]
    for place in (0, 50, 102):
        # A 16x16 window of 32x32 pixels, at its own size: no resizing.
        center = tf.io.decode_jpeg(encoded[place], channels=3).numpy()[8:24, 8:24]
        image = found["image"][order[in_file_order[place]]]
        np.testing.assert_array_equal(image, center)


@pytest.mark.parametrize("num_classes", [RECORDS - 1, *slow(1, 50)])
def test_a_label_out_of_range_names_num_classes(numbered, num_classes):
    message = f"label is none of num_classes={num_classes}"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        train(numbered, 13, num_classes=num_classes)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        evaluate(numbered, batch_size=RECORDS, num_classes=num_classes)


def test_label_0_is_out_of_range(tmp_path):
    encoded = digits.encode_jpeg(np.zeros((8, 8)))
    for split in ("train", "validation"):
        tfrecord.write_shards(str(tmp_path), split, [(encoded, 0)], shards=1)
    split = tfrecord.open_splits(str(tmp_path)).train
    with pytest.raises(tf.errors.InvalidArgumentError, match="num_classes=10"):
        train(split, 1, batch_size=1, num_classes=10)
    with pytest.raises(tf.errors.InvalidArgumentError, match="num_classes=10"):
        evaluate(split, batch_size=1, num_classes=10)


@pytest.mark.parametrize("index", [0, 7])
def test_every_host_refuses_fewer_files_than_hosts(numbered, index):
    shard = batches.Shard(index, 8)
    message = "split train has 7 files for 8 hosts; each host needs at least one"
    with pytest.raises(ValueError, match=message):
        train(numbered, 1, shard=shard)


def test_hosts_without_a_file_evaluate_padding_alone(numbered):
    hosts = SHARDS + 1
    found = [
        evaluate(numbered, batch_size=20, shard=batches.Shard(index, hosts))
        for index in range(hosts)
    ]
    labels = np.concatenate([part["label"][part["mask"] == 1] for part in found])
    assert sorted(labels) == list(range(RECORDS))
    assert not found[-1]["mask"].any()


def test_a_label_offset_moves_every_class(numbered):
    classes = RECORDS + 2
    kwargs = {"num_classes": classes, "label_offset": 2}
    found = evaluate(numbered, batch_size=RECORDS, **kwargs)
    assert sorted(found["label"]) == list(range(2, classes))
    _, moved = train(numbered, 13, **kwargs)
    _, plain = train(numbered, 13)
    np.testing.assert_array_equal(moved.argmax(-1), plain.argmax(-1) + 2)
    assert moved.shape[-1] == classes


def test_a_label_offset_leaves_fewer_labels(numbered):
    message = f"none of num_classes={RECORDS} - label_offset=1"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        evaluate(numbered, batch_size=RECORDS, label_offset=1)


def test_both_pipelines_resize_as_asked(numbered):
    ways = [prepare(20, 0.5, resize) for resize in ("bilinear", "bicubic")]
    bilinear, bicubic = (
        evaluate(numbered, batch_size=RECORDS, prepared=prepared)["image"]
        for prepared in ways
    )
    assert (bilinear != bicubic).any()
    images = [train(numbered, 2, prepared=prepared)[0] for prepared in ways]
    assert (images[0] != images[1]).any()
