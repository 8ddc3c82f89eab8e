import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data import batches, digits, sources, tfrecord

RECORDS, SHARDS = 103, 7


@pytest.fixture(scope="module")
def numbered(tmp_path_factory) -> tfrecord.Split:
    """Records that their labels, 1 to 103, tell apart, in 7 files."""
    path = str(tmp_path_factory.mktemp("numbered"))
    rng = np.random.default_rng(0)
    examples = [
        (digits.encode_jpeg(rng.integers(0, 17, (8, 8))), number)
        for number in range(1, RECORDS + 1)
    ]
    for split in ("train", "validation"):
        tfrecord.write_shards(path, split, examples, shards=SHARDS)
    return tfrecord.open_splits(path).train


@pytest.fixture(scope="module")
def digit_splits(digits_dir) -> tfrecord.Splits:
    return tfrecord.open_splits(digits_dir, minival_shards=0.05)


def _train(split, count, *, batch_size=8, seed=0, shard=None, start=0, **transform):
    """The first `count` batches as two arrays, of images and of labels from 1."""
    transform = {"image_size": 8, "num_classes": RECORDS} | transform
    dataset = batches.train_batches(
        split,
        batches.TrainTransform(**transform),
        batch_size=batch_size,
        seed=seed,
        start=start,
        shuffle_buffer=40,
        shard=shard or batches.Shard(),
    )
    drawn = list(dataset.take(count).as_numpy_iterator())
    images, labels = (np.stack(arrays) for arrays in zip(*drawn, strict=True))
    assert images.dtype == np.uint8
    assert images.shape[1:] == (batch_size, *dataset.element_spec[0].shape[1:])
    return images, labels


