"""The list of the records that a run leaves out."""

import csv

import pytest

from efficientnet_tf.data import bad_records, faults, places, sources, tfrecord
from efficientnet_tf.training import input_faults


class _Noted(bad_records.BadRecords):
    """Bad records that need no data."""

    def __init__(self, *numbers: int):
        super().__init__(limit=None)
        self.numbers = list(numbers)

    def rows(self) -> list[dict]:
        return [
            faults.Fault(places.Place("some,file", n), "is broken").row("train")
            for n in self.numbers
        ]


def _source(bad) -> sources.Files:
    validation = tfrecord.Split("validation", (), 0)
    return sources.Files(tfrecord.Splits(None, None, validation), bad)


def _listed(path) -> list[tuple[str, str, str]]:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["reason"] for row in rows} == {"is broken"}
    return [(row["split"], row["file"], row["record"]) for row in rows]


def test_a_list_grows_from_command_to_command(tmp_path, capsys):
    path = tmp_path / "bad_records.csv"
    bad = _Noted(3)
    with input_faults.listed(_source(bad), str(tmp_path), 0) as write:
        assert not path.exists()
        write()
        assert _listed(path) == [("train", "some,file", "3")]
        bad.numbers.append(5)
    assert "2, listed in" in capsys.readouterr().err
    with input_faults.listed(_source(_Noted(5, 8)), str(tmp_path), 0):
        pass
    assert [number for *_, number in _listed(path)] == ["3", "5", "8"]


def test_each_host_has_a_list_of_its_own_even_if_the_run_fails(tmp_path):
    listed = input_faults.listed(_source(_Noted(4)), str(tmp_path), 1)
    with pytest.raises(KeyboardInterrupt), listed:
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["bad_records-host1.csv"]


def test_a_folder_that_another_run_has_taken_gets_no_list(tmp_path):
    def check_held():
        raise ValueError("taken over")

    def listed():
        return input_faults.listed(_source(_Noted(4)), str(tmp_path), 0, check_held)

    with pytest.raises(KeyboardInterrupt), listed():
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="taken over"), listed():
        pass
    assert not list(tmp_path.iterdir())


def test_without_bad_records_there_is_no_list(tmp_path, capsys):
    for bad in (None, _Noted()):
        with input_faults.listed(_source(bad), str(tmp_path), 0) as write:
            write()
    assert not list(tmp_path.iterdir()) and capsys.readouterr().err == ""
