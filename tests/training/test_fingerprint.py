"""A run goes on with the data and the network that it was begun with, or not at all."""

import dataclasses
import json
import os
import pathlib
import shutil

import folder_support
import networks
import numpy as np
import pytest

from efficientnet_tf import config as config_lib
from efficientnet_tf.data import tfrecord
from efficientnet_tf.models import efficientnet
from efficientnet_tf.runs import inspection, run_files
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import fingerprint

SHARDS = {"train": 3, "validation": 1}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of 24 and 12 images of three classes."""
    root = tmp_path_factory.mktemp("data") / "photos"
    folder_support.fill(root / "train", (8, 9, 7))
    folder_support.fill(root / "val", (4, 4, 4), first=100)
    return root


@pytest.fixture
def data(photos, tmp_path):
    """A copy of the photos that may be changed."""
    return pathlib.Path(shutil.copytree(photos, tmp_path / "photos"))


@pytest.fixture
def run(tmp_path):
    return RunDir(str(tmp_path / "run"))


def of_folder(data_dir):
    config = config_lib.create(dataset="folder", data_dir=str(data_dir))
    return config, fingerprint.of_data(config, folder_support.open_splits(data_dir))


def write_records(data_dir, images=(24, 12)):
    for (split, shards), count in zip(SHARDS.items(), images, strict=True):
        examples = [(folder_support.encode(n), n % 3 + 1) for n in range(count)]
        tfrecord.write_shards(str(data_dir), split, examples, shards=shards)


def of_records(data_dir, **kwargs):
    config = config_lib.create(
        dataset="imagenet", data_dir=str(data_dir), num_classes=3, label_offset=0
    )
    splits = tfrecord.open_splits(str(data_dir), **kwargs)
    return config, fingerprint.of_data(config, splits)


def refusal(run, config, found) -> str:
    with pytest.raises(ValueError) as error:
        fingerprint.check_data(run, config, found)
    line = str(error.value)
    assert line.startswith(f"data_dir={config.data_dir}: ") and "\n" not in line
    assert f"the run in {run.path} " in line and f"delete {run.path}/data.json" in line
    return line


def test_the_same_data_go_on_wherever_they_are(photos, tmp_path, run):
    run.write_data(of_folder(photos)[1])
    moved = shutil.copytree(photos, tmp_path / "elsewhere")
    for place in (photos, f"{moved}/"):
        fingerprint.check_data(run, *of_folder(place))


def fewer(data):
    for path in sorted(data.glob("train/*/*"))[1::3]:
        path.unlink()


def one_less_for_one_more(data):
    folder_support.fill(data / "more", (1, 0, 0), first=200)
    (path,) = (data / "more/ant").iterdir()
    path.rename(data / "train/ant" / path.name)
    sorted(data.glob("train/bee/*"))[0].unlink()


def renamed(data):
    path = sorted(data.glob("train/bee/*"))[0]
    path.rename(path.with_stem("other"))


def exchanged(data):
    first, second = sorted(data.glob("train/ant/*"))[0], data / "train/bee"
    other = sorted(second.iterdir())[0]
    content = first.read_bytes()
    first.write_bytes(other.read_bytes())
    other.write_bytes(content)


def other_contents(data):
    for path in data.glob("val/*/*"):
        path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (fewer, "train has 16 images in 16 files, but had 24 in 24"),
        (one_less_for_one_more, "class 0 of train has 9 images, but had 8"),
        (renamed, "the files of train have other names or labels than"),
        (exchanged, "the files of train have other sizes than"),
        (other_contents, "the files of validation have other sizes than"),
    ],
)
def test_other_images_are_refused_by_what_differs(data, run, change, words):
    run.write_data(of_folder(data)[1])
    change(data)
    assert words in refusal(run, *of_folder(data))
    os.remove(f"{run.path}/data.json")
    fingerprint.check_data(run, *of_folder(data))  # as the line says


def test_other_labels_of_the_same_files_are_refused(photos, run):
    config, splits = of_folder(photos)[0], folder_support.open_splits(photos)
    train = splits.train
    labels = (train.labels[-1], *train.labels[1:-1], train.labels[0])
    run.write_data(fingerprint.of_data(config, splits))
    other = dataclasses.replace(splits, train=dataclasses.replace(train, labels=labels))
    found = fingerprint.of_data(config, other)
    assert "files of train have other names or labels" in refusal(run, config, found)


def test_records_in_other_shards_are_refused(tmp_path, run):
    write_records(tmp_path / "a")
    run.write_data(of_records(tmp_path / "a")[1])
    fingerprint.check_data(run, *of_records(tmp_path / "a"))
    write_records(tmp_path / "b", images=(8, 12))
    line = refusal(run, *of_records(tmp_path / "b"))
    assert "train has 8 images in 3 files, but had 24 in 3" in line
    line = refusal(run, *of_records(tmp_path / "a", minival_shards=1))
    assert "train has 16 images in 2 files, but had 24 in 3" in line


def test_a_split_that_came_or_went_is_refused(photos, run):
    config, found = of_folder(photos)
    held_out = dataclasses.replace(found.parts[1], name="minival")
    more = dataclasses.replace(found, parts=(*found.parts, held_out))
    run.write_data(found)
    assert "minival has 12 images in 12 files, but had 0" in refusal(run, config, more)
    run.write_data(more)
    assert "minival has 0 images in 0 files, but had 12" in refusal(run, config, found)


def test_other_settings_of_the_data_are_left_to_config_json(tmp_path, run):
    write_records(tmp_path / "a")
    config, found = of_records(tmp_path / "a")
    run.write_data(found)
    run.write_config(config)
    other = dataclasses.replace(config, minival_shards=1.0, learning_rate=0.5)
    found = of_records(tmp_path / "a", minival_shards=1)[1]
    fingerprint.check_data(run, other, found)
    with pytest.raises(ValueError, match="minival_shards=0"):
        run.check_config(other)
    other = dataclasses.replace(
        config, warmup_epochs=0.5
    )  # as the data's number may do
    refusal(run, other, found)


def test_only_what_was_written_is_compared(photos, run):
    config, found = of_folder(photos)
    fingerprint.check_data(run, config, found)  # no data.json
    run.write_data(found)
    path = pathlib.Path(run.path, "data.json")
    told = json.loads(path.read_text())
    del told["file_sha256"]
    for part in told["parts"]:
        del part["names"], part["sizes"]  # as earlier versions wrote it
        part["counts"] = None
    path.write_text(json.dumps(told))
    fingerprint.check_data(run, config, found)
    part = dataclasses.replace(found.parts[0], images=8)
    other = dataclasses.replace(found, parts=(part, *found.parts[1:]))
    assert "train has 8 images" in refusal(run, config, other)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"parts": [1]}', "\udcff"])
def test_a_damaged_data_json_is_named_and_stops_nothing(photos, run, text, capsys):
    os.makedirs(run.path)
    path = pathlib.Path(run.path, "data.json")
    path.write_bytes(os.fsencode(text))
    fingerprint.check_data(run, *of_folder(photos))
    inspection.warn(run)
    assert capsys.readouterr().err.startswith(f"warning       {path}: is damaged")


def test_a_bucket_is_not_asked_for_sizes():
    files = tuple(f"gs://bucket/data/train-{n:05d}-of-00002" for n in range(2))
    split = tfrecord.Split("train", files, 10)
    config = config_lib.create(dataset="imagenet", data_dir="gs://bucket/data")
    splits = tfrecord.Splits(split, None, dataclasses.replace(split, name="validation"))
    part, _ = fingerprint.of_data(config, splits).parts
    assert part.sizes is None and len(part.names) == 64


@pytest.fixture
def without_config(run):
    """A run whose config.json is gone, and its configuration."""
    config = config_lib.create(dataset="digits", blocks=networks.ONE)
    model = efficientnet.EfficientNet(
        config.variant, input_shape=(32, 32, 3), classes=10
    )
    run.write_passport(model.passport)
    return run, config


def test_the_network_of_a_run_without_config_json_is_that_of_its_passport(
    without_config, capsys
):
    run, config = without_config
    fingerprint.check_network(run, config)
    assert f"{run.path}/config.json is gone" in capsys.readouterr().err
    for changed in ({"blocks": networks.TINY}, {"image_size": 64}):
        other = dataclasses.replace(config, **changed)
        with pytest.raises(ValueError) as error:
            fingerprint.check_network(run, other)
        line = str(error.value)
        assert line.startswith(f"{run.path}/passport.json: ") and "config.json" in line
        assert next(iter(changed)) in line


def test_one_host_alone_says_that_a_config_json_is_gone(without_config, capsys):
    run, config = without_config
    fingerprint.check_network(run, config, tells=False)
    assert capsys.readouterr().err == ""


def test_a_damaged_passport_has_one_remedy(without_config):
    run, config = without_config
    path = pathlib.Path(run.path, "passport.json")
    path.write_text(path.read_text()[:-9])
    with pytest.raises(run_files.DamagedError) as error:
        fingerprint.check_network(run, config)
    assert error.value.path == str(path) and "config.json" not in str(error.value)


def test_a_config_json_says_all_of_it(without_config, capsys):
    run, config = without_config
    run.write_config(config)
    fingerprint.check_network(run, dataclasses.replace(config, blocks=networks.TINY))
    assert capsys.readouterr().err == ""


def test_the_default_folder_may_be_another(tmp_path):
    config = config_lib.create(dataset="digits")
    for place in ("a", "b"):
        write_records(tmp_path / place)
    first, second = (
        fingerprint.of_data(config, tfrecord.open_splits(f"{tmp_path}/{place}"))
        for place in ("a", "b")
    )
    assert first == second and first.parts[0].names


def test_names_of_any_bytes_have_a_fingerprint(tmp_path):
    split = tfrecord.Split("train", (f"{tmp_path}/\udcff-1",), 1)
    pathlib.Path(split.files[0]).write_bytes(np.zeros(3, np.uint8).tobytes())
    splits = tfrecord.Splits(split, None, dataclasses.replace(split, name="validation"))
    config = config_lib.create(dataset="imagenet", data_dir="/none")
    assert len(fingerprint.of_data(config, splits).parts[0].sizes) == 64
