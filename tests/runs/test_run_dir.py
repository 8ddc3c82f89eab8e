"""A run's folder: which checkpoint serves and which one continues."""

import shutil

import pytest
import tensorflow as tf

from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.weights import passport as passports


def test_the_best_checkpoint_serves_and_the_latest_continues(tmp_path):
    for name, step in (("checkpoints", 20), ("best", 10)):
        checkpoint = tf.train.Checkpoint(step=tf.Variable(step))
        manager = tf.train.CheckpointManager(checkpoint, f"{tmp_path}/{name}", 1)
        manager.save(checkpoint_number=step)
    run = RunDir(str(tmp_path))
    assert run.latest_checkpoint() == f"{tmp_path}/checkpoints/ckpt-20"
    assert run.to_serve().first == f"{tmp_path}/best/ckpt-10"
    shutil.rmtree(tmp_path / "best")
    assert run.to_serve().first == f"{tmp_path}/checkpoints/ckpt-20"
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(ValueError, match="no checkpoint there yet"):
        run.to_serve()


def test_a_passport_comes_with_a_file_of_names(tmp_path):
    run = RunDir(str(tmp_path))
    assert run.read_passport() == passports.Passport(None)
    stated = passports.Passport(
        None, classes=3, label_offset=1, class_names=("ant", "Käfer")
    )
    run.write_passport(stated)
    assert run.read_passport() == stated
    text = (tmp_path / "labels.txt").read_text(encoding="utf-8")
    assert text == "background\nant\nKäfer\n"


def test_a_run_goes_on_with_classes_of_its_names_alone(tmp_path):
    run = RunDir(str(tmp_path))
    run.check_class_names(("ant", "bee"))
    run.write_passport(passports.Passport(None, classes=2, class_names=("ant", "bee")))
    run.check_class_names(("ant", "bee"))
    run.check_class_names(None)
    with pytest.raises(ValueError) as error:
        run.check_class_names(("ant", "cat"))
    assert str(error.value).startswith(
        f"model_dir={tmp_path} holds a run whose class 1 is called bee (now cat)"
    )
    run.write_passport(passports.Passport(None, classes=2))
    run.check_class_names(("ant", "cat"))
