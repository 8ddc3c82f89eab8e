"""Lines and rows of predictions."""

import csv
import io

import pytest

from efficientnet_tf import files
from efficientnet_tf.inference import prediction_rows

NAMES = ("daisy", "golden retriever", "roses")


def result(path="a.jpg", shares=(0.9012, 0.0599, 0.0389)):
    ranked = enumerate(zip(NAMES, shares, strict=True))
    return {
        "file": path,
        "predictions": [
            {"class": number, "name": name, "probability": share}
            for number, (name, share) in ranked
        ],
    }


def test_a_line_has_file_name_and_share_and_then_the_others():
    table = prediction_rows.Table(["a.jpg", "long/b.jpg"], NAMES)
    assert table.line(result()) == (
        "a.jpg       daisy              90.1%   golden retriever 6.0%, roses 3.9%"
    )
    # Columns are as wide as the longest file and the longest name.
    line = table.line(result("long/b.jpg", (1.0, 0.0, 0.0)))
    assert line.startswith("long/b.jpg  daisy             100.0%   golden")


def test_others_without_room_are_left_out():
    for length, told in ((30, "golden retriever 6.0%, roses 3.9%"), (50, "")):
        path = "p" * (length - 4) + ".jpg"
        line = prediction_rows.Table([path], NAMES).line(result(path))
        assert line.startswith(path) and len(line) <= 100
        assert line.endswith(told)
    long = "p" * 90
    line = prediction_rows.Table([long, "a.jpg"], NAMES).line(result(long))
    assert line.split() == [long, "daisy", "90.1%"]


def test_a_file_whose_name_is_no_line_is_one():
    line = prediction_rows.Table(["a\nb\udcff.jpg"], NAMES).line(result("a\nb\udcff"))
    assert line.startswith("a b?  ") and line.encode()


def test_rows_hold_every_class_and_the_errors(tmp_path):
    broken = {"file": "b\udcff.jpg", "error": 'image file b.jpg: no, "none"'}
    rows = prediction_rows.csv_rows([broken, result()], top_k=2)
    files.write_csv(str(tmp_path / "p.csv"), rows)
    content = (tmp_path / "p.csv").read_bytes()
    assert b"\nb\xff.jpg," in content
    text = content.decode(errors="surrogateescape")
    first, second = csv.DictReader(io.StringIO(text))
    assert list(second) == [
        *("file", "class", "name", "probability"),
        *("class_2", "name_2", "probability_2", "error"),
    ]
    assert second == {
        "file": "a.jpg",
        "class": "0",
        "name": "daisy",
        "probability": "0.9012",
        "class_2": "1",
        "name_2": "golden retriever",
        "probability_2": "0.0599",
        "error": "",
    }
    assert (first["file"], first["error"]) == (broken["file"], broken["error"])
    assert {first[name] for name in second if name not in ("file", "error")} == {""}


@pytest.mark.parametrize("top_k", [1, 3])
def test_there_are_as_many_columns_as_ranked_classes(top_k):
    (row,) = prediction_rows.csv_rows([result()], top_k=top_k)
    assert len(row) == 2 + 3 * top_k
    assert row["probability"] == 0.9012


def test_of_several_classes_all_that_are_likely_are_told():
    table = prediction_rows.Table(["a.jpg"], NAMES, multi_label=True)
    for shares, told in (
        ((0.9, 0.5, 0.4), "daisy              90.0%   golden retriever 50.0%"),
        ((0.3, 0.2, 0.1), "daisy              30.0%"),
    ):
        assert table.line(result(shares=shares)) == f"a.jpg  {told}"
    path = "p" * 95
    line = prediction_rows.Table([path], NAMES, multi_label=True).line(
        result(path, (0.9, 0.8, 0.7))
    )
    assert line.endswith("golden retriever 80.0%, roses 70.0%")


def test_rows_may_rank_different_numbers_of_classes():
    short = {"file": "b.jpg", "predictions": result()["predictions"][:1]}
    first, second = prediction_rows.csv_rows([short, result()], top_k=3)
    assert first.keys() == second.keys()
    assert (first["name"], first["name_2"], first["probability_3"]) == ("daisy", "", "")
    assert second["name_3"] == "roses"
