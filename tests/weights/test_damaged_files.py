"""Damaged, changed and foreign files are refused by name."""

import os
import re

import h5py
import numpy as np
import pytest
import torch_saving
from weight_helpers import values
from weights_support import FILES, refuses

import efficientnet_tf as en


@pytest.mark.parametrize("file", FILES)
def test_a_truncated_file_is_refused_by_name(model, file, tmp_path):
    path = str(tmp_path / FILES[file][0])
    en.save_weights(model, path, format=FILES[file][1])
    real = f"{path}.data-00000-of-00001" if file == "tf1" else path
    size = os.path.getsize(real)
    for kept in (size - 200, size // 2, 100, 0):  # 125 are a digest of the others
        os.truncate(real, kept)
        refuses(model, path, re.escape(path))


def test_a_changed_weight_breaks_the_checksum(model, tmp_path):
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(model, path)
    with open(path, "rb") as stream:
        content = stream.read()
    place = content.index(values(model)["top_bn/gamma"].tobytes())
    with open(path, "wb") as stream:
        stream.write(content[:place] + b"\0\0\0\0" + content[place + 4 :])
    refuses(model, path, "SHA-256")


@pytest.mark.parametrize(
    "file_name", ["w.weights.h5", "w.h5", "w.keras", "w.safetensors", "w.ckpt", "w.bin"]
)
def test_a_file_of_something_else_is_refused(model, file_name, tmp_path):
    path = tmp_path / file_name
    path.write_bytes(b"nothing of the kind" * 100)
    refuses(model, str(path), re.escape(str(path)))


@pytest.mark.parametrize("file_name", ["w.h5", "w.safetensors", "w", "no/folder/w"])
def test_a_missing_path_is_named(model, file_name, tmp_path):
    path = str(tmp_path / file_name)
    refuses(model, path, re.escape(path), "does not exist")


def test_a_folder_without_a_checkpoint_is_refused(model, tmp_path):
    refuses(model, str(tmp_path), "is a folder without a TF1 checkpoint")


def test_an_hdf5_file_of_something_else_is_refused(model, tmp_path):
    path = str(tmp_path / "w.h5")
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(3)
    refuses(model, path, re.escape(path))


def test_safetensors_of_another_project_are_refused(model, tmp_path):
    from safetensors import numpy

    path = str(tmp_path / "w.safetensors")
    numpy.save_file({"encoder.weight": np.zeros(3)}, path)
    refuses(model, path, "encoder.weight", "none of")


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_a_pth_that_calls_a_function_is_refused(model, suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    state = {"a": torch_saving.Named("stranger", "Model")}
    torch_saving.save(path, state)
    refuses(model, str(path), re.escape(str(path)), r"names stranger\.Model,")
