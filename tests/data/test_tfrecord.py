import collections
import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn import datasets

from efficientnet_tf.data import digits, record_check, record_files, tfrecord


def _jpeg(value: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), (value, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def _write(data_dir, split, *, shards, records=None):
    """As many equal-sized shards, with labels 1, 2, 3 ... in turn."""
    examples = [(_jpeg(), label + 1) for label in range(records or shards)]
    tfrecord.write_shards(str(data_dir), split, examples, shards=shards)


def _read(files) -> list[tuple[bytes, int]]:
    examples = [tfrecord.parse(record) for record in tf.data.TFRecordDataset(files)]
    return [(encoded.numpy(), int(label)) for encoded, label in examples]


def _empty_shards(data_dir, *, train, validation=1):
    for split, shards in (("train", train), ("validation", validation)):
        for index in range(shards):
            (data_dir / f"{split}-{index:05d}-of-{shards:05d}").touch()


def test_shards_take_the_examples_in_turn(tmp_path):
    examples = [(_jpeg(value), value + 1) for value in range(7)]
    tfrecord.write_shards(f"{tmp_path}/new", "train", examples, shards=3)
    files = sorted(os.listdir(tmp_path / "new"))
    assert files == [f"train-0000{i}-of-00003" for i in range(3)]
    paths = [f"{tmp_path}/new/{file}" for file in files]
    assert [_read(path) for path in paths] == [examples[i::3] for i in range(3)]


def test_unfinished_shards_are_not_taken_for_finished_ones(tmp_path):
    def failing():
        yield _jpeg(), 1
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        tfrecord.write_shards(str(tmp_path), "train", failing(), shards=2)
    assert os.listdir(tmp_path) == []
    _write(tmp_path, "validation", shards=1)
    with pytest.raises(ValueError, match=r"no train-\* files there"):
        tfrecord.open_splits(str(tmp_path))


@pytest.mark.parametrize("records", [0, 1, 57])
def test_records_are_counted(tmp_path, records):
    tfrecord.write_shards(str(tmp_path), "train", [(_jpeg(), 1)] * records, shards=1)
    path = f"{tmp_path}/train-00000-of-00001"
    assert record_files.count_records(path) == records == len(_read(path))


@pytest.mark.parametrize(
    ("keep", "record"), [(-1, 3), (-5, 3), (5, 1), (8, 1), (11, 1), (13, 1)]
)
def test_a_cut_file_is_damaged(tmp_path, keep, record):
    _write(tmp_path, "train", shards=1, records=3)
    path = tmp_path / "train-00000-of-00001"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError) as error:
        record_files.count_records(str(path))
    assert str(error.value) == (
        f"{path} is damaged: record {record} (from 1) is cut short"
    )


def test_a_file_with_something_behind_its_records_is_damaged(tmp_path):
    _write(tmp_path, "train", shards=1, records=3)
    path = tmp_path / "train-00000-of-00001"
    path.write_bytes(path.read_bytes() + b"tail")
    with pytest.raises(ValueError, match=r"damaged: record 4 \(from 1\)"):
        record_files.count_records(str(path))


def test_open_splits_meets_damaged_files(tmp_path):
    _write(tmp_path, "train", shards=2)
    _write(tmp_path, "validation", shards=1)
    path = tmp_path / "train-00001-of-00002"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="train-00001-of-00002 is damaged"):
        tfrecord.open_splits(str(tmp_path))


