import collections
import itertools

import numpy as np
import pipelines
import pytest
import tensorflow as tf
from batches_support import (
    RECORDS,
    SHARDS,
    encoded_images,
    evaluate,
    prepare,
    train,
)
from slow_cases import slow

from efficientnet_tf.data import batches, digits, sources, tfrecord


def _numbers(split, count, **kwargs) -> list[int]:
    """The labels, from 1, of the first `count` examples."""
    batch_size = kwargs.setdefault("batch_size", 8)
    _, labels = train(split, -(-count // batch_size), **kwargs)
    assert set(np.unique(labels)) == {0, 1}
    assert (labels.sum(-1) == 1).all()
    return (labels.argmax(-1).ravel()[:count] + 1).tolist()


@pytest.mark.parametrize("batch_size", [8, 150, *slow(1, 50, 103)])
def test_each_epoch_has_every_record_once_in_an_order_of_its_own(numbered, batch_size):
    numbers = _numbers(numbered, 4 * RECORDS, batch_size=batch_size)
    epochs = [numbers[i * RECORDS :][:RECORDS] for i in range(4)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(1, RECORDS + 1))
    for one, other in itertools.combinations(epochs, 2):
        assert sum(a == b for a, b in zip(one, other, strict=True)) < 10


def test_the_order_is_mixed_over_files_and_within(numbered):
    # Of uncorrelated orders the coefficient stays below 3 / sqrt(103).
    epoch = _numbers(numbered, RECORDS)
    in_file_order = [
        n for i in range(SHARDS) for n in range(i + 1, RECORDS + 1, SHARDS)
    ]
    places = [in_file_order.index(number) for number in epoch]
    assert abs(np.corrcoef(places, np.arange(RECORDS))[0, 1]) < 0.45
    assert sum(abs(a - b) == 1 for a, b in itertools.pairwise(places)) < 12


def test_the_digits_of_an_epoch_are_all_of_them(digit_splits):
    split = digit_splits.train
    numbers = _numbers(split, split.images, batch_size=64, num_classes=10)
    labels = [
        int(tfrecord.parse(record)[1])
        for record in tf.data.TFRecordDataset(split.files)
    ]
    assert split.images == len(labels) == 1437 - 90
    assert collections.Counter(numbers) == collections.Counter(labels)


def test_batches_have_static_shapes(numbered):
    transform = pipelines.transform(prepare(24, 0.875), RECORDS)
    trained = batches.train_batches(
        numbered, transform, batch_size=5, seed=0
    ).element_spec
    assert {name: (s.shape, s.dtype) for name, s in trained.items()} == {
        "image": ((5, 24, 24, 3), tf.uint8),
        "label": ((5, RECORDS), tf.float32),
    }
    evaluated = batches.eval_batches(
        numbered, prepare(24, 1.0), labels=pipelines.labels(RECORDS), batch_size=5
    ).element_spec
    assert {name: (s.shape, s.dtype) for name, s in evaluated.items()} == {
        "image": ((5, 24, 24, 3), tf.uint8),
        "label": ((5,), tf.int32),
        "mask": ((5,), tf.float32),
        "number": ((5,), tf.int32),
    }


def test_batches_are_known_to_be_endless(numbered):
    # Of others tf.distribute asks before each step whether all hosts have one left.
    transform = pipelines.transform(prepare(24, 0.875), RECORDS)
    train = batches.train_batches(numbered, transform, batch_size=5, seed=0)
    evaluated = batches.eval_batches(
        numbered, prepare(24, 1.0), labels=pipelines.labels(RECORDS), batch_size=5
    )
    fake = sources.open_source(
        "fake", None, num_classes=10, minival_shards=0, num_train_images=None
    )
    others = (
        fake.train(transform, batch_size=2),
        fake.evaluate(
            fake.splits.validation,
            prepare(8, 1.0),
            batch_size=2,
            shard=batches.Shard(),
            labels=pipelines.labels(10),
        ),
    )
    for dataset in (train, evaluated, *others):
        assert dataset.cardinality().numpy() == tf.data.INFINITE_CARDINALITY


@pytest.mark.parametrize("starts", [(37, 96, 103, 1032), *slow([8, 104, 206])])
def test_a_stream_continues_bit_for_bit(numbered, starts):
    whole_images, whole_labels = train(numbered, 1200, batch_size=1, seed=3)
    # In the first epoch, across its end at 103, at the second's, beyond; between the
    # batches of the whole stream's 8, too.
    for start in starts:
        images, labels = train(numbered, 20, seed=3, start=start)
        there = slice(start, start + 160)
        np.testing.assert_array_equal(
            images.reshape(160, 8, 8, 3), whole_images[there, 0]
        )
        np.testing.assert_array_equal(labels.reshape(160, -1), whole_labels[there, 0])


def test_augmentation_and_mixup_continue_whatever_the_global_seed(numbered):
    kwargs = {"augment": "randaugment", "randaugment_num_layers": 1, "mixup_alpha": 0.4}
    tf.random.set_seed(1)
    whole_images, whole_labels = train(numbered, 30, **kwargs)
    tf.random.set_seed(2)
    images, labels = train(numbered, 15, start=15 * 8, **kwargs)
    np.testing.assert_array_equal(images, whole_images[15:])
    np.testing.assert_array_equal(labels, whole_labels[15:])


def test_every_draw_of_a_stream_differs(numbered):
    images, labels = train(numbered, 3 * RECORDS, batch_size=1)
    of_record = collections.defaultdict(set)
    for image, label in zip(images[:, 0], labels[:, 0], strict=True):
        of_record[label.argmax()].add(image.tobytes())
    assert {len(crops) for crops in of_record.values()} == {3}


def test_mixup_blends_within_a_batch(numbered):
    _, plain = train(numbered, 5)
    _, mixed = train(numbered, 5, mixup_alpha=1.0)
    np.testing.assert_allclose(mixed.sum(-1), 1, atol=1e-6)
    weight = (mixed * plain).sum(-1, keepdims=True)
    assert weight.min() >= 0.5
    assert len(np.unique(weight)) == 40
    np.testing.assert_allclose(
        mixed, weight * plain + (1 - weight) * plain[:, ::-1], atol=1e-6
    )


def test_streams_repeat_under_a_seed_and_differ_under_others(numbered):
    first, labels = train(numbered, 20, seed=0)
    again, again_labels = train(numbered, 20, seed=0)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(labels, again_labels)
    orders = {
        tuple(_numbers(numbered, RECORDS, seed=seed)) for seed in (0, 1, 2, 2**31 - 1)
    }
    assert len(orders) == 4


def test_seeds_give_other_crops_of_the_same_record(numbered):
    crops = collections.defaultdict(set)
    for seed in range(3):
        images, labels = train(numbered, RECORDS, batch_size=1, seed=seed)
        for image, label in zip(images[:, 0], labels[:, 0], strict=True):
            crops[label.argmax()].add(image.tobytes())
    assert {len(of_record) for of_record in crops.values()} == {3}


def test_a_stream_leaves_the_global_seed_alone(numbered):
    drawn = []
    for count in (None, 3):
        tf.random.set_seed(5)
        if count:
            train(numbered, count)
        drawn.append(tf.random.uniform([4]).numpy())
    np.testing.assert_array_equal(drawn[0], drawn[1])


def test_hosts_read_disjoint_files_and_together_all(numbered):
    shares = []
    for index, (records, share) in enumerate([(59, 51), (44, 51)]):
        numbers = _numbers(
            numbered, 4 * share, batch_size=1, shard=batches.Shard(index, 2)
        )
        epochs = [numbers[i * share :][:share] for i in range(4)]
        # Both call half of all records an epoch: one host has more, the other fewer.
        repeats = max(0, share - records)
        assert {len(set(epoch)) for epoch in epochs} == {share - repeats}
        shares.append(set(numbers))
    files = [numbered.files[index::2] for index in (0, 1)]
    for found, paths in zip(shares, files, strict=True):
        records = tf.data.TFRecordDataset(paths)
        assert found == {int(tfrecord.parse(record)[1]) for record in records}
    assert not shares[0] & shares[1]
    assert shares[0] | shares[1] == set(range(1, RECORDS + 1))


def test_hosts_crop_differently(tmp_path):
    encoded = digits.encode_jpeg(np.random.default_rng(0).integers(0, 17, (8, 8)))
    tfrecord.write_shards(str(tmp_path), "train", [(encoded, 1)] * 8, shards=2)
    tfrecord.write_shards(str(tmp_path), "validation", [(encoded, 1)], shards=1)
    split = tfrecord.open_splits(str(tmp_path)).train
    images = [
        train(split, 50, batch_size=1, num_classes=1, shard=batches.Shard(i, 2))[0]
        for i in (0, 1)
    ]
    assert len({image.tobytes() for image in np.concatenate(images)}) == 100


def test_a_host_continues_bit_for_bit(numbered):
    shard = batches.Shard(1, 2)
    whole, _ = train(numbered, 30, shard=shard)
    images, _ = train(numbered, 15, shard=shard, start=15 * 8)
    np.testing.assert_array_equal(images, whole[15:])


def test_minival_and_train_share_no_image(digit_splits):
    parts = [
        set(encoded_images(split))
        for split in (digit_splits.train, digit_splits.minival, digit_splits.validation)
    ]
    assert [len(part) for part in parts] == [1347, 90, 360]
    assert len(set.union(*parts)) == 1797


def test_training_never_draws_a_minival_image(tmp_path, numbered):
    examples = [(encoded, n + 1) for n, encoded in enumerate(encoded_images(numbered))]
    tfrecord.write_shards(str(tmp_path), "train", examples, shards=10)
    tfrecord.write_shards(str(tmp_path), "validation", examples, shards=1)
    splits = tfrecord.open_splits(str(tmp_path), minival_shards=3)
    drawn = set(_numbers(splits.train, 3 * splits.train.images))
    held_out = {n + 1 for n in range(RECORDS) if n % 10 < 3}
    assert drawn == set(range(1, RECORDS + 1)) - held_out
    evaluated = evaluate(splits.minival, batch_size=8)
    assert set(evaluated["label"][evaluated["mask"] == 1] + 1) == held_out
