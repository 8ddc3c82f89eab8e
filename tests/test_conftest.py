"""Tests of the suite itself: each test finds the same state, whatever ran before."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import alike
import joblib
import pytest
import worker_count

ROOT = pathlib.Path(__file__).parents[1]
# Each test notes what it finds, and the last ones leave things as they should not.
TESTS = """
import json, os, pathlib, random
import keras, numpy as np, pytest, tensorflow as tf

def draw():
    layer = keras.layers.Dense(1)
    layer.build((None, 2))
    drawn = [random.random(), np.random.rand()]
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


def test_nothing_draws_with_a_state_of_tensorflows():
    """It would go on from test to test, unless tests set the seed themselves."""
    stateful = re.compile(
        r"tf\.(random\.(normal|uniform|shuffle|truncated_normal|gamma|categorical)"
        r"|image\.random_\w+)\("
    )
    files = [*ROOT.glob("efficientnet_tf/**/*.py"), *ROOT.glob("tests/**/*.py")]
    assert len(files) > 300
    texts = {path: path.read_text() for path in files}
    draws = [path for path, text in texts.items() if stateful.search(text)]
    assert [path for path in draws if "tf.random.set_seed" not in texts[path]] == []


def test_an_order_changes_nothing_that_a_test_sees(tmp_path):
    for name in ("conftest.py", "alike.py", "worker_count.py"):
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


def test_the_environment_is_settled_before_a_folders_conftest(tmp_path):
    """Pytest imports conftest.py of a folder that is named before it configures."""
    for name in ("conftest.py", "alike.py", "worker_count.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path)
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "conftest.py").write_text(
        "import os\n"
        "SEEN = [os.environ.get(n) for n in ('TF_ENABLE_ONEDNN_OPTS', 'KERAS_HOME')]\n"
        "def pytest_report_header():\n"
        "    return f'seen {SEEN}'\n"
    )
    (inner / "test_nothing.py").write_text("def test_nothing(): pass")
    environment = {n: v for n, v in os.environ.items() if not n.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "inner"],
        cwd=tmp_path,
        env=environment | {"KERAS_HOME": "of the user"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "seen ['0', None]" in done.stdout


def test_only_changed_variables_are_written(monkeypatch):
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("CHANGED", "1")
    written = []
    monkeypatch.setattr(os, "putenv", lambda name, value: written.append(name))
    monkeypatch.setattr(os, "unsetenv", written.append)
    with alike.environment_kept():
        os.environ["CHANGED"] = "2"
        os.environ["NEW"] = "1"
        del written[:]
    assert sorted(written) == [b"CHANGED", b"NEW"]
    assert os.environ["KEPT"] == os.environ["CHANGED"] == "1"
    assert "NEW" not in os.environ


@pytest.mark.parametrize(
    ("gigabytes", "cores", "expected"),
    [(64, 4, 4), (21, 2, 2), (8, 16, 2), (2, 2, 1), (70, 32, 23)],
)
def test_workers_fit_the_memory_that_caches_give_way_to(
    gigabytes, cores, expected, tmp_path, monkeypatch
):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(
        f"MemTotal: 99000000 kB\nMemFree: 1000 kB\nMemAvailable: {gigabytes << 20} kB\n"
    )
    monkeypatch.setattr(worker_count, "MEMINFO", meminfo)
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    assert worker_count.workers() == expected


def test_other_systems_tell_all_their_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_count, "MEMINFO", tmp_path / "missing")
    pages = os.sysconf("SC_PHYS_PAGES")
    assert worker_count.available_bytes() == pages * os.sysconf("SC_PAGE_SIZE")