@pytest.mark.parametrize(
    ("minival_shards", "held_out"),
    [(0, 0), (1, 1), (3, 3), (9, 9), (0.05, 1), (0.2, 2), (0.5, 5), (0.001, 1)],
)
def test_minival_takes_the_first_train_shards(tmp_path, minival_shards, held_out):
    _write(tmp_path, "train", shards=10, records=25)  # 5 shards of 3, 5 of 2
    _write(tmp_path, "validation", shards=2, records=7)
    splits = tfrecord.open_splits(str(tmp_path), minival_shards=minival_shards)
    files = tuple(f"{tmp_path}/train-{i:05d}-of-00010" for i in range(10))
    images = [3] * 5 + [2] * 5
    assert splits.train == tfrecord.Split(
        "train", files[held_out:], sum(images[held_out:])
    )
    assert splits.validation.images == 7
    assert len(splits.validation.files) == 2
    if held_out:
        assert splits.minival == tfrecord.Split(
            "minival", files[:held_out], sum(images[:held_out])
        )
    else:
        assert splits.minival is None


@pytest.mark.parametrize("minival_shards", [4, 5, 0.9])
def test_holding_out_every_train_shard_is_refused(tmp_path, minival_shards):
    _empty_shards(tmp_path, train=4)
    with pytest.raises(ValueError) as error:
        tfrecord.open_splits(str(tmp_path), minival_shards=minival_shards)
    assert f"minival_shards={minival_shards} leaves nothing of 4 " in str(error.value)
    assert "allowed is 0 (hold nothing out) or fewer shards" in str(error.value)


@pytest.mark.parametrize("num_train_images", [None, 1_281_167])
def test_20_of_imagenets_shards_are_the_papers_minival(tmp_path, num_train_images):
    _empty_shards(tmp_path, train=1024, validation=128)
    splits = tfrecord.open_splits(
        str(tmp_path), minival_shards=20, num_train_images=num_train_images
    )
    assert (len(splits.minival.files), splits.minival.images) == (20, 25_022)
    assert (len(splits.train.files), splits.train.images) == (1004, 1_256_145)
    assert (len(splits.validation.files), splits.validation.images) == (128, 50_000)
    assert not set(splits.minival.files) & set(splits.train.files)


@pytest.mark.parametrize("missing", ["train", "validation"])
def test_missing_files_are_named(tmp_path, missing):
    present = {"train": "validation", "validation": "train"}[missing]
    _write(tmp_path, present, shards=1)
    with pytest.raises(ValueError) as error:
        tfrecord.open_splits(str(tmp_path))
    assert str(error.value) == (
        f"data_dir={tmp_path}: no {missing}-* files there; it must hold TFRecord "
        f"files named train-* and validation-* (it holds {present}-00000-of-00001)"
    )


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"data_dir={tmp_path}/none: "):
        tfrecord.open_splits(f"{tmp_path}/none")


def _first_record_error(tmp_path, *records: bytes, num_classes=10) -> str:
    path = f"{tmp_path}/train-00000-of-00001"
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    with pytest.raises(ValueError) as error:
        record_check.check_first_record(
            tfrecord.Split("train", (path,), 1), num_classes=num_classes
        )
    message = str(error.value)
    assert message.startswith(path)
    return message


def _example(**features) -> bytes:
    kinds = {bytes: "bytes_list", int: "int64_list"}
    lists = {bytes: tf.train.BytesList, int: tf.train.Int64List}
    feature = {
        name.replace("__", "/"): tf.train.Feature(
            **{kinds[type(value)]: lists[type(value)](value=[value])}
        )
        for name, value in features.items()
    }
    return tf.train.Example(
        features=tf.train.Features(feature=feature)
    ).SerializeToString()


def test_the_first_record_of_a_good_file_passes(digits_dir):
    splits = tfrecord.open_splits(digits_dir)
    record_check.check_first_record(splits.train, num_classes=10)
    with pytest.raises(ValueError, match=r"allowed is 1 to num_classes=1$"):
        record_check.check_first_record(splits.train, num_classes=1)


@pytest.mark.parametrize("label", [0, -1, 11])
def test_a_first_label_out_of_range_is_named(tmp_path, label):
    record = _example(image__encoded=_jpeg(), image__class__label=label)
    message = _first_record_error(tmp_path, record)
    assert f"first record's label is {label}; allowed is 1 to num_classes=10" in message


