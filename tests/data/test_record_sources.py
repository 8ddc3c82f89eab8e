"""Records with other features, texts for labels, compressed, or empty."""

import gzip
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from folder_support import WHOLE, encode, evaluate
from test_places import assert_found_again

from efficientnet_tf import config
from efficientnet_tf.data import batches, record_check, record_files, sources, tfrecord
from efficientnet_tf.data.settings import Reading

NAMES = ("bee", "ant", "cät")


def example(**features) -> bytes:
    made = tf.train.Example()
    for name, value in features.items():
        kind = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
        getattr(made.features.feature[name], kind[type(value)]).value.append(value)
    return made.SerializeToString()


def write(folder, split, records, *, shards=1, zipped=()) -> None:
    """Writes records in turn to shards, of which those of some numbers are GZIP'd."""
    pathlib.Path(folder).mkdir(exist_ok=True)
    for index in range(shards):
        path = f"{folder}/{split}-{index:05d}-of-{shards:05d}"
        options = "GZIP" if index in zipped else None
        with tf.io.TFRecordWriter(path, options) as writer:
            for record in records[index::shards]:
                writer.write(record)


def fill(folder, make, *, train=9, validation=5, **kwargs) -> str:
    """Writes records that `make` makes of their numbers."""
    write(folder, "train", [make(i) for i in range(train)], **kwargs)
    numbers = range(100, 100 + validation)
    write(folder, "validation", [make(i) for i in numbers], **kwargs)
    return str(folder)


def open_splits(folder, *, num_classes=3, minival_shards=0, **reading):
    return sources.open_source(
        *("imagenet", folder),
        num_classes=num_classes,
        minival_shards=minival_shards,
        num_train_images=None,
        reading=Reading(**reading),
    ).splits


def refusal(folder, **kwargs) -> str:
    with pytest.raises(ValueError) as error:
        open_splits(folder, **kwargs)
    (line,) = str(error.value).replace(str(folder), "DIR").splitlines()
    assert "{{" not in line
    return line


def labels(split) -> list[int]:
    found = evaluate(split, batch_size=split.images)
    return found["label"][found["mask"] == 1].tolist()


def plain(i: int) -> bytes:
    return example(**{"image/encoded": encode(i), "image/class/label": i % 3 + 1})


@pytest.mark.parametrize("first", [0, 1])
def test_features_have_the_names_that_are_given(tmp_path, first):
    data_dir = fill(tmp_path, lambda i: example(png=encode(i), y=i % 3 + first))
    splits = open_splits(data_dir, image_key="png", label_key="y", first_label=first)
    assert labels(splits.validation) == [i % 3 for i in range(100, 105)]
    assert_found_again(splits.validation, shards=1, num_classes=3)


def test_labels_from_0_where_1_is_the_first_are_told(tmp_path):
    data_dir = fill(tmp_path, lambda i: example(png=encode(i), y=(i + 1) % 3))
    message = refusal(data_dir, image_key="png", label_key="y")
    assert message.startswith("first_label=1: records of DIR have labels from 0 in y")


def test_one_label_0_among_others_is_not_taken_for_their_rule(tmp_path):
    def almost(i):
        label = 0 if i == 1 else i % 3 + 1
        return example(**{"image/encoded": encode(i), "image/class/label": label})

    assert open_splits(fill(tmp_path, almost)).notes == ()


def named(i: int) -> bytes:
    return example(**{"image/encoded": encode(i), "name": NAMES[i % 3].encode()})


@pytest.mark.parametrize("order", [None, NAMES])
def test_texts_are_labels_in_the_order_of_their_list_or_sorted(tmp_path, order):
    data_dir = fill(tmp_path, named)
    if order:
        (tmp_path / "labels.txt").write_text("\n".join(order), encoding="utf-8")
    splits = open_splits(data_dir, label_key="name")
    order = order or tuple(sorted(NAMES))
    assert splits.class_names == order
    expected = [order.index(NAMES[i % 3]) for i in range(100, 105)]
    assert labels(splits.validation) == expected
    assert any("texts in name" in note for note in splits.notes)