def _numbers(split, count, **kwargs) -> list[int]:
    """The labels, from 1, of the first `count` examples."""
    batch_size = kwargs.setdefault("batch_size", 8)
    _, labels = _train(split, -(-count // batch_size), **kwargs)
    assert set(np.unique(labels)) == {0, 1}
    assert (labels.sum(-1) == 1).all()
    return (labels.argmax(-1).ravel()[:count] + 1).tolist()


def _encoded(split) -> list[bytes]:
    records = tf.data.TFRecordDataset(split.files)
    return [tfrecord.parse(record)[0].numpy() for record in records]


@pytest.mark.parametrize("batch_size", [1, 8, 50, 103, 150])
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
    transform = batches.TrainTransform(image_size=24, num_classes=RECORDS)
    images, labels = batches.train_batches(
        numbered, transform, batch_size=5, seed=0
    ).element_spec
    assert (images.shape, images.dtype) == ((5, 24, 24, 3), tf.uint8)
    assert (labels.shape, labels.dtype) == ((5, RECORDS), tf.float32)
    evaluated = batches.eval_batches(
        numbered, image_size=24, num_classes=RECORDS, crop_fraction=1.0, batch_size=5
    ).element_spec
    assert {name: (s.shape, s.dtype) for name, s in evaluated.items()} == {
        "image": ((5, 24, 24, 3), tf.uint8),
        "label": ((5,), tf.int32),
        "mask": ((5,), tf.float32),
    }


def test_batches_are_known_to_be_endless(numbered):
    # Of others tf.distribute asks before each step whether all hosts have one left.
    transform = batches.TrainTransform(image_size=24, num_classes=RECORDS)
    train = batches.train_batches(numbered, transform, batch_size=5, seed=0)
    evaluated = batches.eval_batches(
        numbered, image_size=24, num_classes=RECORDS, crop_fraction=1.0, batch_size=5
    )
    fake = sources.open_source(
        "fake", None, num_classes=10, minival_shards=0, num_train_images=None
    )
    others = (
        fake.train(transform, batch_size=2),
        fake.evaluate(
            fake.splits.validation,
            image_size=8,
            batch_size=2,
            shard=batches.Shard(),
            num_classes=10,
        ),
    )
    for dataset in (train, evaluated, *others):
        assert dataset.cardinality().numpy() == tf.data.INFINITE_CARDINALITY


# In the first epoch, in its middle, across its end at 103, at the second's, beyond.
@pytest.mark.parametrize("start", [8, 48, 96, 104, 200, 208, 416, 1032])
def test_a_stream_continues_bit_for_bit(numbered, start):
    whole_images, whole_labels = _train(numbered, (start + 160) // 8, seed=3)
    images, labels = _train(numbered, 20, seed=3, start=start)
    np.testing.assert_array_equal(images, whole_images[start // 8 :])
    np.testing.assert_array_equal(labels, whole_labels[start // 8 :])


def test_a_stream_continues_between_batches_too(numbered):
    whole, _ = _train(numbered, 300, batch_size=1)
    for start in (1, 37, 102, 103, 150, 206):
        images, _ = _train(numbered, 10, start=start)
        np.testing.assert_array_equal(
            images.reshape(80, 8, 8, 3), whole[start : start + 80, 0]
        )


def test_augmentation_and_mixup_continue_bit_for_bit(numbered):
    kwargs = {"augment": "randaugment", "randaugment_num_layers": 1, "mixup_alpha": 0.4}
    whole_images, whole_labels = _train(numbered, 30, **kwargs)
    images, labels = _train(numbered, 15, start=15 * 8, **kwargs)
    np.testing.assert_array_equal(images, whole_images[15:])
    np.testing.assert_array_equal(labels, whole_labels[15:])


def test_every_draw_of_a_stream_differs(numbered):
    images, labels = _train(numbered, 3 * RECORDS, batch_size=1)
    of_record = collections.defaultdict(set)
    for image, label in zip(images[:, 0], labels[:, 0], strict=True):
        of_record[label.argmax()].add(image.tobytes())
    assert {len(crops) for crops in of_record.values()} == {3}


def test_mixup_blends_within_a_batch(numbered):
    _, plain = _train(numbered, 5)
    _, mixed = _train(numbered, 5, mixup_alpha=1.0)
    np.testing.assert_allclose(mixed.sum(-1), 1, atol=1e-6)
    weight = (mixed * plain).sum(-1, keepdims=True)
    assert weight.min() >= 0.5
    assert len(np.unique(weight)) == 40
    np.testing.assert_allclose(
        mixed, weight * plain + (1 - weight) * plain[:, ::-1], atol=1e-6
    )


def test_streams_repeat_under_a_seed_and_differ_under_others(numbered):
    first, labels = _train(numbered, 20, seed=0)
    again, again_labels = _train(numbered, 20, seed=0)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(labels, again_labels)
    orders = {
        tuple(_numbers(numbered, RECORDS, seed=seed)) for seed in (0, 1, 2, 2**31 - 1)
    }
    assert len(orders) == 4


def test_seeds_give_other_crops_of_the_same_record(numbered):
    crops = collections.defaultdict(set)
    for seed in range(3):
        images, labels = _train(numbered, RECORDS, batch_size=1, seed=seed)
        for image, label in zip(images[:, 0], labels[:, 0], strict=True):
            crops[label.argmax()].add(image.tobytes())
    assert {len(of_record) for of_record in crops.values()} == {3}


def test_a_stream_ignores_the_global_seed(numbered):
    streams = []
    for seed in (1, 2):
        tf.random.set_seed(seed)
        streams.append(
            _train(numbered, 20, augment="randaugment", randaugment_num_layers=1)
        )
    np.testing.assert_array_equal(streams[0][0], streams[1][0])
    np.testing.assert_array_equal(streams[0][1], streams[1][1])


def test_a_stream_leaves_the_global_seed_alone(numbered):
    drawn = []
    for count in (None, 3):
        tf.random.set_seed(5)
        if count:
            _train(numbered, count)
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
        _train(split, 50, batch_size=1, num_classes=1, shard=batches.Shard(i, 2))[0]
        for i in (0, 1)
    ]
    assert len({image.tobytes() for image in np.concatenate(images)}) == 100


def test_a_host_continues_bit_for_bit(numbered):
    shard = batches.Shard(1, 2)
    whole, _ = _train(numbered, 30, shard=shard)
    images, _ = _train(numbered, 15, shard=shard, start=15 * 8)
    np.testing.assert_array_equal(images, whole[15:])


def test_minival_and_train_share_no_image(digit_splits):
    parts = [
        set(_encoded(split))
        for split in (digit_splits.train, digit_splits.minival, digit_splits.validation)
    ]
    assert [len(part) for part in parts] == [1347, 90, 360]
    assert len(set.union(*parts)) == 1797


def test_training_never_draws_a_minival_image(tmp_path, numbered):
    examples = [(encoded, n + 1) for n, encoded in enumerate(_encoded(numbered))]
    tfrecord.write_shards(str(tmp_path), "train", examples, shards=10)
    tfrecord.write_shards(str(tmp_path), "validation", examples, shards=1)
    splits = tfrecord.open_splits(str(tmp_path), minival_shards=3)
    drawn = set(_numbers(splits.train, 3 * splits.train.images))
    held_out = {n + 1 for n in range(RECORDS) if n % 10 < 3}
    assert drawn == set(range(1, RECORDS + 1)) - held_out
    evaluated = _evaluate(splits.minival, batch_size=8)
    assert set(evaluated["label"][evaluated["mask"] == 1] + 1) == held_out


def _evaluate(split, *, batch_size, extra=0, **kwargs) -> dict[str, np.ndarray]:
    """Every example up to the end of the last batch with one, and `extra` batches."""
    kwargs = {"image_size": 8, "num_classes": RECORDS, "crop_fraction": 0.5} | kwargs
    dataset = batches.eval_batches(split, batch_size=batch_size, **kwargs)
    drawn = list(
        dataset.take(-(-split.images // batch_size) + extra).as_numpy_iterator()
    )
    return {name: np.concatenate([batch[name] for batch in drawn]) for name in drawn[0]}


@pytest.mark.parametrize("batch_size", [1, 10, 50, 103, 206, 300])
def test_evaluation_has_every_example_once_and_masks_the_rest(numbered, batch_size):
    found = _evaluate(numbered, batch_size=batch_size, extra=2)
    mask = found["mask"]
    assert mask.sum() == RECORDS
    np.testing.assert_array_equal(mask[:RECORDS], 1)
    assert (mask[RECORDS:] == 0).all()
    assert len(mask) == (-(-RECORDS // batch_size) + 2) * batch_size
    assert sorted(found["label"][:RECORDS]) == list(range(RECORDS))
    assert not found["image"][RECORDS:].any()
    assert len({image.tobytes() for image in found["image"][:RECORDS]}) == RECORDS


@pytest.mark.parametrize("batch_size", [120, 128])
def test_evaluation_counts_all_360_digits(digit_splits, batch_size):
    split = digit_splits.validation
    found = _evaluate(split, batch_size=batch_size, image_size=32, num_classes=10)
    assert found["mask"].sum() == 360
    assert set(found["label"][found["mask"] == 1]) == set(range(10))


def test_hosts_evaluate_every_example_once_together(numbered):
    found = [
        _evaluate(numbered, batch_size=20, shard=batches.Shard(index, 3))
        for index in range(3)
    ]
    labels = np.concatenate([part["label"][part["mask"] == 1] for part in found])
    assert sorted(labels) == list(range(RECORDS))


def test_evaluation_shows_the_center_crop(numbered):
    found = _evaluate(numbered, batch_size=RECORDS, image_size=16, crop_fraction=0.5)
    encoded = _encoded(numbered)
    order = {n: k for k, n in enumerate(found["label"])}
    in_file_order = [n for i in range(SHARDS) for n in range(i, RECORDS, SHARDS)]
    for place in (0, 50, 102):
        # A 16x16 window of 32x32 pixels, at its own size: no resizing.
        center = tf.io.decode_jpeg(encoded[place], channels=3).numpy()[8:24, 8:24]
        image = found["image"][order[in_file_order[place]]]
        np.testing.assert_array_equal(image, center)


@pytest.mark.parametrize("num_classes", [1, 50, RECORDS - 1])
def test_a_label_out_of_range_names_num_classes(numbered, num_classes):
    message = f"label is not within 1 ... num_classes={num_classes}"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        _train(numbered, 13, num_classes=num_classes)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        _evaluate(numbered, batch_size=RECORDS, num_classes=num_classes)


def test_label_0_is_out_of_range(tmp_path):
    encoded = digits.encode_jpeg(np.zeros((8, 8)))
    for split in ("train", "validation"):
        tfrecord.write_shards(str(tmp_path), split, [(encoded, 0)], shards=1)
    split = tfrecord.open_splits(str(tmp_path)).train
    with pytest.raises(tf.errors.InvalidArgumentError, match="num_classes=10"):
        _train(split, 1, batch_size=1, num_classes=10)
    with pytest.raises(tf.errors.InvalidArgumentError, match="num_classes=10"):
        _evaluate(split, batch_size=1, num_classes=10)


@pytest.mark.parametrize("index", [0, 7])
def test_every_host_refuses_fewer_files_than_hosts(numbered, index):
    shard = batches.Shard(index, 8)
    message = "split train has 7 files for 8 hosts; each host needs at least one"
    with pytest.raises(ValueError, match=message):
        _train(numbered, 1, shard=shard)


def test_hosts_without_a_file_evaluate_padding_alone(numbered):
    hosts = SHARDS + 1
    found = [
        _evaluate(numbered, batch_size=20, shard=batches.Shard(index, hosts))
        for index in range(hosts)
    ]
    labels = np.concatenate([part["label"][part["mask"] == 1] for part in found])
    assert sorted(labels) == list(range(RECORDS))
    assert not found[-1]["mask"].any()


def test_a_label_offset_moves_every_class(numbered):
    classes = RECORDS + 2
    kwargs = {"num_classes": classes, "label_offset": 2}
    found = _evaluate(numbered, batch_size=RECORDS, **kwargs)
    assert sorted(found["label"]) == list(range(2, classes))
    _, moved = _train(numbered, 13, **kwargs)
    _, plain = _train(numbered, 13)
    np.testing.assert_array_equal(moved.argmax(-1), plain.argmax(-1) + 2)
    assert moved.shape[-1] == classes


def test_a_label_offset_leaves_fewer_labels(numbered):
    message = f"1 ... num_classes={RECORDS} - label_offset=1"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        _evaluate(numbered, batch_size=RECORDS, label_offset=1)


def test_both_pipelines_resize_as_asked(numbered):
    bilinear, bicubic = (
        _evaluate(numbered, batch_size=RECORDS, image_size=20, resize=resize)["image"]
        for resize in ("bilinear", "bicubic")
    )
    assert (bilinear != bicubic).any()
    images = [
        _train(numbered, 2, image_size=20, resize=resize)[0]
        for resize in ("bilinear", "bicubic")
    ]
    assert (images[0] != images[1]).any()
