"""Damage by a seed: nothing crashes or hangs, and no label is wrong."""

import pathlib

import batches_support
import damage_support
import numpy as np
import pipelines
import pytest
from damage_support import CLASSES, FORMATS

from efficientnet_tf.data import (
    bad_records,
    batches,
    check,
    image_files,
    places,
    tfrecord,
)

LABELS = pipelines.labels(CLASSES)
BATCH = 32
SUFFIXES = (".jpg", ".png", ".gif", ".bmp")
EACH = 25  # records of a file


def _damaged_record(number: int, rng: np.random.Generator) -> bytes:
    """A record of which one thing may be wrong, but whose label is never another."""
    label = number % CLASSES
    kind = FORMATS[rng.integers(len(FORMATS))]
    encoded = damage_support.picture(label, number, kind)
    case = rng.integers(12)
    if case > 7:
        return damage_support.example(encoded=encoded, label=label + 1)
    if case < 5:
        _, encoded = damage_support.damaged(encoded, rng)
        return damage_support.example(encoded=encoded, label=label + 1)
    if case == 5:
        return damage_support.example(encoded=encoded, other=label)
    if case == 6:
        wrong = int(rng.choice([-1, 0, CLASSES + 1, 2**62]))
        return damage_support.example(encoded=encoded, label=wrong)
    return damage_support.example(encoded=encoded, label=label + 1)[:-3]


def _records(folder: pathlib.Path, total: int, seed: int) -> tfrecord.Split:
    rng = np.random.default_rng(seed)
    paths = []
    for first in range(0, total, EACH):
        path = folder / f"{first:05d}"
        numbers = range(first, first + EACH)
        damage_support.write(path, [_damaged_record(n, rng) for n in numbers])
        for record in rng.integers(0, EACH, 3):
            damage_support.flip_byte(path, record)
        if rng.random() < 0.3:
            path.write_bytes(path.read_bytes()[: -int(rng.integers(1, 400))])
        paths.append(path)
    images = sum(len(damage_support.spans(path)) for path in paths)
    return damage_support.split_of(paths, images)


def _images(folder: pathlib.Path, total: int, seed: int) -> tfrecord.Split:
    rng = np.random.default_rng(seed)
    paths, labels = [], []
    for number in range(total):
        kind = number % len(FORMATS)
        encoded = damage_support.picture(number % 3, number, FORMATS[kind])
        if number % 5:
            _, encoded = damage_support.damaged(encoded, rng)
        suffix = SUFFIXES[kind if number % 7 else (kind + 1) % len(FORMATS)]
        path = folder / f"{number:05d}{suffix}"
        path.write_bytes(encoded)
        paths.append(str(path))
        labels.append((number % 3,))
    classes = tuple("abcd")
    return image_files.ImageFiles("train", tuple(paths), total, classes, tuple(labels))


def _true_label(split: tfrecord.Split, file: str, record: int | None) -> int:
    if isinstance(split, image_files.ImageFiles):
        return split.labels[split.files.index(file)][0]
    return (int(pathlib.Path(file).name) + record) % CLASSES


def _check(split: tfrecord.Split) -> set[tuple[str, int | None]]:
    """Checks a split; returns the places of its faults."""
    found = check.check(tfrecord.Splits(None, None, split), LABELS)
    (checked,), faults = found.splits, found.faults
    assert checked.images == split.images
    for fault in faults:
        assert fault["file"] in split.files and fault["reason"]
        assert "\n" not in fault["reason"] and "{{" not in fault["reason"]
    return {(fault["file"], fault["record"]) for fault in faults}


def _assert_evaluated(split: tfrecord.Split, bad_places: set) -> None:
    bad = bad_records.BadRecords(limit=None)
    dataset = batches.eval_batches(
        split, batches_support.SMALL, labels=LABELS, batch_size=BATCH, bad=bad
    )
    seen = 0
    there = places.places(split)
    for batch in dataset.take(-(-split.images // BATCH)).as_numpy_iterator():
        for number, label, mask in zip(
            batch["number"], batch["label"], batch["mask"], strict=True
        ):
            if mask:
                file, record = there[number].file, there[number].record
                assert label == _true_label(split, file, record)
                assert (file, record) not in bad_places
                seen += 1
    left_out = {(row["file"], row["record"]) for row in bad.rows()}
    assert seen + len(left_out) == split.images
    # A window of a JPEG may be whole where the rest is damaged, never the opposite.
    assert left_out <= bad_places


def _assert_trained(split: tfrecord.Split) -> None:
    bad = bad_records.BadRecords(limit=None)
    dataset = batches.train_batches(
        split,
        pipelines.transform(batches_support.SMALL, CLASSES),
        batch_size=BATCH,
        seed=0,
        shuffle_buffer=64,
        bad=bad,
    )
    for batch in dataset.take(-(-split.images // BATCH)).as_numpy_iterator():
        assert ((batch["label"] == 1).sum(-1) == 1).all()
        assert (batch["label"].sum(-1) == 1).all()
    for row in bad.rows():
        assert row["file"] in split.files and row["reason"]


def test_some_damaged_records_are_checked_and_trained_on(tmp_path):
    split = _records(tmp_path, 50, seed=1)
    assert len(_check(split)) > split.images / 4
    _assert_trained(split)


def test_some_damaged_images_are_checked_and_evaluated(tmp_path):
    split = _images(tmp_path, 50, seed=1)
    _assert_evaluated(split, _check(split))


@pytest.mark.slow
@pytest.mark.parametrize(("make", "total"), [(_records, 2000), (_images, 500)])
def test_much_damage(tmp_path, make, total):
    split = make(tmp_path, total, seed=2)
    bad_places = _check(split)
    assert len(bad_places) > split.images / 4
    _assert_evaluated(split, bad_places)
    _assert_trained(split)
