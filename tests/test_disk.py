"""What disks answer, in Python's and in TensorFlow's words, as one line."""

import errno
import json
import os
import pathlib
import pickle
import sys

import disks
import pytest
import tensorflow as tf

from efficientnet_tf import disk, files, plots, terminal
from efficientnet_tf.command_line import failure
from efficientnet_tf.data import digits
from efficientnet_tf.runs import metrics, run_files
from efficientnet_tf.weights import releases

NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)
by_number = pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)


def refuses(number, path=None):
    """A function that fails as a call of the operating system does."""

    def call(*args, **kwargs):
        raise OSError(number, os.strerror(number), path)

    return call


@by_number
def test_a_disk_s_answer_is_told_with_its_path_and_what_helps(number):
    of_python = OSError(number, os.strerror(number), "/run/file")
    words = f"{{{{function_node x}}}} /run/a b/file; {os.strerror(number)} [Op:SaveV2]"
    of_tensorflow = tf.errors.ResourceExhaustedError(None, None, words)
    for error, path in ((of_python, "/run/file"), (of_tensorflow, "/run/a b/file")):
        told = disk.in_words(error)
        assert told.startswith(f"{path}: {os.strerror(number)}: ")
        assert len(told) > len(f"{path}: {os.strerror(number)}: ")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a mistake"),
        OSError("no number"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
    ],
    ids=["value", "plain", "network", "memory"],
)
def test_other_errors_are_left_alone(error):
    assert disk.in_words(error) is None
    with pytest.raises(type(error)) as raised, disk.writing("/run/file"):
        raise error
    assert raised.value is error


def test_an_error_of_another_file_is_left_alone():
    with pytest.raises(PermissionError), disk.writing("/run/file"):
        raise PermissionError(errno.EACCES, "Permission denied", "/photos/cat.jpg")


def test_a_folder_whose_name_begins_alike_is_another():
    with pytest.raises(PermissionError), disk.writing("/run/file"):
        raise PermissionError(errno.EACCES, "Permission denied", "/run2/file")
    for near in ("/run/other", "/run", "/", "/run/file/part"):
        with pytest.raises(disk.WriteError), disk.writing("/run/file"):
            raise PermissionError(errno.EACCES, "Permission denied", near)


@pytest.mark.parametrize(
    "error",
    [
        run_files.DamagedError("/my runs/config.json", "is damaged", "remove it"),
        PermissionError(errno.EACCES, "Permission denied", "/my runs/config.json"),
    ],
    ids=["damaged", "refused"],
)
def test_json_has_the_file_whatever_its_name(error):
    text = disk.in_words(error) or str(error)
    told = json.loads(failure.to_json(error, text))
    assert (told["kind"], told["path"]) == ("file", "/my runs/config.json")


def test_a_safetensors_file_on_a_full_disk():
    error = RuntimeError("I/O error: No space left on device (os error 28)")
    assert disk.in_words(error).startswith("No space left on device: ")


# How each place writes, the call of the system that fails, and what it says.
PLACES = {
    "folder": (os, "makedirs"),
    "content": (pathlib.Path, "write_bytes"),
    "rename": (os, "replace"),
}
WRITERS = {
    "text": lambda path: files.write_whole(path, "text"),
    "csv": lambda path: files.write_csv(path, [{"a": 1}]),
    "json": lambda path: run_files.write(path, "{}"),
    "plot": lambda path: plots.lines(path, {"a": [(0, 1)]}, x="x", y="y"),
}


@by_number
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("writer", ["text", "csv", "json"])
def test_a_file_that_cannot_be_written_is_named_and_left_as_it_was(
    tmp_path, monkeypatch, writer, place, number
):
    path = tmp_path / "file"
    path.write_text("before")
    monkeypatch.setattr(*PLACES[place], refuses(number))
    with pytest.raises(disk.WriteError) as error:
        WRITERS[writer](str(path))
    assert str(error.value).startswith(
        f"{path}: cannot be written ({os.strerror(number)}"
    )
    monkeypatch.undo()
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["file"]
    told = json.loads(failure.to_json(error.value, str(error.value)))
    assert (told["kind"], told["path"]) == ("file", str(path))


@by_number
def test_a_folder_is_tried_with_content(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "fsync", refuses(number))
    for check in (files.check_writable, files.make_folder):
        with pytest.raises(ValueError) as error:
            check(str(tmp_path), label="--model_dir=")
        assert str(error.value).startswith(f"--model_dir={tmp_path}: ")
    with pytest.raises(ValueError):
        files.check_file(f"{tmp_path}/found.csv", label="--output=")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_in_a_folder_s_place_is_named(tmp_path, writer):
    (tmp_path / "file").touch()
    with pytest.raises(disk.WriteError) as error:
        WRITERS[writer](f"{tmp_path}/file/run/it")
    assert str(error.value).startswith(f"{tmp_path}/file/run/it: cannot be written (")


def test_an_error_of_writing_comes_back_from_another_process():
    error = pickle.loads(pickle.dumps(disk.WriteError("/run/file", "full")))
    assert str(error) == "/run/file: cannot be written (full)"
    assert (error.path, error.reason) == ("/run/file", "full")


def test_output_that_a_full_disk_takes_ends_the_program(monkeypatch):
    with open("/dev/full", "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        with pytest.raises(SystemExit) as ended, terminal.tolerant():
            print("result")
        told = "error: the output cannot be written (No space left on device: "
        assert str(ended.value.code).startswith(told)
        error = OSError(errno.ENOSPC, "No space left on device", "/run/file")
        with pytest.raises(OSError) as raised, terminal.tolerant():
            raise error
        assert raised.value is error


def test_a_cache_that_cannot_be_written_is_named_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", f"{tmp_path}/file")
    with pytest.raises(ValueError) as error:
        digits.prepare(digits.default_dir())
    told = str(error.value)
    assert told.startswith(f"cache of digits-v1: {tmp_path}/file/") and "XDG" in told
    with pytest.raises(ValueError) as error:
        releases._download(None, f"{tmp_path}/file/weights/b0.h5")
    assert str(error.value).startswith(f"cache of weights: {tmp_path}/file/weights: ")


def test_metrics_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(ValueError) as error:
        metrics.append(str(tmp_path), "train", step=1, epoch=0.1)
    assert str(error.value).startswith(f"{tmp_path}/metrics.jsonl: cannot be written (")


def test_a_file_that_cannot_be_changed_is_named_before_the_work(tmp_path):
    path = tmp_path / "found.csv"
    path.write_text("before")
    path.chmod(0o400)  # which a new file takes the place of
    files.check_file(str(path), label="--output=")
    with disks.unchangeable(path), pytest.raises(ValueError) as error:
        files.check_file(str(path), label="--output=")
    assert str(error.value).startswith(f"--output={path}: cannot be written: ")
    assert path.read_text() == "before"


def test_a_full_disk_is_named_before_the_work(tmp_path):
    folder = tmp_path / "disk"
    with disks.small_disk(folder, "8k"):
        files.check_writable(str(folder), label="--model_dir=")
        with pytest.raises(OSError):
            (folder / "rest").write_bytes(bytes(10_000))
        with pytest.raises(ValueError) as error:
            files.check_writable(f"{folder}/run", label="--model_dir=")
        told = f"--model_dir={folder}/run: cannot be written: No space left on device"
        assert str(error.value).startswith(told)
        with pytest.raises(disk.WriteError):
            files.write_whole(f"{folder}/run/config.json", "{}")
        (folder / "rest").unlink()
        assert os.listdir(folder) in ([], ["run"])
