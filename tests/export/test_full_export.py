"""An export to a disk that is full, or mounted at its very folder."""

import disks
import pytest
import tensorflow as tf

from efficientnet_tf import disk
from efficientnet_tf.export import saved_model


def module(size):
    """A module with the signatures of an export, and float32 weights."""
    made = tf.Module()
    made.weights = tf.Variable(tf.zeros([size]))
    for name in ("serving_default", "tensor", "tensor_uint8"):
        spec = tf.TensorSpec([], tf.float32)
        function = tf.function(
            lambda x: {"y": x + made.weights}, input_signature=[spec]
        )
        setattr(made, name, function)
    return made


def test_a_mounted_folder_is_replaced_file_by_file(tmp_path):
    out = tmp_path / "disk"
    with disks.small_disk(out, "400k"):
        saved_model.check_target(str(out))
        for size in (8, 16):
            saved_model._write(module(size), "ant\n", str(out))
            loaded = tf.saved_model.load(str(out))
            assert loaded.signatures["tensor"](tf.constant(2.0))["y"].shape == size
            left = {"saved_model.pb", "variables", "labels.txt", "fingerprint.pb"}
            assert {path.name for path in out.iterdir()} == left
        saved_model.check_target(str(out))
        with pytest.raises(disk.WriteError) as error:
            saved_model._write(module(200_000), "ant\n", str(out))
        assert str(error.value).startswith(f"{out}: cannot be written (No space left")


def test_a_full_disk_leaves_the_export_before(tmp_path):
    with disks.small_disk(tmp_path / "disk", "300k"):
        out = tmp_path / "disk" / "out"
        saved_model._write(module(8), "ant\n", str(out))
        before = (out / "saved_model.pb").read_bytes()
        with pytest.raises(disk.WriteError) as error:
            saved_model._write(module(200_000), "ant\n", str(out))
        assert str(error.value).startswith(f"{out}: cannot be written (No space left")
        assert [path.name for path in out.parent.iterdir()] == ["out"]
        assert (out / "saved_model.pb").read_bytes() == before


def test_the_folder_around_is_tried_too(tmp_path):
    (tmp_path / "around" / "out").mkdir(parents=True)
    with disks.unchangeable(tmp_path / "around"), pytest.raises(ValueError) as error:
        saved_model.check_target(f"{tmp_path}/around/out")
    assert str(error.value).startswith(f"export_dir={tmp_path}/around/out: ")
