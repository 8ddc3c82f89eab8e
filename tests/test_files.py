import os
import subprocess
import sys

import pytest

from efficientnet_tf import files

WRITER = """
import sys
from efficientnet_tf import files
path, word, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
for _ in range(rounds):
    with files.replacing(path) as partial, open(partial, "w") as file:
        for _ in range(1000):
            print(word, file=file)
"""


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "made" / "file.txt"
    with files.replacing(str(path)) as partial, open(partial, "w") as file:
        file.write("whole")
    with pytest.raises(RuntimeError), files.replacing(str(path)) as partial:
        with open(partial, "w") as file:
            file.write("ha")
        raise RuntimeError
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["file.txt"]


def test_text_and_bytes_are_written_whole(tmp_path):
    for content in ("ä", "ä".encode()):
        files.write_whole(str(tmp_path / "file"), content)
        assert (tmp_path / "file").read_text() == "ä"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_is_tried_before_the_work_and_not_made(tmp_path):
    for folder in (tmp_path, tmp_path / "new" / "deep"):
        files.check_writable(str(folder))
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").touch()
    with pytest.raises(ValueError) as error:
        files.check_writable(f"{tmp_path}/file/run", label="model_dir=")
    assert str(error.value).startswith(
        f"model_dir={tmp_path}/file/run: {tmp_path}/file is not"
    )


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    too_long = "File name too long: name a shorter path"
    for path, told in (
        ("/proc/run", "/proc is not a writable folder"),
        ("/sys/run/deep", "/sys is not a writable folder"),
        (f"{tmp_path}/link/run", f"{tmp_path}/link is not a writable folder"),
        (f"{tmp_path}/{'n' * 256}", f"cannot be written: {too_long}"),
        (f"{tmp_path}/{'n' * 256}/run", f"cannot be written: {too_long}"),
        ("/dev/null/run", "/dev/null is not a writable folder"),
    ):
        with pytest.raises(ValueError) as error:
            files.check_writable(path, label="model_dir=")
        assert str(error.value) == f"model_dir={path}: {told}"


@pytest.mark.parametrize(
    "path", ["gs://bucket", "gs://bu-ck.et_1/a b/ä", "gs://bucket/a/", "a//b", "gs"]
)
def test_places_in_buckets_and_on_disks_are_told_apart(path):
    files.check_name(path)
    assert files.is_url(path) == path.startswith("gs://")


@pytest.mark.parametrize(
    "path",
    ["gs:bucket", "gs:/bucket/a", "gs://", "gs:///a", "gs://B/a", "gs://bucket//a"],
)
def test_what_was_meant_for_a_bucket_names_one(path):
    with pytest.raises(ValueError) as error:
        files.check_name(path, label="--data_dir=")
    assert str(error.value).startswith(f"--data_dir={path}: is not a valid path")


@pytest.mark.parametrize("path", ["s3://bucket/a", "hdfs://host/a", "file:///a", "://"])
def test_other_file_systems_are_named(path):
    with pytest.raises(ValueError) as error:
        files.check_name(path, label="--data_dir=")
    assert str(error.value).startswith(f"--data_dir={path}: allowed are paths of")


def test_two_processes_write_whole_files(tmp_path):
    path = tmp_path / "file.txt"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), word, "300"])
        for word in ("one", "two")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert path.read_text() in ("one\n" * 1000, "two\n" * 1000)
    assert os.listdir(tmp_path) == ["file.txt"]


def test_an_error_of_tensorflow_is_told_in_its_own_words():
    import tensorflow as tf

    def decode(content):
        return tf.io.decode_image(content)

    for function in (decode, tf.function(decode)):
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            function(tf.constant(b""))
        assert files.reason(error.value) == "Input is empty."