def test_texts_that_do_not_fit_are_told(tmp_path):
    data_dir = fill(tmp_path, named)
    message = refusal(data_dir, label_key="name", num_classes=1000)
    assert message.startswith("num_classes=1000: ")
    assert "3 texts in name (ant, bee, cät)" in message
    (tmp_path / "labels.txt").write_text("ant\nbee", encoding="utf-8")
    message = refusal(data_dir, label_key="name")
    assert message.startswith("DIR/labels.txt: holds 2 names, but there are 3 labels")
    (tmp_path / "labels.txt").write_text("cät\nbee\ndog", encoding="utf-8")
    message = refusal(data_dir, label_key="name")
    assert message.startswith("DIR/validation-00000-of-00001: the first record's label")
    assert "'ant'" in message


def test_a_text_that_is_no_label_is_never_another(tmp_path):
    data_dir = fill(tmp_path, named)
    (tmp_path / "labels.txt").write_text("bee\nowl\nant", encoding="utf-8")
    split = open_splits(data_dir, label_key="name").train
    found = [int(split.example(tf.constant(named(i)))[1]) for i in range(3)]
    assert found == [0, 2, -1]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (example(png=b"x", other=3), "has no image/encoded, but other, png"),
        (
            example(**{"image/encoded": b"x", "y": 1}),
            "has no image/class/label, but im",
        ),
        (example(), "has no image/encoded, but no features"),
        (b"\xff\xff\xff", "is no tf.train.Example"),
        (example(**{"image/encoded": encode(0), "image/class/label": 1.0}), "float_li"),
        (
            example(**{"image/encoded": 3, "image/class/label": 1}),
            "an int64_list in im",
        ),
    ],
    # A record's bytes differ from process to process.
    ids=["no image", "no label", "empty", "no example", "float label", "int image"],
)
def test_a_record_that_lacks_a_feature_is_told_with_those_it_has(
    tmp_path, record, told
):
    split = tfrecord.Split("train", (), 0)
    assert told.replace("an int64", "a int64") in record_check.why_unusable(
        record, split
    )
    data_dir = fill(tmp_path, plain)
    write(data_dir, "train", [record, plain(1)])
    message = refusal(data_dir)
    assert message.startswith("DIR/train-00000-of-00001: the first record cannot be")
    assert told.replace("an int64", "a int64") in message


def test_compressed_files_are_read_like_others(tmp_path):
    flat = open_splits(fill(tmp_path / "plain", plain, shards=3))
    packed = open_splits(fill(tmp_path / "zipped", plain, shards=3, zipped=(0, 2)))
    assert packed.train.images == flat.train.images == 9
    for one, other in (
        (flat.train, packed.train),
        (flat.validation, packed.validation),
    ):
        a, b = (evaluate(split) for split in (one, other))
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    there = assert_found_again(packed.validation, shards=1, num_classes=3)
    assert {place.record for place in there.values()} == {0, 1}


