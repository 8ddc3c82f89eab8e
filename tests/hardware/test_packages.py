"""Which build of TensorFlow is installed, told from the packages' own records."""

import importlib.metadata
import pathlib

import pytest

from efficientnet_tf.hardware import packages

RECORD = "tensorflow/__init__.py,sha256=a,12\n{library},sha256=b,{size}\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Writes what pip writes of distributions, and makes them the only ones."""
    # The planner's libtpu sets it in processes that import jax.
    monkeypatch.delenv("TPU_LIBRARY_PATH", raising=False)

    def install(name, version, record=""):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        (folder / "RECORD").write_text(record)

    def distribution(name):
        found = list(importlib.metadata.distributions(name=name, path=[str(tmp_path)]))
        if not found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found[0]

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: distribution(name).version
    )
    library = tmp_path / packages.LIBRARY
    library.parent.mkdir()
    library.write_bytes(b"x" * 50)  # the files that lie there: 50 bytes
    install("tensorflow", "2.20.0", RECORD.format(library=packages.LIBRARY, size=99))
    return install


def tpu_record(size):
    return RECORD.format(library=packages.LIBRARY, size=size)


def test_the_plain_build_has_no_tpu_support(install):
    assert not packages.is_tpu_build()
    packages.check_import()
    with pytest.raises(ValueError, match=r"tpu=local: .*tensorflow-tpu==2\.20\.0 lib"):
        packages.check_tpu_build("local")


def test_the_build_whose_files_lie_there_counts(install):
    install("tensorflow-tpu", "2.20.0", tpu_record(50))
    assert packages.is_tpu_build()
    packages.check_tpu_build("local")


def test_a_tpu_build_that_was_written_over_does_not_count(install):
    install("tensorflow-tpu", "2.20.0", tpu_record(51))
    assert not packages.is_tpu_build()
    install("libtpu", "0.0.42.1")
    packages.check_import()  # the plain build does not load libtpu


def test_plans_need_the_plain_build(install):
    packages.check_compiles_here()
    install("tensorflow-tpu", "2.20.0", tpu_record(50))
    with pytest.raises(ValueError, match="plan in an environment of its own"):
        packages.check_compiles_here()


@pytest.mark.parametrize("version", ["0.0.14", "0.0.21.1", "0.0.27", "0.0.31"])
def test_a_libtpu_that_imports_passes(install, version):
    install("tensorflow-tpu", "2.20.0", tpu_record(50))
    install("libtpu", version)
    packages.check_import()
    assert pathlib.Path(packages.libtpu_path()).parts[-2:] == ("libtpu", "libtpu.so")


@pytest.mark.parametrize(
    "version", ["0.0.13", "0.0.32", "0.0.35", "0.0.42.1", "0.0.52", "0.1.0"]
)
def test_a_libtpu_that_would_abort_is_refused_by_name(install, version):
    install("tensorflow-tpu", "2.20.0", tpu_record(50))
    install("libtpu", version)
    with pytest.raises(
        ValueError, match=f"libtpu {version} makes .* allowed are 0.0.14 to 0.0.31: pip"
    ):
        packages.check_import()


def test_a_libtpu_of_the_users_own_is_left_to_the_user(install, monkeypatch):
    install("tensorflow-tpu", "2.20.0", tpu_record(50))
    install("libtpu", "0.0.35")
    monkeypatch.setenv("TPU_LIBRARY_PATH", "/lib/libtpu.so")
    packages.check_import()
    assert packages.libtpu_path() == "/lib/libtpu.so"


def test_a_missing_libtpu_is_named(install):
    install("tensorflow-tpu", "2.20.0", tpu_record(50))
    with pytest.raises(ValueError, match="needs libtpu, which is missing; pip install"):
        packages.check_import()


def test_a_public_name_says_so_before_the_import_aborts(install, monkeypatch):
    import efficientnet_tf

    install("tensorflow-tpu", "2.20.0", tpu_record(50))
    install("libtpu", "0.0.35")
    monkeypatch.delitem(vars(efficientnet_tf), "RMSprop", raising=False)
    with pytest.raises(ValueError, match=r"libtpu 0\.0\.35 makes TensorFlow"):
        efficientnet_tf.RMSprop  # noqa: B018, looked up on first use
    assert efficientnet_tf.count("efficientnet-b0").params == 5_330_564
