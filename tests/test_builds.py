"""Which build of TensorFlow a folder holds, by what pip recorded."""

import pytest

from efficientnet_tf.hardware import builds
from efficientnet_tf.planning import plan


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Writes a distribution as pip does: its record, and the library they share."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name, size):
        folder = tmp_path / f"{name.replace('-', '_')}-2.20.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {name}\nVersion: 2.20.0\n")
        library = "tensorflow/libtensorflow_framework.so.2"
        (folder / "RECORD").write_text(f"a.py,,7\n{library},sha256=x,{size}\nb.py,,8\n")
        path = tmp_path / library
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * size)

    return install


def test_the_build_that_came_last_is_the_one_that_is_there(install):
    install("tensorflow", 30)
    install("tensorflow-tpu", 20)
    assert builds.has_tpu_build()


def test_a_plain_build_over_that_of_a_tpu_is_plain(install):
    install("tensorflow-tpu", 20)
    install("tensorflow", 30)
    assert not builds.has_tpu_build()


def test_a_library_that_is_gone_is_of_no_build(install, tmp_path):
    install("tensorflow-tpu", 20)
    (tmp_path / "tensorflow/libtensorflow_framework.so.2").unlink()
    assert not builds.has_tpu_build()


@pytest.mark.parametrize("chip", ["v5e", "cpu"])
def test_planning_with_the_tpu_build_names_the_way_out(monkeypatch, chip):
    monkeypatch.setattr(builds, "has_tpu_build", lambda: True)
    with pytest.raises(ValueError, match=r"cannot lower.*environment of its own.*plan"):
        plan.plan(None, chip=chip)
