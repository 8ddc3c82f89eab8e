"""Records that no example can be made of: named, skipped, counted."""

import pathlib

import batches_support
import damage_support
import folder_support
import numpy as np
import pipelines
import pytest
import tensorflow as tf

from efficientnet_tf.data import bad_records, batches, image_files, placed

FILES, EACH, BATCH = 3, 8, 8
# What is done to some records of the first two files, and words of the reason.
BAD = {
    ("0", 2): "checksum is wrong",
    ("0", 3): "checksum is wrong",
    ("0", 6): "a JPEG cut short",
    ("1", 0): "has no image/class/label",
    ("1", 2): "has the label 9; allowed is 1 to 4 (num_classes=4)",
    ("1", 3): "is no tf.train.Example",
    ("1", 4): "an empty file",
    ("1", 5): "it must be one value of a int64_list",
    ("1", 7): "it is cut short",
}


def _records() -> list[bytes]:
    return [
        damage_support.example(
            encoded=damage_support.picture(n % 4, n), label=n % 4 + 1
        )
        for n in range(FILES * EACH)
    ]


def _write(folder: pathlib.Path, records: list[bytes]):
    for index in range(FILES):
        some = records[index * EACH :][:EACH]
        damage_support.write(folder / str(index), some)
    return damage_support.split_of(
        [folder / str(index) for index in range(FILES)], len(records)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return _write(tmp_path_factory.mktemp("whole"), _records())


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """The same records, of which some are damaged as `BAD` says."""
    folder = tmp_path_factory.mktemp("damaged")
    records = _records()
    picture = damage_support.picture(0, 6)
    records[6] = damage_support.example(encoded=picture[: len(picture) // 2], label=3)
    records[8] = damage_support.example(encoded=picture)
    records[10] = damage_support.example(encoded=picture, label=9)
    records[11] = b"no protocol buffer"
    records[12] = damage_support.example(encoded=b"", label=1)
    records[13] = damage_support.example(encoded=picture, label=1.0)
    split = _write(folder, records)
    for record in (2, 3):
        damage_support.flip_byte(folder / "0", record)
    (folder / "1").write_bytes((folder / "1").read_bytes()[:-20])
    return split


def _train(split, bad, count=7, *, start=0):
    dataset = batches.train_batches(
        split,
        pipelines.transform(batches_support.SMALL, 4, mixup_alpha=0.3),
        batch_size=BATCH,
        seed=0,
        start=start,
        shuffle_buffer=10,
        bad=bad,
    )
    drawn = list(dataset.take(count).as_numpy_iterator())
    return {name: np.stack([batch[name] for batch in drawn]) for name in drawn[0]}


def _evaluate(split, bad):
    dataset = batches.eval_batches(
        split,
        batches_support.SMALL,
        labels=pipelines.labels(4),
        batch_size=BATCH,
        bad=bad,
    )
    drawn = list(dataset.take(FILES * EACH // BATCH + 1).as_numpy_iterator())
    found = {name: np.concatenate([b[name] for b in drawn]) for name in drawn[0]}
    return {name: values[found["mask"] == 1] for name, values in found.items()}


def _listed(bad) -> dict[tuple[str, int], str]:
    rows = bad.rows()
    assert len({(row["file"], row["record"]) for row in rows}) == len(rows)
    return {
        (pathlib.Path(row["file"]).name, row["record"]): row["reason"] for row in rows
    }


def test_data_without_damage_is_the_same_bit_for_bit(whole):
    skipping = bad_records.BadRecords(1)
    for read in (_train, _evaluate):
        plain, skipped = read(whole, None), read(whole, skipping)
        assert plain.keys() == skipped.keys()
        for name, values in plain.items():
            np.testing.assert_array_equal(skipped[name], values)
    assert skipping.rows() == []


def test_evaluation_leaves_out_bad_records_and_names_each(whole, damaged):
    bad = bad_records.BadRecords(len(BAD))
    found, clean = _evaluate(damaged, bad), _evaluate(whole, None)
    listed = _listed(bad)
    assert listed.keys() == BAD.keys()
    for place, words in BAD.items():
        assert words in listed[place], place
    # Numbers are places in reading order: a record of each file in turn.
    in_turn = [(str(n % FILES), n // FILES) for n in range(FILES * EACH)]
    good = [n for n, place in enumerate(in_turn) if place not in BAD]
    assert found["number"].tolist() == good
    for name in ("image", "label"):
        np.testing.assert_array_equal(found[name], clean[name][good])


def test_training_replaces_bad_records_and_changes_no_other(whole, damaged):
    bad = bad_records.BadRecords(len(BAD))
    found, clean = _train(damaged, bad), _train(whole, None)
    same = (found["image"] == clean["image"]).all((2, 3, 4))
    epochs = same.reshape(-1)[: 2 * FILES * EACH].reshape(2, -1)
    # MixUp blends each image with the one at the other end of the batch.
    assert ((~epochs).sum(1) >= len(BAD)).all()
    assert ((~epochs).sum(1) <= 2 * len(BAD)).all()
    np.testing.assert_allclose(found["label"].sum(-1), 1, atol=1e-6)
    assert _listed(bad).keys() == BAD.keys()


def test_training_continues_bit_for_bit(damaged):
    drawn = _train(damaged, bad_records.BadRecords(len(BAD)))
    again = _train(damaged, bad_records.BadRecords(len(BAD)), 2, start=4 * BATCH)
    for name, values in again.items():
        np.testing.assert_array_equal(values, drawn[name][4:6])


def test_more_bad_records_than_allowed_end_the_reading(damaged):
    path = damaged.files[1].encode()
    for limit, allowed in ((3, 3), (0.1, 2), (0.01, 1)):
        bad = bad_records.BadRecords(limit)
        note = bad.note(damaged, pipelines.labels(4))
        for record in [*range(allowed), 0]:  # one is met again
            note(path, record, b"")
        with pytest.raises(ValueError, match=f"{damaged.files[1]}#{allowed}: "):
            note(path, allowed, b"")
        assert f"bad_record_limit={limit} allows {allowed}" in bad.stopped


def test_a_batch_of_nothing_but_bad_records_ends_training(tmp_path):
    records = [damage_support.example(encoded=b"", label=1)] * BATCH
    damage_support.write(tmp_path / "all", records)
    split = damage_support.split_of([tmp_path / "all"], BATCH)
    bad = bad_records.BadRecords(100)
    with pytest.raises(tf.errors.OpError):
        _train(split, bad, 1)
    assert "all records of a training batch are bad" in bad.stopped
    assert f"{tmp_path}/all" in bad.stopped


def test_a_bad_record_is_named_where_none_is_allowed(damaged):
    def datasets(bad):
        yield batches.eval_batches(
            damaged,
            batches_support.SMALL,
            labels=pipelines.labels(4),
            batch_size=BATCH,
            bad=bad,
        )

    named = bad_records.named(None, datasets)
    message = "/1#(0: has no image/class/label|5: has a float_list)"  # read at once
    with pytest.raises(ValueError, match=message) as error, named:
        list(next(datasets(None)))
    assert "\n" not in str(error.value)


def test_a_damaged_gzip_file_loses_what_is_behind_the_damage(tmp_path):
    path = tmp_path / "zipped"
    rng = np.random.default_rng(0)
    records = [rng.bytes(2000) for _ in range(100)]
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for record in records:
            writer.write(record)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    reader = placed.Placed(damage_support.split_of([path], 100))
    files = tf.data.Dataset.from_tensors(str(path))
    read = [(int(n), record.numpy()) for _, n, record in reader.records(files)]
    whole = sum(record != b"" for _, record in read)
    assert 20 <= whole <= 50  # half of them, without what the readers have ahead
    assert read[:whole] == list(enumerate(records[:whole]))
    assert [n for n, _ in read[whole:]] == sorted(placed.damage(str(path)))


def test_damage_that_is_met_while_shuffling_is_named(tmp_path):
    damage_support.write(tmp_path / "one", _records()[:10])
    damage_support.flip_byte(tmp_path / "one", 7)
    split = damage_support.split_of([tmp_path / "one"], 10)

    def datasets(bad):
        yield batches.train_batches(
            split,
            pipelines.transform(batches_support.SMALL, 4),
            batch_size=2,
            seed=0,
            bad=bad,
        )

    named = bad_records.named(None, datasets)
    message = f"{tmp_path}/one#7: its checksum is wrong"
    with pytest.raises(ValueError, match=message), named:
        list(next(datasets(None)).take(1))


def test_an_error_of_anything_else_stays_as_it_is(whole):
    named = bad_records.named(None, lambda bad: ())
    with pytest.raises(tf.errors.InvalidArgumentError, match="of a layer"), named:
        raise tf.errors.InvalidArgumentError(None, None, "of a layer")


def test_data_that_cannot_be_read_at_all_is_one_line():
    error = tf.errors.NotFoundError(None, None, "gone [[{{node IteratorGetNext}}]]")
    for bad in (None, bad_records.BadRecords(1)):
        named = bad_records.named(bad, lambda _: ())
        with pytest.raises(ValueError, match=r"^the data cannot be read: gone$"), named:
            raise error


def test_a_wrong_length_loses_the_rest_of_the_file_alone(tmp_path):
    damage_support.write(tmp_path / "one", _records()[:6])
    damage_support.flip_byte(tmp_path / "one", 3, in_length=True)
    damage = placed.damage(str(tmp_path / "one"))
    assert min(damage) == 3
    reader = placed.Placed(damage_support.split_of([tmp_path / "one"], 6))
    files = tf.data.Dataset.from_tensors(str(tmp_path / "one"))
    read = [(int(n), r.numpy()) for _, n, r in reader.records(files)]
    assert read[:3] == list(enumerate(_records()[:3]))
    assert {record for _, record in read[3:]} == {b""}


def test_image_files_are_named_and_left_out(both):
    broken = sorted((both / "val" / "bee").iterdir())[1]
    broken.write_bytes(broken.read_bytes()[:40])
    split = folder_support.open_splits(both).validation
    assert isinstance(split, image_files.ImageFiles)
    gone = split.files[0]
    pathlib.Path(gone).unlink()
    bad = bad_records.BadRecords(2)
    found = folder_support.evaluate(split, bad=bad)
    assert {row["file"] for row in bad.rows()} == {gone, str(broken)}
    assert {row["record"] for row in bad.rows()} == {None}
    labels = [
        label for label, of in enumerate(folder_support.VALIDATION) for _ in [0] * of
    ]
    left = [n for n, file in enumerate(split.files) if file not in (gone, str(broken))]
    assert found["label"][found["mask"] == 1].tolist() == [labels[n] for n in left]
    assert found["number"][found["mask"] == 1].tolist() == left
