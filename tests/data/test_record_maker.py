import hashlib
import io
import json
import os
import pathlib

import folder_support
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from efficientnet_tf.data import manifest, tfrecord
from efficientnet_tf.data.writing import (
    image_sources,
    output_folder,
    plan,
    record_maker,
    shard_writer,
)

SHARDS = {"train": 4, "validation": 2}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    folder_support.fill(folder / "train", folder_support.TRAIN)
    folder_support.fill(folder / "val", folder_support.VALIDATION, first=100)
    return folder


def make(source, output_dir, *, seed=0, shards=None, workers=2, **options):
    collection = image_sources.read(None, str(source))
    planned = plan.make(collection, seed=seed, shard_counts=shards or SHARDS)
    stream = io.StringIO()
    return record_maker.make(
        planned, str(output_dir), workers=workers, stream=stream, **options
    )


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def records(folder: pathlib.Path, pattern: str) -> list[dict]:
    """The features of the records, read by TensorFlow."""
    found = []
    for path in sorted(folder.glob(pattern)):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            one = {"shard": path.name}
            for name, values in feature.items():
                (one[name],) = getattr(values, values.WhichOneof("kind")).value
            found.append(one)
    return found


@pytest.fixture(scope="module")
def made(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    make(photos, folder)
    return folder


def test_records_have_imagenets_features_and_the_files_own_bytes(photos, made):
    for split, folder, images in (("train", "train", 43), ("validation", "val", 12)):
        found = records(made, f"{split}-*")
        assert len(found) == images
        assert len({one["image/filename"] for one in found}) == images
        for one in found:
            path = photos / one["image/filename"].decode()
            assert path.parts[-3] == folder
            assert one["image/encoded"] == path.read_bytes()
            assert one["image/class/text"].decode() == path.parts[-2]
            label = folder_support.CLASSES.index(path.parts[-2]) + 1
            assert one["image/class/label"] == label
            with Image.open(path) as image:
                assert one["image/format"].decode() == image.format
                size = (one["image/width"], one["image/height"])
                assert size == image.size == (10, 12)


def test_every_shard_has_its_share_of_images_and_mixes_classes(made):
    found = records(made, "train-*")
    for number in range(4):
        name = f"train-{number:05d}-of-00004"
        labels = [one["image/class/label"] for one in found if one["shard"] == name]
        assert len(labels) in (10, 11)
        assert len(set(labels)) == 3
        assert labels != sorted(labels)


def test_the_seed_alone_decides_the_order(photos, made, tmp_path):
    make(photos, tmp_path / "again", workers=1)
    make(photos, tmp_path / "other", seed=1)
    assert contents(tmp_path / "again") == contents(made)
    names = [
        [one["image/filename"] for one in records(folder, "train-*")]
        for folder in (made, tmp_path / "other")
    ]
    assert names[0] != names[1] and sorted(names[0]) == sorted(names[1])


def test_the_manifest_has_checksums_and_counts(made):
    told = json.loads((made / "manifest.json").read_text())
    for name, shard in told["shards"].items():
        content = (made / name).read_bytes()
        assert shard["sha256"] == hashlib.sha256(content).hexdigest()
        assert shard["bytes"] == len(content)
    assert told["class_counts"] == {"train": [10, 20, 13], "validation": [3, 5, 4]}
    assert (made / "labels.txt").read_text() == "ant\nbee\ncat\n"
    found = manifest.read(str(made))
    assert found.is_finished
    assert found.images("train") == 43 and found.images("validation") == 12


def test_a_stopped_run_goes_on_and_ends_with_the_same_files(
    photos, made, tmp_path, monkeypatch
):
    written = []
    write = shard_writer.ShardWriter.write

    def failing(self, path, images):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(os.path.basename(path))
        return write(self, path, images)

    with monkeypatch.context() as patch:
        patch.setattr(shard_writer.ShardWriter, "write", failing)
        with pytest.raises(KeyboardInterrupt):
            make(photos, tmp_path, workers=1)
    assert not manifest.read(str(tmp_path)).is_finished
    # What a process leaves that is killed as it writes.
    (tmp_path / f".train-00003-of-00004.{'0' * 32}.partial").write_bytes(b"half")
    done = make(photos, tmp_path, workers=1)
    assert not set(done.written) & set(written) and len(done.written) == 3
    assert contents(tmp_path) == contents(made)


@pytest.mark.parametrize("damage", ["byte", "cut", "gone"])
def test_a_damaged_shard_alone_is_written_again(photos, made, tmp_path, damage):
    for name, content in contents(made).items():
        (tmp_path / name).write_bytes(content)
    path = tmp_path / "train-00002-of-00004"
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-1])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert make(photos, tmp_path).written == (path.name,)
    assert contents(tmp_path) == contents(made)
    assert make(photos, tmp_path).written == ()


