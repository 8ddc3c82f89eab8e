"""What a cache needs, and its refusal where the memory is too small."""

import os

import damage_support
import pytest

from efficientnet_tf.data import cache_size, image_files
from efficientnet_tf.data.batches import Shard

WHOLE = [Shard()]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / str(number) for number in range(6)]
    for number, path in enumerate(paths):
        path.write_bytes(damage_support.picture(0, number))
    labels = ((0,),) * 6
    return image_files.ImageFiles("train", tuple(map(str, paths)), 6, ("a",), labels)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    examples = [
        damage_support.example(encoded=damage_support.picture(0, number), label=1)
        for number in range(6)
    ]
    damage_support.write(folder / "0", [b"no record", *examples[:4]])
    damage_support.write(folder / "1", examples[4:])
    return damage_support.split_of([folder / "0", folder / "1"], 6)


def _sizes(split) -> list[int]:
    return [os.path.getsize(file) for file in split.files]


def test_needed_bytes_are_those_of_the_files_and_of_rgb(files, records):
    # Pictures are 10 pixels high and 9, 10 or 11 wide.
    assert cache_size.file_bytes(files, WHOLE) == sum(_sizes(files))
    assert cache_size.pixel_bytes(files, WHOLE) == 6 * 10 * 10 * 3
    assert cache_size.file_bytes(records, WHOLE) == sum(_sizes(records))
    # Of the first file 3 of 4 records can be read, of widths 9 to 11; of the second 2.
    widths = (9, 10, 11, 10, 11)
    assert cache_size.pixel_bytes(records, WHOLE) == 6 * 10 * 3 * sum(widths) / 5


def test_a_host_counts_its_own_files(files):
    halves = [cache_size.file_bytes(files, [Shard(n, 2)]) for n in range(2)]
    assert halves == [sum(_sizes(files)[n::2]) for n in range(2)]
    assert cache_size.file_bytes(files, [Shard(0, 2), Shard(1, 2)]) == sum(halves)
    # Numbers 1, 3 and 5 are 10, 9 and 11 pixels wide.
    assert cache_size.pixel_bytes(files, [Shard(1, 2)]) == 3 * 10 * 10 * 3


def test_files_that_are_missing_or_no_images_count_nothing(tmp_path):
    (tmp_path / "text").write_text("no image")
    paths = (str(tmp_path / "text"), str(tmp_path / "none"))
    split = image_files.ImageFiles("train", paths, 2, ("a",), ((0,), (0,)))
    assert cache_size.file_bytes(split, WHOLE) == len("no image")
    assert cache_size.pixel_bytes(split, WHOLE) == 0


@pytest.mark.parametrize(
    ("mode", "free", "words"),
    [
        ("encoded", 0.99, ["cache=encoded", "--cache=none"]),
        ("decoded", 1.01, ["cache=decoded", "--cache=encoded", "--cache=none"]),
        ("decoded", 0.99, ["cache=decoded", "--cache=none"]),
    ],
)
def test_a_cache_that_does_not_fit_is_refused(files, monkeypatch, mode, free, words):
    # A fifth of the free memory has to remain.
    enough = sum(_sizes(files)) / 0.8
    monkeypatch.setattr(cache_size, "free_bytes", lambda: free * enough)
    with pytest.raises(ValueError) as refused:
        cache_size.opened(mode, [files], WHOLE)
    for word in words:
        assert word in str(refused.value)
    assert ("--cache=encoded" in str(refused.value)) == ("--cache=encoded" in words)


def test_a_cache_that_fits_says_what_it_takes(files, monkeypatch):
    monkeypatch.setattr(cache_size, "free_bytes", lambda: 2_000_000_000)
    cache, line = cache_size.opened("decoded", [files, files], WHOLE)
    assert cache.pixels is not None
    needed = 2 * (sum(_sizes(files)) + 1800)
    assert f"decoded: about {needed / 1e6:.1f} MB" in line
    assert "2.0 GB are free" in line
    cache, line = cache_size.opened("encoded", [files], WHOLE)
    assert cache.pixels is None


def test_free_memory_is_some_of_the_machine(monkeypatch, tmp_path):
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < cache_size.free_bytes() < whole
    # A container's limit.
    for name, value in (("max", "5000\n"), ("current", "2000\n")):
        (tmp_path / f"memory.{name}").write_text(value)
    monkeypatch.setattr(cache_size, "_CGROUP", f"{tmp_path}/memory.")
    assert cache_size.free_bytes() == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert cache_size.free_bytes() > 3000
