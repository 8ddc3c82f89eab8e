"""Which record files belong together, by their names alone."""

import pytest

from efficientnet_tf.data import inventory, shards


def names(total, *, ending="", numbers=None, split="train") -> list[str]:
    numbers = range(total) if numbers is None else numbers
    return [f"/d/{split}-{i:05d}-of-{total:05d}{ending}" for i in numbers]


def select(paths, split="train"):
    tally = inventory.Tally()
    taken = shards.select(paths, split, tally)
    return list(taken), [(one.count, one.example) for one in tally.left_out()]


def refusal(paths) -> str:
    with pytest.raises(ValueError) as error:
        select(paths)
    return str(error.value)


@pytest.mark.parametrize("ending", ["", ".tfrecord", ".gz", ".TFRecords.gz", ".data"])
@pytest.mark.parametrize("total", [1, 4, 12])
def test_a_whole_set_is_taken_in_order(ending, total):
    whole = names(total, ending=ending)
    assert select(reversed(whole)) == (whole, [])


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ([0, 2], "00001, 00003 of 4 shards are missing"),
        ([1, 2, 3], "00000 of 4 shards is missing"),
        ([3], "00000, 00001, 00002 of 4 shards are missing"),
    ],
)
def test_missing_shards_are_named(there, missing):
    message = refusal(names(4, numbers=there))
    assert message.startswith(f"/d: {missing} beside train-0000{there[0]}-of-00004")


def test_of_many_missing_shards_the_first_are_named():
    message = refusal(names(1024, numbers=[7]))
    assert "00000, 00001, 00002, 00003, 00004 and 1018 more of 1024" in message


@pytest.mark.parametrize(
    "stranger",
    [
        *(".idx", ".tmp", ".crc", ".tmp-1a2b", ".sha256", ".json", "~", ".partial"),
        *(".IDX", ".anything", ".tfrecord.idx"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".tfrecord"])
def test_strangers_beside_shards_are_left_out_and_counted(stranger, ending):
    whole = names(2, ending=ending)
    left = [path + stranger for path in whole]
    assert select([*whole, *left, "/d/train-notes"]) == (
        *(whole, [(3, min(*left, "/d/train-notes"))]),
    )


def test_strangers_alone_are_no_shards():
    assert select(names(2, ending=".idx"))[0] == []


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        ([*names(2), *names(4)], ["train-00000-of-00002", "one of 2", "-of-00004"]),
        ([*names(2), *names(2, ending=".gz")], ["are the same shard", "of-00002.gz"]),
        (names(2, numbers=[0, 1, 2]), ["00002-of-00002", "beyond the last, 1"]),
    ],
)
def test_two_sets_in_one_folder_are_refused(paths, told):
    message = refusal(paths)
    assert all(words in message for words in told)


def test_names_without_numbers_are_taken_as_they_are():
    paths = ["/d/train-a.tfrecord", "/d/train-b.tfrecord", "/d/train-b.tfrecord.idx"]
    assert select(paths) == (paths[:2], [(1, paths[2])])
