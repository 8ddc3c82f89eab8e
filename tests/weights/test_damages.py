"""Seeded damage to every format: the right values, or one line that names the file."""

import collections
import pathlib

import broken_weights
import damaged_files
import pytest
import tries

CASES = broken_weights.FORMATS
HDF5 = ("own", "keras-h5", "keras-weights-h5", "keras", "foreign h5")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The weights of one model in every format, and the model."""
    folder = str(tmp_path_factory.mktemp("damages"))
    return folder, broken_weights.write(folder, seed=0)


def content_of(files, case):
    name, part, _ = CASES[case]
    return pathlib.Path(f"{files[0]}/{name}{part}").read_bytes()


@pytest.mark.parametrize("case", CASES)
def test_damage_ends_in_the_right_values_or_in_one_line(files, case):
    count = 12 if case in HDF5 else 60
    counted = collections.Counter()
    for one in broken_weights.tries_of(*files, case, seed=0, count=count):
        assert one.outcome in tries.EXPECTED, one
        counted[one.outcome] += 1
    assert counted[tries.LINE] > count // 4
    is_checked = CASES[case][2]
    assert not (is_checked and counted[tries.UNCHECKED])
    assert (case == "old pth") <= bool(counted[tries.UNCHECKED])


@pytest.mark.parametrize("case", CASES)
def test_damage_is_a_function_of_the_seed(files, case):
    content = content_of(files, case)

    def made(seed):
        return list(damaged_files.damages(content, seed=seed, count=12))

    assert made(3) == made(3) != made(4)
    kinds = collections.Counter(damage.kind for damage in made(3))
    is_data = case == "tf1 data"
    assert kinds == (
        {"cut": 2, "flipped": 4, "shifted": 6}
        if is_data
        else {"cut": 2, "flipped": 4, "shifted": 2, "lie": 4}
    )
    # A lie may be the number that stands there.
    changes = [damage for damage in made(3) if damage.kind != "lie"]
    assert all(damage.content != content for damage in changes)


def test_lies_about_a_checkpoint_have_a_right_checksum(files):
    """A reader has to get as far as what they say."""
    content = content_of(files, "tf1 index")
    assert damaged_files._crc32c(b"123456789") == 0xE3069283  # RFC 3720, B.4, and iSCSI
    for begin, end in damaged_files._blocks(content):
        crc = damaged_files._crc32c(content[begin : end + 1])
        masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
        assert content[end + 1 : end + 5] == masked.to_bytes(4, "little")