def _with_damage(photos, folder):
    """A copy of the photos of which two cannot be decoded."""
    for path in photos.rglob("*.*"):
        target = folder / path.relative_to(photos)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    cut, other = folder / "train/bee/012.jpg", folder / "val/cat/108.jpg"
    cut.write_bytes(cut.read_bytes()[:150])
    other.write_bytes(b"II*\0" + bytes(100))
    return folder


def test_an_undecodable_image_is_an_error_or_left_out(photos, tmp_path):
    source = _with_damage(photos, tmp_path / "photos")
    output = tmp_path / "out"
    with pytest.raises(ValueError) as error:
        make(source, output)
    assert "\n" not in str(error.value) and "--on_bad_image=skip" in str(error.value)
    assert ("train/bee/012.jpg" in str(error.value)) != (
        "val/cat/108.jpg" in str(error.value)
    )
    made = make(source, output, skips=True)
    told = {bad["name"]: bad for bad in made.report()["bad_images"]}
    assert set(told) == {"train/bee/012.jpg", "val/cat/108.jpg"}
    assert "TIFF" in told["val/cat/108.jpg"]["reason"]
    assert made.report()["images"] == {"train": 42, "validation": 11}
    assert made.contents.written_counts("train") == (10, 19, 13)
    assert len(records(output, "train-*")) == 42
    # A later run tells of the same images, though it writes nothing.
    again = make(source, output, skips=True)
    assert again.written == () and again.bad == made.bad
    assert sum("012.jpg" in line for line in again.lines()) == 1
    with pytest.raises(ValueError, match="cannot be decoded"):
        make(source, output)


def test_a_folder_that_holds_anything_else_is_not_written_to(photos, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"output_dir=.*holds notes.txt"):
        make(photos, tmp_path)
    assert contents(tmp_path) == {"notes.txt": b"mine"}
    (tmp_path / "notes.txt").rename(tmp_path / "manifest.json")
    with pytest.raises(ValueError, match=r"holds manifest.json"):
        make(photos, tmp_path)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seed": 1}, "seed=0, not 1"),
        ({"shards": {"train": 3, "validation": 2}}, "'train': 4.*'train': 3"),
    ],
)
def test_other_settings_do_not_go_on(photos, made, options, told):
    before = contents(made)
    with pytest.raises(ValueError, match=told):
        make(photos, made, **options)
    assert contents(made) == before


def test_other_images_do_not_go_on(photos, made, tmp_path):
    source = _with_damage(photos, tmp_path)
    with pytest.raises(ValueError, match="other images"):
        make(source, made)


def test_two_processes_do_not_write_to_one_folder(photos, tmp_path):
    with (
        output_folder.held(str(tmp_path)),
        pytest.raises(ValueError, match="another process"),
    ):
        make(photos, tmp_path)


def test_too_little_space_is_told_before_anything_is_written(
    photos, tmp_path, monkeypatch
):
    usage = type("Usage", (), {"free": 4e9})
    monkeypatch.setattr(output_folder.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(plan.Plan, "bytes", lambda self, name: 10**9)
    with pytest.raises(ValueError, match=r"needs 6.0 GB .* has 4.0 GB free"):
        make(photos, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    # A bucket's files are made in the temporary folder, as many at a time as workers.
    sizes = [10**9, 2 * 10**9, 10**9]
    told = output_folder.check_space("gs://bucket/x", sizes, workers=2)
    assert told.startswith("3.0 GB of 4.0 GB")


def test_more_shards_than_images_are_refused(photos, tmp_path):
    with pytest.raises(ValueError, match=r"validation_shards=13: there are 12"):
        make(photos, tmp_path, shards={"train": 4, "validation": 13})


@pytest.mark.parametrize(
    ("split", "images", "size", "shards"),
    [
        ("train", 1_281_167, 138e9, 1024),  # ImageNet
        ("validation", 50_000, 6.3e9, 128),
        ("train", 75_750, 3.8e9, 64),
        ("validation", 736, 20e6, 16),
        ("train", 5, 1e3, 5),
    ],
)
def test_the_number_of_shards_follows_the_size(split, images, size, shards):
    class Sizes:
        length = size / images

    assert plan.default_count(split, [Sizes] * images) == shards


def test_a_bytes_identical_record_needs_no_order_of_features():
    values = {"b": b"x", "a": 3, "c": b""}
    backwards = dict(reversed(values.items()))
    serialized = tfrecord.serialize(values)
    assert tfrecord.serialize(backwards) == serialized
    feature = tf.train.Example.FromString(serialized).features.feature
    assert list(feature["a"].int64_list.value) == [3]
    assert np.array_equal(list(feature["b"].bytes_list.value), [b"x"])
