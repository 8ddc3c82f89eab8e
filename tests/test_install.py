"""What pip would install on other Pythons and with other extras."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def resolve(python: str, requirement: str, report: pathlib.Path) -> dict[str, str]:
    """The version of each distribution that pip would install."""
    command = [python, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    subprocess.run(
        [*command, "--quiet", "--report", str(report), requirement],
        check=True,
        cwd=ROOT,
    )
    found = json.loads(report.read_text())["install"]
    return {one["metadata"]["name"]: one["metadata"]["version"] for one in found}


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_the_dependencies_resolve_for_newer_pythons(tmp_path, version):
    base = f"python{version}"
    # A version manager's shim may exist although its Python does not.
    if not (shutil.which(base) and subprocess.run([base, "-c", ""]).returncode == 0):
        pytest.skip(f"no {base} on this machine's PATH")
    subprocess.run([base, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv/bin/python")
    found = resolve(python, ".", tmp_path / "report.json")
    assert found["tensorflow"].startswith("2.20.")
    assert found["tf-models-official"].startswith("2.20.")
    assert tuple(map(int, found["keras"].split(".")[:2])) >= (3, 15)


@pytest.mark.slow
def test_the_extra_gpu_brings_cudas_libraries(tmp_path):
    found = resolve(sys.executable, ".[gpu]", tmp_path / "report.json")
    assert found["tensorflow"].startswith("2.20.")
    for library in ("cublas", "cuda-runtime", "cudnn", "cufft", "cusolver", "cusparse"):
        assert f"nvidia-{library}-cu12" in found
