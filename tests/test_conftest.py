"""Tests of the suite itself: each test finds the same state, whatever ran before."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
# Each test notes what it finds, and the last ones leave things as they should not.
TESTS = """
import json, os, pathlib, random
import keras, numpy as np, pytest, tensorflow as tf

def draw():
    layer = keras.layers.Dense(1)
    layer.build((None, 2))
    drawn = [random.random(), np.random.rand(), tf.random.normal([]).numpy()]
    drawn += [keras.random.normal([]).numpy(), *layer.kernel.numpy()[:, 0]]
    return [layer.name, keras.config.floatx(), keras.config.image_data_format(),
            keras.config.dtype_policy().name, "LEFT" in os.environ, os.getcwd(),
            *map(float, drawn)]

@pytest.fixture(scope="module")
def shared():
    return draw()

@pytest.fixture(autouse=True)
def note(request):
    with open(os.environ["NOTES"], "a") as file:
        values = [*draw(), *draw(), request.getfixturevalue("shared")]
        file.write(json.dumps([request.node.nodeid, values]) + "\\n")

@pytest.mark.parametrize("number", range(3))
def test_plain(number):
    pass

def test_leaves_numbers():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.config.set_image_data_format("channels_first")
    tf.config.experimental.enable_op_determinism()

def test_leaves_a_place():
    os.environ["LEFT"] = "1"
    os.chdir("/")
    random.seed(5)
"""
RUN = """
import os, pytest, sys
for seed in (1, 2):
    os.environ["NOTES"] = f"{seed}.jsonl"
    assert pytest.main(["-q", "-p", "no:cacheprovider", f"--shuffle={seed}", "."]) == 0
    for name in [n for n in sys.modules if n.startswith("test_")]:
        del sys.modules[name]
"""


def test_an_order_changes_nothing_that_a_test_sees(tmp_path):
    for name in ("conftest.py", "alike.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path)
    for name in ("test_one.py", "test_two.py"):
        (tmp_path / name).write_text(TESTS)
    subprocess.run(
        [sys.executable, "-c", RUN],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    first, second = (
        [json.loads(line) for line in (tmp_path / f).read_text().splitlines()]
        for f in ("1.jsonl", "2.jsonl")
    )
    assert len(first) == 10
    assert [name for name, _ in first] != [name for name, _ in second]
    assert dict(first) == dict(second)
    # Files are not torn apart.
    files = [name.split("::")[0] for name, _ in first]
    assert files in (sorted(files), sorted(files, reverse=True))
