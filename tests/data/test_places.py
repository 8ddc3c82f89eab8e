"""Images that evaluation numbers are found again, wherever they are."""

import os

import batches_support
import folder_support
import numpy as np
import pytest
import tensorflow as tf
import tfds_support
from PIL import Image
from slow_cases import slow

from efficientnet_tf.data import batches, places, tfrecord


def evaluated(split, *, shards, num_classes, prepared) -> dict[int, np.ndarray]:
    """The images that the hosts evaluate, by their numbers."""
    found = {}
    for index in range(shards):
        drawn = batches_support.evaluate(
            split,
            batch_size=7,
            num_classes=num_classes,
            prepared=prepared,
            shard=batches.Shard(index, shards),
        )
        assert (drawn["number"] >= 0).tolist() == (drawn["mask"] == 1).tolist()
        for number, image in zip(drawn["number"], drawn["image"], strict=True):
            if number >= 0:
                assert int(number) not in found
                found[int(number)] = image
    return found


def assert_found_again(split, *, shards, num_classes, prepared=folder_support.WHOLE):
    there = places.places(split, shards=shards)
    seen = evaluated(split, shards=shards, num_classes=num_classes, prepared=prepared)
    assert there.keys() == seen.keys() and len(there) == split.images
    assert len(set(map(str, there.values()))) == split.images
    again = places.read(split, [there[number] for number in seen], prepared)
    np.testing.assert_array_equal(again, np.stack(list(seen.values())))
    return there


@pytest.mark.parametrize("shards", [3, *slow(1, 2)])
def test_records_of_unequal_files_are_found_again(tmp_path, shards):
    lengths = [9, 1, 30, 4, 17] + [2] * 15  # more files than are read at a time
    number = 0
    for i, length in enumerate(lengths):
        examples = [
            (folder_support.encode(number + j), number + j + 1) for j in range(length)
        ]
        # A folder of its own, so that each file has a length of its own.
        tfrecord.write_shards(f"{tmp_path}/{i:02}", "validation", examples, shards=1)
        number += length
    files = sorted(tf.io.gfile.glob(f"{tmp_path}/*/validation-*"))
    split = tfrecord.Split("validation", tuple(files), number)
    there = assert_found_again(split, shards=shards, num_classes=number)
    records = sorted((files.index(p.file), p.record) for p in there.values())
    expected = [(i, j) for i, length in enumerate(lengths) for j in range(length)]
    assert records == expected
    assert str(there[0]) == f"{files[0]}#0"


@pytest.mark.parametrize("shards", [3, *slow(1)])
def test_images_of_folders_are_found_again(tmp_path, shards):
    folder_support.fill(tmp_path / "train", (1, 1, 1), first=50)
    folder_support.fill(tmp_path / "val", folder_support.VALIDATION)
    odd = tmp_path / "val/bee" / os.fsdecode(b"b\xff \n\xe9.jpg")
    Image.new("RGB", (9, 8), "red").save(odd, "JPEG")
    split = folder_support.open_splits(tmp_path).validation
    there = assert_found_again(split, shards=shards, num_classes=3)
    assert {str(place) for place in there.values()} == set(split.files)
    assert str(odd) in split.files


def test_records_of_tfds_are_found_again(tiny):
    split = tfds_support.open_tfds(tiny).splits.validation
    assert_found_again(split, shards=1, num_classes=3)


def test_data_without_files_has_no_places():
    assert places.places(tfrecord.Split("validation", (), 1024)) == {}