@pytest.mark.parametrize(
    "record",
    [
        b"not an Example",
        _example(image__encoded=_jpeg()),
        _example(image__class__label=3),
        _example(image__encoded=b"not an image", image__class__label=3),
        _example(image__encoded=_jpeg()[:40], image__class__label=3),
        _example(image__encoded=7, image__class__label=3),
    ],
    ids=["no-example", "no-label", "no-image", "no-jpeg", "cut-jpeg", "wrong-type"],
)
def test_a_first_record_that_cannot_be_used_says_what_it_must_be(tmp_path, record):
    message = _first_record_error(tmp_path, record)
    assert "the first record cannot be read" in message
    assert "image/encoded (an image file) and image/class/label" in message


def test_a_file_without_records_is_named(tmp_path):
    assert _first_record_error(tmp_path).endswith("holds no records")


def test_digits_are_1437_and_360_images_with_labels_from_1(digits_dir):
    splits = tfrecord.open_splits(digits_dir)
    assert (splits.train.images, splits.validation.images) == (1437, 360)
    _, labels = datasets.load_digits(return_X_y=True)
    of_train = [label for _, label in _read(splits.train.files)]
    of_validation = [label for _, label in _read(splits.validation.files)]
    assert set(of_train) == set(of_validation) == set(range(1, 11))
    assert collections.Counter(of_train + of_validation) == collections.Counter(
        (labels + 1).tolist()
    )
    # Stratified: each class keeps its share.
    assert set(collections.Counter(of_validation).values()) <= {35, 36, 37}


def test_digits_splits_share_no_image(digits_dir):
    splits = tfrecord.open_splits(digits_dir, minival_shards=3)
    parts = [
        {encoded for encoded, _ in _read(split.files)}
        for split in (splits.train, splits.minival, splits.validation)
    ]
    sizes = [split.images for split in (splits.train, splits.minival)] + [360]
    assert [len(part) for part in parts] == sizes  # scikit-learn's hold no duplicate
    assert len(set.union(*parts)) == 1797


def test_digits_records_hold_the_digits(digits_dir):
    images, labels = datasets.load_digits(return_X_y=True)
    known = images.reshape(-1, 8, 8) * (255 / 16)
    splits = tfrecord.open_splits(digits_dir)
    for encoded, label in _read(splits.validation.files)[:50]:
        image = Image.open(io.BytesIO(encoded))
        assert (image.format, image.size) == ("JPEG", (32, 32))
        small = np.asarray(image.resize((8, 8), Image.Resampling.BOX), np.float32)
        distance = np.abs(known - small).mean((1, 2))
        assert labels[distance.argmin()] + 1 == label


def test_preparing_digits_again_writes_nothing(tmp_path):
    digits.prepare(str(tmp_path))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(before) == 16 + 2 + 1
    digits.prepare(str(tmp_path))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_an_interrupted_preparation_is_done_again(tmp_path, digits_dir):
    digits.prepare(str(tmp_path))
    (tmp_path / "DIGITS").write_text("being written\n")
    (tmp_path / "train-00003-of-00016").write_bytes(b"half a rec")
    (tmp_path / "validation-00001-of-00002").unlink()
    digits.prepare(str(tmp_path))
    for path in tmp_path.iterdir():
        with open(f"{digits_dir}/{path.name}", "rb") as file:
            assert path.read_bytes() == file.read()


def test_records_of_someone_else_are_not_mixed_with_digits(tmp_path):
    _write(tmp_path, "train", shards=16)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"not the digits; .*--dataset=imagenet"):
        digits.prepare(str(tmp_path))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_the_cache_folder_follows_xdg(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert digits.default_dir() == "/somewhere/efficientnet_tf/digits-v1"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/user")
    assert digits.default_dir() == "/home/user/.cache/efficientnet_tf/digits-v1"
