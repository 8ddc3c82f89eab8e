"""Digests in the files that we write, and what is said of files without one."""

import dataclasses
import os
import shutil

import h5py
import keras
import numpy as np
import pytest
import torch_saving as torch_support
from weight_helpers import assert_same, build, values
from weights_support import FILES, TEST, refuses

import efficientnet_tf as en
from efficientnet_tf.weights import checksums, reading, releases
from efficientnet_tf.weights.weights_file import UNCHECKED, print_notes

CHECKED = {
    "own": "SHA-256",
    "keras-h5": "SHA-256",
    "keras-weights-h5": "SHA-256",
    "timm": "SHA-256",
    "tf1": "CRC-32C",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A model, and its weights in every format that we write."""
    folder = tmp_path_factory.mktemp("digests")
    model = build(TEST)
    for file, (name, format) in FILES.items():
        en.save_weights(model, str(folder / file / name), format=format)
    return values(model), folder


@pytest.fixture
def copied(source, tmp_path):
    """Copies one of the files; returns the path to load."""

    def copy(file):
        shutil.copytree(source[1] / file, tmp_path, dirs_exist_ok=True)
        return str(tmp_path / FILES[file][0])

    return copy


@pytest.mark.parametrize("file", FILES)
def test_what_we_write_is_checked(model, source, copied, file):
    en.load_weights(model, copied(file))
    assert_same(model, source[0])
    assert model.load_report.checked == CHECKED[file]
    assert model.load_report.notes == ()


@pytest.mark.parametrize("file", FILES)
def test_a_bit_of_any_value_is_missed_in_none_of_them(model, source, copied, file):
    path = copied(file)
    real = f"{path}.data-00000-of-00001" if file == "tf1" else path
    with open(real, "rb") as stream:
        content = bytearray(stream.read())
    # A TF1 checkpoint has the raw weights first, then the averages, which are loaded.
    place = content.rindex(source[0]["block2a_bn/beta"].tobytes())
    content[place + 1] ^= 2  # its last bits: no shape and no size of it shows
    with open(real, "wb") as stream:
        stream.write(content)
    refuses(model, path, path)


@pytest.mark.parametrize("file", ["own", "keras-h5", "keras-weights-h5"])
@pytest.mark.parametrize("place", [0, 1000, -2000, -300])
def test_a_damaged_file_is_never_given_to_hdf5(copied, file, place, monkeypatch):
    def never(*args):
        raise AssertionError("h5py opened it")

    path = copied(file)
    with open(path, "rb") as stream:
        content = bytearray(stream.read())
    content[place] ^= 1
    with open(path, "wb") as stream:
        stream.write(content)
    monkeypatch.setattr(h5py, "File", never)
    with pytest.raises(ValueError) as raised:
        reading.read_weights(path, None)
    assert str(raised.value).startswith(f"{path}: its bytes do not match the SHA-256")


@pytest.mark.parametrize("file", ["own", "keras-h5", "keras-weights-h5"])
def test_a_value_that_h5py_changed_is_noticed(model, copied, file):
    path = copied(file)
    with h5py.File(path, "a") as opened:
        changed = []
        opened.visititems(lambda name, value: changed.append((name, value)))
        data = next(
            v for _, v in changed if isinstance(v, h5py.Dataset) and v.ndim == 4
        )
        data[0, 0, 0, 0] = 7
    refuses(model, path, "SHA-256", "changed")


def test_another_passport_beside_the_same_weights_is_noticed(model, copied):
    path = copied("own")
    with h5py.File(path, "a") as file:
        text = file.attrs["passport"]
        file.attrs["passport"] = text.replace('"padding": "same"', '"padding": "symm"')
        assert file.attrs["passport"] != text
    refuses(model, path, "its passport does not match its SHA-256")


def test_so_is_one_in_safetensors_and_the_file_is_named_once(copied):
    path = copied("timm")
    with open(path, "rb") as stream:
        content = stream.read()
    other = content.replace(rb"\"padding\": \"same\"", rb"\"padding\": \"symm\"")
    assert other != content
    with open(path, "wb") as stream:
        stream.write(other)
    with pytest.raises(ValueError, match="its passport does not match") as raised:
        reading.read_weights(path, None)
    assert str(raised.value).count(path) == 1


def test_so_are_other_names_of_classes(model, tmp_path):
    path = str(tmp_path / "w.weights.h5")
    names = tuple(f"class {number}" for number in range(10))
    model.passport = dataclasses.replace(model.passport, class_names=names)
    en.save_weights(model, path)
    en.load_weights(model, path)
    assert model.passport.class_names == names
    with h5py.File(path, "a") as file:
        file["class_names"][3] = b"class E"
    refuses(model, path, "its passport does not match")


def test_a_passport_that_is_gone_is_missed(model, copied):
    path = copied("own")
    with h5py.File(path, "a") as file:
        del file.attrs["passport"]
    refuses(model, path, "its passport does not match")


def test_files_of_earlier_versions_have_no_digest_of_the_passport(
    model, source, copied
):
    path = copied("own")
    with h5py.File(path, "a") as file:
        del file.attrs[checksums.PASSPORT]
    en.load_weights(model, path)
    assert_same(model, source[0])
    assert model.load_report.checked == "SHA-256"


@pytest.mark.parametrize("file", ["own", "keras-weights-h5"])
def test_keras_still_reads_what_we_write(model, source, copied, file):
    model.load_weights(copied(file))
    assert_same(model, source[0])


def foreign(kind, model, path):
    """Weights as others write them."""
    if kind == "weights.h5":
        keras.Model(model.inputs, model.outputs).save_weights(path)
    elif kind == "keras":
        keras.Model(model.inputs, model.outputs).save(path)
    else:
        en.save_weights(model, path)
        with h5py.File(path, "a") as file:
            del file.attrs["passport"], file.attrs[checksums.PASSPORT]


@pytest.mark.parametrize(
    ("kind", "checked"),
    [("weights.h5", UNCHECKED), ("keras", "CRC-32"), ("h5", UNCHECKED)],
)
def test_the_report_says_if_nothing_checks_a_file(
    model, kind, checked, tmp_path, capsys
):
    path = str(tmp_path / f"w.{kind}")
    foreign(kind, model, path)
    en.load_weights(model, path)
    assert model.load_report.checked == checked
    print_notes(model.load_report)
    assert ("cannot be checked" in capsys.readouterr().err) == (checked == UNCHECKED)


@pytest.mark.parametrize(("format", "checked"), [("zip", "CRC-32"), ("old", None)])
def test_so_of_pth_files(format, checked, tmp_path):
    arrays = {"_conv_stem.weight": np.ones((8, 3, 3, 3), "f4"), "empty": np.zeros(0)}
    state = torch_support.tensors(arrays)
    path = torch_support.save(tmp_path / "w.pth", state, format=format)
    found = reading.read_weights(path, None)
    assert found.checked == checked


def test_a_release_was_checked_by_its_published_digest(source, monkeypatch):
    path = os.path.join(source[1], "keras-h5", FILES["keras-h5"][0])
    monkeypatch.setattr(releases, "fetch", lambda release: path)
    found = reading.read_weights("imagenet", en.get_variant("efficientnet-b0"))
    assert found.checked == "published digest"
