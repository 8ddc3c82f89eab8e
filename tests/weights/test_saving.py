"""Saving replaces a file whole, or leaves it."""

import os

import disks
import pytest
import weight_helpers as helpers
from slow_cases import slow
from weight_helpers import assert_same, values
from weights_support import FILES

import efficientnet_tf as en
from efficientnet_tf.weights import writing

REPLACEABLE = [name for name in FILES if name != "tf1"]


@pytest.mark.parametrize("file", REPLACEABLE)
@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failed_save_leaves_the_old_file(model, file, failure, tmp_path, monkeypatch):
    path = str(tmp_path / FILES[file][0])
    format = FILES[file][1]
    en.save_weights(model, path, format=format)
    expected = values(model)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    helpers.randomize(model)
    write = writing.WRITERS[format]

    def fail(*args):
        write(*args)
        raise failure("killed")

    monkeypatch.setitem(writing.WRITERS, format, fail)
    with pytest.raises(failure):
        en.save_weights(model, path, format=format)
    after = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    assert after == before
    en.load_weights(model, path)
    assert_same(model, expected)


@pytest.mark.parametrize("share", [*slow(0.05, 0.5), 0.97])
@pytest.mark.parametrize("file", FILES)
def test_a_full_disk_is_named_in_one_line(model, file, share, tmp_path):
    name, format = FILES[file]
    en.save_weights(model, str(tmp_path / name), format=format)
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    folder = tmp_path / "small"
    path = folder / name
    with disks.small_disk(folder, str(int(share * size))):
        with pytest.raises(ValueError) as error:
            en.save_weights(model, str(path), format=format)
        assert str(error.value).startswith(f"{path}: cannot be written (No space left")
        assert "\n" not in str(error.value) and not os.listdir(folder)
    with disks.small_disk(folder, str(int(1.5 * size) + 2**18)):
        en.save_weights(model, str(path), format=format)


def test_saving_again_replaces(model, tmp_path):
    for file_name, format in (FILES[name] for name in REPLACEABLE):
        path = str(tmp_path / file_name)
        for _ in range(2):
            helpers.randomize(model)
            en.save_weights(model, path, format=format)
        expected = values(model)
        en.load_weights(helpers.randomize(model), path)
        assert_same(model, expected)
    assert not [name for name in os.listdir(tmp_path) if "partial" in name]


def test_a_tf1_checkpoint_is_not_replaced(model, tmp_path):
    path = str(tmp_path / "model.ckpt")
    en.save_weights(model, path)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    with pytest.raises(ValueError, match=r"its two files cannot be replaced in one"):
        en.save_weights(helpers.randomize(model), path)
    after = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    assert after == before


def test_paths_may_be_path_objects(model, tmp_path):
    expected = values(model)
    en.save_weights(model, tmp_path / "w.weights.h5")
    en.load_weights(helpers.randomize(model), tmp_path / "w.weights.h5")
    assert_same(model, expected)


def test_changed_bytes_of_a_safetensors_file_are_noticed(model, tmp_path):
    path = tmp_path / "w.safetensors"
    en.save_weights(model, path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="the file is damaged or was changed"):
        en.load_weights(model, path)


def test_a_folder_with_a_releases_name_hides_no_release(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EFFICIENTNET_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EFFICIENTNET_TF_OFFLINE", "1")
    os.mkdir("imagenet")
    with pytest.raises(ValueError, match="fetching is off"):
        en.load_weights("efficientnet-b0", "imagenet")
    with pytest.raises(ValueError, match="is a folder without"):
        en.load_weights("efficientnet-b0", "./imagenet")


def test_saving_into_a_new_folder_makes_it(model, tmp_path):
    path = str(tmp_path / "a" / "b" / "w.weights.h5")
    en.save_weights(model, path)
    en.load_weights(model, path)


@pytest.mark.parametrize(
    ("file_name", "format", "match"),
    [
        ("w.h5", "efficientnet_tf", r"w\.h5: a efficientnet_tf file ends in"),
        ("w.h5", "timm", r"ends in \.safetensors"),
        ("w.safetensors", "keras", "ends in"),
        ("w.h5", "torch", "format='torch': allowed are"),
    ],
)
def test_wrong_formats_are_refused(model, file_name, format, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        en.save_weights(model, str(tmp_path / file_name), format=format)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["w.keras", "w.pth", "w.hdf5"])
def test_suffixes_that_are_only_read_are_not_written(model, name, tmp_path):
    with pytest.raises(ValueError, match=r"written to \.weights\.h5, \.h5"):
        en.save_weights(model, tmp_path / name)
    assert os.listdir(tmp_path) == []
