"""Seeded damage to every format: the right values, or one line that names the file."""

import collections
import os
import shutil

import h5py
import numpy as np
import pytest
import torch_files_support as torch_support
from weight_helpers import build, randomize
from weights_support import FILES, TEST

import efficientnet_tf as en
from efficientnet_tf.weights import checksums, model_layout, reading
from tools import damaged_files

DATA = ".data-00000-of-00001"
# The file to load, the file to damage, and whether something checks its values.
CASES = {
    "own": ("own/w.weights.h5", "", True),
    "keras-h5": ("keras-h5/w.h5", "", True),
    "keras-weights-h5": ("keras-weights-h5/w.weights.h5", "", True),
    "keras": ("keras/w.keras", "", True),
    "timm": ("timm/w.safetensors", "", True),
    "tf1 index": ("tf1/model.ckpt", ".index", True),
    "tf1 data": ("tf1/model.ckpt", DATA, True),
    "pth": ("pth/w.pth", "", True),
    "old pth": ("old/w.pth", "", False),
    "foreign h5": ("foreign/w.h5", "", False),
}
HDF5 = ("own", "keras-h5", "keras-weights-h5", "keras", "foreign h5")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The weights of one model in every format, and the model."""
    folder = tmp_path_factory.mktemp("damages")
    model = build(TEST)
    for file, (name, format) in FILES.items():
        en.save_weights(model, str(folder / file / name), format=format)
    for name in ("keras", "pth", "old", "foreign"):
        (folder / name).mkdir()
    model.save(folder / "keras/w.keras")
    tensors = reading.read_weights(str(folder / "timm/w.safetensors"), None).tensors
    state = torch_support.tensors(tensors)
    torch_support.save(folder / "pth/w.pth", state)
    torch_support.save(folder / "old/w.pth", state, format="old")
    shutil.copy(folder / "keras-h5/w.h5", folder / "foreign")
    with h5py.File(folder / "foreign/w.h5", "a") as file:
        del file.attrs["passport"], file.attrs[checksums.PASSPORT]
    return folder, model, model_layout.values(model)


def outcomes(files, case, tmp_path, count, seed=0):
    """How loading each of `count` damaged files ended, with what was done to it."""
    folder, model, expected = files
    name, part, is_checked = CASES[case]
    shutil.copytree((folder / name).parent, tmp_path, dirs_exist_ok=True)
    path = str(tmp_path / os.path.basename(name))
    whole = reading.read_weights(path, None).tensors
    with open(path + part, "rb") as stream:
        content = stream.read()

    def read():
        found = reading.read_weights(path, None)
        if found.tensors.keys() == whole.keys() and all(
            np.array_equal(value, whole[name]) for name, value in found.tensors.items()
        ):
            return True
        shapes = {name: value.shape for name, value in found.tensors.items()}
        if shapes == {name: value.shape for name, value in whole.items()}:
            assert not (is_checked or found.checked)
            return False
        randomize(model, seed=1)
        found.assign(model)
        loaded = model_layout.values(model)
        return all(np.array_equal(value, loaded[p]) for p, value in expected.items())

    for damage in damaged_files.damages(content, seed=seed, count=count):
        with open(path + part, "wb") as stream:
            stream.write(damage.content)
        yield damaged_files.outcome(read, path), f"{damage.kind}: {damage.words}"


def check(files, case, tmp_path, count, seed=0):
    allowed = ("right", "one line")
    if not CASES[case][2]:
        allowed += (
            "other values",
        )  # of which the report says that nothing checks them
    counted = collections.Counter()
    for outcome, done in outcomes(files, case, tmp_path, count, seed):
        assert outcome in allowed, done
        counted[outcome] += 1
    assert counted["one line"] > count // 4
    assert (case == "old pth") <= bool(counted["other values"])


@pytest.mark.parametrize("case", CASES)
def test_damage_ends_in_the_right_values_or_in_one_line(files, case, tmp_path):
    check(files, case, tmp_path, 12 if case in HDF5 else 60)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_so_do_200_of_each_format(files, case, tmp_path):
    check(files, case, tmp_path, 200, seed=1)


@pytest.mark.parametrize("case", CASES)
def test_damage_is_a_function_of_the_seed(files, case):
    name, part, _ = CASES[case]
    with open(str(files[0] / name) + part, "rb") as stream:
        content = stream.read()

    def made(seed):
        return list(damaged_files.damages(content, seed=seed, count=12))

    assert made(3) == made(3) != made(4)
    kinds = collections.Counter(damage.kind for damage in made(3))
    is_data = part == DATA
    assert kinds == (
        {"cut": 2, "flipped": 4, "shifted": 6}
        if is_data
        else {"cut": 2, "flipped": 4, "shifted": 2, "lie": 4}
    )
    # A lie may be the number that stands there.
    changes = [damage for damage in made(3) if damage.kind != "lie"]
    assert all(damage.content != content for damage in changes)


def test_lies_about_a_checkpoint_have_a_right_checksum(files):
    """A reader has to get as far as what they say."""
    with open(str(files[0] / "tf1/model.ckpt.index"), "rb") as stream:
        content = stream.read()
    assert damaged_files._crc32c(b"123456789") == 0xE3069283  # RFC 3720, B.4, and iSCSI
    for begin, end in damaged_files._blocks(content):
        crc = damaged_files._crc32c(content[begin : end + 1])
        masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
        assert content[end + 1 : end + 5] == masked.to_bytes(4, "little")
