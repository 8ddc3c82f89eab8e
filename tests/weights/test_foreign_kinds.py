"""What is no weights file is called what it is, under any name."""

import builtins
import gzip
import io
import os
import re
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from weights_support import FILES, refuses

import efficientnet_tf as en
from efficientnet_tf.weights import keras_files, reading

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def refusal(path):
    with pytest.raises(ValueError) as raised:
        reading.read_weights(str(path), None)
    line = str(raised.value)
    assert "\n" not in line
    assert line.startswith((f"{path}: ", f"weights={path}: "))
    return line.removeprefix("weights=").removeprefix(f"{path}: ")


def arrays():
    content = io.BytesIO()
    np.savez(content, a=np.zeros(3))
    return content.getvalue()


def archive(names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for name in names:
            opened.writestr(name, "content")
    return content.getvalue()


def tar():
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as opened:
        opened.addfile(tarfile.TarInfo("weights"))
    return content.getvalue()


KINDS = {
    "LFS": (LFS, "a Git LFS pointer to the file; `git lfs pull`"),
    "HTML": (b"<!doctype html><html><body>404", "an HTML page; download"),
    "empty": (b"", "an empty file"),
    "zeros": (bytes(2000), "a file that begins with zeros"),
    "gzip": (gzip.compress(b"weights"), "a compressed file; unpack it"),
    "tar": (tar(), "a tar archive; unpack it"),
    "zip": (archive(["readme.txt"]), "a zip archive of other files; unpack it"),
    "npz": (arrays(), "an archive of NumPy's arrays (.npz)"),
    "npy": (b"\x93NUMPY\x01\x00", "an array of NumPy"),
    "image": (b"\x89PNG\r\n\x1a\n", "an image"),
    "PDF": (b"%PDF-1.7", "a PDF document"),
    "program": (b"#!/bin/sh\n", "a program"),
    "LiteRT": (b"\x1c\0\0\0TFL3" + bytes(99), "a LiteRT model"),
    "JSON": (b'{"error": "Not Found"}', "a JSON document"),
    "nested JSON": (b'{"aaaa":{"b":1}}', "a JSON document"),
}


@pytest.mark.parametrize(
    "name", ["w.h5", "w.keras", "w.safetensors", "w.pth", "w.ckpt"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_something_else_is_called_what_it_is(kind, name, tmp_path):
    content, words = KINDS[kind]
    (tmp_path / name).write_bytes(content)
    assert refusal(tmp_path / name).startswith(f"is {words}")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["model.weights.h5", "config.json"], "is a Keras archive; name it .keras"),
        (["w/data.pkl", "w/data/0"], "is a zip archive of torch.save; name it .pth"),
    ],
)
def test_so_is_a_file_of_another_project(names, words, tmp_path):
    for name in ("w.zip", "w.safetensors"):
        (tmp_path / name).write_bytes(archive(names))
        assert refusal(tmp_path / name).startswith(words)


@pytest.mark.parametrize("name", ["w.h5", "w.keras", "w.pth", "w.safetensors", "w"])
def test_a_folder_is_called_one(name, tmp_path):
    (tmp_path / name).mkdir()
    assert refusal(tmp_path / name).startswith("is a folder without a TF1 checkpoint")


def test_a_weights_file_in_a_folder_is_named(tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).touch()
    assert refusal(tmp_path).endswith("; model.safetensors in it may be meant")


@pytest.mark.parametrize("name", ["pipe.h5", "pipe.pth", "pipe"])
def test_a_pipe_is_not_waited_for(name, tmp_path):
    os.mkfifo(tmp_path / name)
    assert "no file with a content" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["w.h5", "w.keras", "w.safetensors", "w.pth"])
def test_a_file_that_may_not_be_read_is_named(name, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    (tmp_path / name).write_bytes(LFS)
    monkeypatch.setattr(builtins, "open", fail)
    assert refusal(tmp_path / name) == "cannot be read (Permission denied)"


def test_so_is_a_folder(tmp_path, monkeypatch):
    def fail(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", fail)
    assert refusal(tmp_path) == "cannot be read (Permission denied)"


@pytest.fixture(scope="module")
def checkpoint(built, tmp_path_factory):
    """A TF1 checkpoint's files; each test gets a copy."""
    folder = tmp_path_factory.mktemp("tf1")
    en.save_weights(built[0], str(folder / "m.ckpt"), format="tf1")
    return folder


@pytest.fixture
def prefix(checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    return f"{tmp_path}/m.ckpt"


DATA = ".data-00000-of-00001"


@pytest.mark.parametrize("part", [".index", DATA])
@pytest.mark.parametrize("kind", ["LFS", "HTML", "empty"])
def test_so_is_a_part_of_a_tf1_checkpoint(kind, part, prefix):
    content, words = KINDS[kind]
    with open(prefix + part, "wb") as stream:
        stream.write(content)
    assert refusal(prefix).startswith(f"its file m.ckpt{part} is {words}")


def test_another_file_of_the_same_prefix_is_not_blamed(prefix):
    with open(f"{prefix}.readme", "wb") as stream:
        stream.write(LFS)
    with open(f"{prefix}.index", "r+b") as stream:
        stream.truncate(100)
    assert "readme" not in refusal(prefix)


@pytest.mark.parametrize("part", [".index", DATA])
def test_a_missing_part_is_named(part, prefix):
    os.remove(prefix + part)
    assert refusal(prefix) == f"its file m.ckpt{part} is missing"


@pytest.mark.parametrize("part", [".index", DATA])
def test_the_prefix_of_a_part_is_named(part, prefix):
    words = f"is a part of a TF1 checkpoint; name its prefix, {prefix}"
    assert refusal(prefix + part) == words


def test_garbage_in_the_list_of_checkpoints_is_named(tmp_path):
    (tmp_path / "checkpoint").write_bytes(b"\xff\xfe\x00garbage")
    assert "its file `checkpoint` is damaged" in refusal(tmp_path)


ENDINGS = {
    "own": "W.WEIGHTS.H5",
    "keras-h5": "W.H5",
    "keras-weights-h5": "w.Weights.h5",
    "timm": "w.SafeTensors",
}


@pytest.mark.parametrize("file", ENDINGS)
def test_endings_in_capitals_are_written_and_read(model, file, tmp_path):
    path = str(tmp_path / ENDINGS[file])
    kernel = model.get_layer("stem_conv").get_weights()[0]
    en.save_weights(model, path, format=FILES[file][1])
    assert os.listdir(tmp_path) == [ENDINGS[file]]
    model.get_layer("stem_conv").set_weights([0 * kernel])
    en.load_weights(model, path)
    np.testing.assert_array_equal(model.get_layer("stem_conv").get_weights()[0], kernel)


@pytest.mark.parametrize("name", ["W.KERAS", "w.Keras"])
def test_so_are_those_of_keras(built, name, tmp_path):
    built[0].save(tmp_path / "w.keras")
    os.rename(tmp_path / "w.keras", tmp_path / name)
    assert "stem_conv/kernel" in keras_files.open_file(str(tmp_path / name)).tensors


@pytest.mark.parametrize("name", ["W.PTH", "w.Pt", "w.BIN", "W.HDF5", "W.SAFETENSORS"])
def test_a_missing_file_with_such_an_ending_is_no_release(model, name, tmp_path):
    refuses(model, str(tmp_path / name), re.escape(name), "does not exist")
    (tmp_path / name).write_bytes(LFS)
    assert refusal(tmp_path / name).startswith("is a Git LFS pointer")