def test_a_compressed_file_that_is_cut_is_damaged(tmp_path):
    fill(tmp_path, plain, zipped=(0,))
    path = tmp_path / "train-00000-of-00001"
    whole = path.read_bytes()
    assert record_files.count_records(str(path)) == 9
    for content in (whole[:-9], whole[: len(whole) // 2], whole[:40]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path} is damaged: "):
            record_files.count_records(str(path))
    path.write_bytes(gzip.compress(gzip.decompress(whole)[:-3]))
    with pytest.raises(ValueError, match=r"is damaged: record 9 \(from 1\) is cut"):
        record_files.count_records(str(path))


def test_a_record_whose_length_looks_like_gzip_is_a_record(tmp_path):
    path = f"{tmp_path}/train-00000-of-00001"
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(bytes(0x088B1F))
    head = pathlib.Path(path).read_bytes()[:3]
    assert head == b"\x1f\x8b\x08"
    assert record_files.zipped([path]) == frozenset()
    assert record_files.count_records(path) == 1


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_an_empty_shard_is_said_wherever_it_is(tmp_path, empty):
    data_dir = fill(tmp_path, plain, shards=3)
    (tmp_path / f"train-0000{empty}-of-00003").write_bytes(b"")
    splits = open_splits(data_dir)
    assert splits.train.images == 6
    (left,) = splits.left_out
    assert (left.count, left.reason) == (1, "record files without a record")
    assert f"train-0000{empty}" in left.example


def test_a_split_without_records_and_an_empty_minival_are_refused(tmp_path):
    data_dir = fill(tmp_path, plain, shards=3)
    (tmp_path / "train-00000-of-00003").write_bytes(b"")
    message = refusal(data_dir, minival_shards=1)
    assert message.startswith("minival_shards=1: the first 1 of the 3 train shards hol")
    for index in range(3):
        (tmp_path / f"train-0000{index}-of-00003").write_bytes(b"")
    assert "and 2 files more: holds no records" in refusal(data_dir)


def test_missing_shards_and_strangers_meet_the_data_set(tmp_path):
    data_dir = fill(tmp_path, plain, shards=4)
    (tmp_path / "train-00000-of-00004.idx").write_bytes(b"index")
    (tmp_path / "train-old").mkdir()
    splits = open_splits(data_dir)
    assert [left.count for left in splits.left_out] == [1]
    (tmp_path / "train-00001-of-00004").unlink()
    assert "00001 of 4 shards is missing beside train-00000-of" in refusal(data_dir)


@pytest.mark.parametrize(("classes", "is_noted"), [(1000, True), (4, True), (3, False)])
def test_far_more_classes_than_labels_are_noted(tmp_path, classes, is_noted):
    notes = open_splits(fill(tmp_path, plain), num_classes=classes).notes
    assert bool(notes) == is_noted
    if is_noted:
        assert f"num_classes={classes}, but the labels of 9 train" in notes[0]
        assert "1 to 3: num_classes=3" in notes[0]


@pytest.mark.parametrize("shards", [1, 3])
def test_sorted_records_are_looked_at_from_beginning_to_end(tmp_path, shards):
    def ordered(i):
        return example(**{"image/encoded": tiny, "image/class/label": i // 100 + 1})

    tiny = encode(0)
    data_dir = fill(tmp_path, ordered, train=900, validation=100, shards=shards)
    assert open_splits(data_dir, num_classes=9).notes == ()
    (note,) = open_splits(data_dir, num_classes=1000).notes
    assert "are 1 to 9: num_classes=9" in note


def test_labels_txt_tells_the_number_of_classes(tmp_path):
    data_dir = fill(tmp_path, plain)
    assert config.create(dataset="imagenet", data_dir=data_dir).num_classes == 1000
    (tmp_path / "labels.txt").write_text("a\nb\nc\n", encoding="utf-8")
    made = config.create(dataset="imagenet", data_dir=data_dir)
    assert (made.num_classes, made.minival_shards) == (3, 0)
    made = config.create(dataset="imagenet", data_dir=data_dir, label_offset=1)
    assert made.num_classes == 4
    assert config.create(data_dir="gs://b/i").minival_shards == 20


def test_compressed_records_train_from_any_position(tmp_path):
    import pipelines

    split = open_splits(fill(tmp_path, plain, shards=3, zipped=(0, 2))).train
    drawn = []
    for start in (0, 6):
        dataset = batches.train_batches(
            split,
            pipelines.transform(WHOLE, 3),
            batch_size=3,
            seed=1,
            start=start,
        )
        found = dataset.take(4 - start // 3).as_numpy_iterator()
        drawn.append([batch["image"] for batch in found])
    np.testing.assert_array_equal(drawn[0][2:], drawn[1])
