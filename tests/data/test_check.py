"""Checking a data set: every fault, every copy, every count."""

import collections
import pathlib
import shutil

import damage_support
import pipelines
import pytest
import tfds_support
from command_line import run

from efficientnet_tf.data import check, tfrecord

LABELS = pipelines.labels(4)


def _picture(number: int) -> bytes:
    label = number % 4
    picture = damage_support.picture(label, number)
    return damage_support.example(encoded=picture, label=label + 1)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> pathlib.Path:
    """Three files with copies: in a split, between splits, and of another label."""
    folder = tmp_path_factory.mktemp("records")
    train = [_picture(n) for n in range(12)]
    train[7] = train[3]
    train[8] = damage_support.example(encoded=damage_support.picture(1, 1), label=1)
    damage_support.write(folder / "train-00000-of-00002", train[:6])
    damage_support.write(folder / "train-00001-of-00002", train[6:])
    validation = [_picture(n) for n in (20, 21, 22, 5)]
    damage_support.write(folder / "validation-00000-of-00001", validation)
    damage_support.flip_byte(folder / "validation-00000-of-00001", 2)
    return folder


def _places(group) -> list[tuple[str, str, int]]:
    return sorted(
        (twin.split, pathlib.Path(twin.place.file).name[:11], twin.place.record)
        for twin in group
    )


def test_copies_and_faults_are_all_found(records):
    splits = tfrecord.open_splits(str(records), tolerant=True)
    seen = []
    found = check.check(splits, LABELS, progress=seen.append)
    assert sum(seen) == 16
    assert [(split.name, split.images) for split in found.splits] == [
        ("train", 12),
        ("validation", 4),
    ]
    (fault,) = found.faults
    assert fault == {
        "split": "validation",
        "file": str(records / "validation-00000-of-00001"),
        "record": 2,
        "reason": "its checksum is wrong",
    }
    assert sorted(map(_places, found.twins)) == [
        [("train", "train-00000", 1), ("train", "train-00001", 2)],
        [("train", "train-00000", 3), ("train", "train-00001", 1)],
        [("train", "train-00000", 5), ("validation", "validation-", 3)],
    ]
    assert [_places(group)[0][2] for group in found.leaks] == [5]
    assert [_places(group)[0][2] for group in found.contradictions] == [1]
    train, validation = found.splits
    assert train.classes == {0: 3, 1: 3, 2: 3, 3: 3}
    assert validation.classes == {0: 1, 1: 2}
    assert sum(train.sides.values()) == 12 and set(train.sides) == {9, 10}
    assert (train.smallest, train.largest) == ((10, 9), (10, 11))


def test_labels_that_no_training_image_has_are_wrong():
    seen = check.Checked("train", classes=collections.Counter({0: 3, 2: 1}))
    validation = check.Checked("validation", classes=collections.Counter({1: 1}))
    found = check.Report((seen, validation), [], [], labels=4)
    assert found.unseen == [1, 3] and found.failed
    assert not check.Report((seen,), [], [], labels=1).failed
    assert not check.Report((validation,), [], [], labels=4).failed


def test_the_command_ends_with_1_and_lists_what_is_wrong(records):
    data = ("--dataset=imagenet", f"--data_dir={records}", "--num_classes=4")
    result = run("--mode=check", *data, "--minival_shards=0", "--json")
    assert result.returncode == 1, result.stderr
    told = result.json
    assert told["failed"] and told["splits"]["validation"]["bad"] == 1
    assert [fault["record"] for fault in told["faults"]] == [2]
    assert told["duplicates_between_splits"] == 1
    assert told["duplicates_of_other_labels"] == 1
    assert f"{records}/validation-00000-of-00001#2: its checksum" in result.stdout


def test_a_good_folder_passes_and_a_bad_image_does_not(both):
    assert run("--mode=check", f"--data_dir={both}").returncode == 0
    (bad,) = list((both / "val" / "ant").iterdir())[:1]
    bad.write_bytes(b"GIF89a")
    shutil.copy(
        next((both / "train" / "bee").iterdir()), both / "val" / "cat" / "c.jpg"
    )
    result = run("--mode=check", f"--data_dir={both}", "--json")
    assert result.returncode == 1
    assert [fault["file"] for fault in result.json["faults"]] == [str(bad)]
    (group,) = result.json["duplicates"]
    assert {tuple(twin["labels"]) for twin in group} == {("bee",), ("cat",)}


@pytest.mark.slow
def test_records_of_tfds_are_checked_without_what_is_held_out(tiny):
    splits = tfds_support.open_tfds(tiny, minival=0.1).splits
    found = check.check(splits, pipelines.labels(tfds_support.CLASSES))
    assert [(split.name, split.images) for split in found.splits] == [
        ("train", 45),
        ("minival", 5),
        ("validation", 11),
    ]
    assert not found.failed
