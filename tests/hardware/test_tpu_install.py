"""The README's TPU recipe, word for word in a clean folder, and what it makes."""

import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
IGNORED = shutil.ignore_patterns(
    *(".git", ".venv", "*.egg-info", "__pycache__", ".*_cache", "build", "runs")
)


def recipe(marker: str) -> str:
    """The command below a marker in the README."""
    text = (ROOT / "README.md").read_text()
    (command,) = re.findall(rf"<!-- {marker} -->\n```bash\n(.*?)```", text, re.DOTALL)
    return command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the repository in which the recipe was followed."""
    folder = tmp_path_factory.mktemp("tpu") / "copy"
    shutil.copytree(ROOT, folder, ignore=IGNORED)
    run(["bash", "-euo", "pipefail", "-c", recipe("tpu")], folder)
    yield folder
    shutil.rmtree(folder / ".venv")  # 4 GB


# Off Google's machines; another process may hold what stands for the TPU.
ENVIRONMENT = {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}


def run(command, folder, **variables):
    """Runs a command and gives its standard output."""
    inherited = os.environ | {
        "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    }
    # The planner's libtpu enters itself here, for all processes that begin later.
    inherited.pop("TPU_LIBRARY_PATH", None)
    result = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=inherited | ENVIRONMENT | variables,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout


def python(folder, *arguments, **variables):
    return run([folder / ".venv/bin/python", *arguments], folder, **variables)


def test_tensorflow_sees_a_tpu_system(folder):
    script = "import tensorflow as tf; print(tf.config.list_physical_devices())"
    assert "device_type='TPU_SYSTEM'" in python(folder, "-c", script)


def test_the_versions_are_those_that_the_recipe_names(folder):
    pins = dict(re.findall(r"([\w-]+)==([\d.]+)", recipe("tpu")))
    assert set(pins) == {"tensorflow-tpu", "libtpu"}
    (packages,) = folder.glob(".venv/lib/*/site-packages")
    for name, version in pins.items():
        (found,) = importlib.metadata.distributions(name=name, path=[str(packages)])
        assert found.version == version
    run([folder / ".venv/bin/pip", "check"], folder)


def test_the_cpu_trains_as_before(folder, tmp_path):
    printed = python(
        folder,
        *("main.py", "--device=cpu", "--dataset=fake", "--num_train_images=64"),
        *("--model=efficientnet-test", "--image_size=32", "--train_batch_size=16"),
        *("--eval_batch_size=256", f"--model_dir={tmp_path}", "--json"),
    )
    scores = json.loads(printed.splitlines()[-1])
    assert scores["finished"]
    assert (scores["step"], scores["examples"]) == (4, 1024)


@pytest.mark.parametrize("model", ["efficientnet-b0", "efficientnetv2-b0"])
def test_the_tpu_build_has_kernels_for_every_step(folder, digits_dir, tmp_path, model):
    out = tmp_path / "found.json"
    python(
        folder,
        *("tests/tpu_graph_run.py", digits_dir, out, f'model="{model}"'),
        *("image_size=224", "train_batch_size=256"),
        PYTHONPATH=str(folder),
    )
    found = json.loads(out.read_text())
    assert "TPU_SYSTEM" in found["devices"]
    for step in ("train", "eval"):
        assert found[step]["problems"] == []
        assert found[step]["bridge"]["tf_device.replicate"] == 1
        assert found[step]["bridge"]["tf_device.cluster_func"] == 1
        assert "tf_device.launch" not in found[step]["bridge"]
    assert found["train"]["bridge"]["tf.Conv2DBackpropFilter"] > 50
