"""A run that an earlier version began goes on as it would have there.

`begun_at_094b210` is a folder of commit 094b210, killed after three of six steps:
`main.py --mode=train` with the settings of its config.json. `step_6.npz` has what that
commit's checkpoint of the sixth step held, by name.
"""

import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from command_line import succeed

from efficientnet_tf.inference.classifier import Classifier

BEGUN = pathlib.Path(__file__).parent / "begun_at_094b210"


@pytest.fixture(scope="module")
def continued(digits_dir, tmp_path_factory):
    """The folder after the other three steps, and what was printed meanwhile."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    shutil.copytree(BEGUN, folder, ignore=shutil.ignore_patterns("*.npz"))
    printed = succeed(
        "--mode=train",
        "--dataset=digits",
        "--device=cpu",
        f"--data_dir={digits_dir}",
        f"--model_dir={folder}",
        "--blocks=r1_k3_s22_e1_i8_o8_se0.25,r2_k3_s22_e6_i8_o16_se0.25",
        "--width_coefficient=0.1",
        "--train_batch_size=32",
        "--eval_batch_size=64",
        "--steps_per_loop=3",
        "--train_epochs=0.15",
        "--checkpoint_epochs=0.07",
        "--eval_epochs=0.15",
        "--learning_rate=1.0",
        "--warmup_epochs=0.0",
    ).stderr
    return folder, printed


def test_it_goes_on_where_it_was(continued):
    assert "continuing from step 3" in continued[1]


def test_every_variable_is_as_that_commit_left_it(continued):
    found = tf.train.load_checkpoint(str(continued[0] / "checkpoints/ckpt-6"))
    with np.load(BEGUN / "step_6.npz") as expected:
        assert len(expected) == 222
        for name, value in expected.items():
            got = found.get_tensor(f"{name}/.ATTRIBUTES/VARIABLE_VALUE")
            # Equal bits on the machine that wrote it; others add in another order.
            np.testing.assert_allclose(got, value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_other_steps_changed_every_kernel():
    before = tf.train.load_checkpoint(str(BEGUN / "checkpoints/ckpt-3"))
    with np.load(BEGUN / "step_6.npz") as expected:
        kernels = [n for n in expected if n.startswith("model/") and "kernel" in n]
        assert len(kernels) == 17
        for name in kernels:
            value = before.get_tensor(f"{name}/.ATTRIBUTES/VARIABLE_VALUE")
            assert np.abs(value - expected[name]).max() > 1e-3, name


def test_its_classes_have_the_names_of_its_label_set(continued, digits_dir, tmp_path):
    digits = list("0123456789")
    assert list(Classifier.of_run(str(BEGUN)).class_names) == digits
    folder = f"--model_dir={continued[0]}"
    scores = succeed("--mode=eval", folder, f"--data_dir={digits_dir}", "--json").json
    assert scores["class_names"] == digits
    succeed("--mode=export", folder, f"--export_dir={tmp_path}/out")
    assert (tmp_path / "out/labels.txt").read_text().split() == digits


def test_classes_of_a_folder_have_numbers_there(tmp_path):
    shutil.copytree(BEGUN, tmp_path / "run")
    for name, field, value in (
        ("config.json", "dataset", "folder"),
        ("config.json", "data_dir", "/gone"),
        ("passport.json", "label_set", None),
    ):
        path = tmp_path / "run" / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    found = Classifier.of_run(str(tmp_path / "run")).class_names
    assert found == tuple(f"class {number}" for number in range(10))
