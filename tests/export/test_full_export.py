"""An export to a disk that is full, or mounted at its very folder."""

import pathlib

import disks
import pytest
import tensorflow as tf

from efficientnet_tf import disk
from efficientnet_tf.export import export_folder


def write(size, out):
    """Writes an export of so many float32 weights."""
    made = tf.Module()
    made.weights = tf.Variable(tf.zeros([size]))
    spec = tf.TensorSpec([], tf.float32)
    made.tensor = tf.function(lambda x: {"y": x + made.weights}, input_signature=[spec])

    def fill(folder):
        tf.saved_model.save(made, folder, {"tensor": made.tensor})
        (pathlib.Path(folder) / "labels.txt").write_text("ant\n")

    export_folder.write(str(out), fill)


def test_a_mounted_folder_is_replaced_file_by_file(tmp_path):
    out = tmp_path / "disk"
    with disks.small_disk(out, "400k"):
        export_folder.check_target(str(out))
        for size in (8, 16):
            write(size, out)
            loaded = tf.saved_model.load(str(out))
            assert loaded.signatures["tensor"](tf.constant(2.0))["y"].shape == size
            left = {"saved_model.pb", "variables", "labels.txt", "fingerprint.pb"}
            assert {path.name for path in out.iterdir()} == left
        export_folder.check_target(str(out))
        with pytest.raises(disk.WriteError) as error:
            write(200_000, out)
        assert str(error.value).startswith(f"{out}: cannot be written (No space left")


def test_a_full_disk_leaves_the_export_before(tmp_path):
    with disks.small_disk(tmp_path / "disk", "300k"):
        out = tmp_path / "disk" / "out"
        write(8, out)
        before = (out / "saved_model.pb").read_bytes()
        with pytest.raises(disk.WriteError) as error:
            write(200_000, out)
        assert str(error.value).startswith(f"{out}: cannot be written (No space left")
        assert [path.name for path in out.parent.iterdir()] == ["out"]
        assert (out / "saved_model.pb").read_bytes() == before


def test_the_folder_around_is_tried_too(tmp_path):
    (tmp_path / "around" / "out").mkdir(parents=True)
    with disks.unchangeable(tmp_path / "around"), pytest.raises(ValueError) as error:
        export_folder.check_target(f"{tmp_path}/around/out")
    assert str(error.value).startswith(f"export_dir={tmp_path}/around/out: ")
