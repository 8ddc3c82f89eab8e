"""tools/break_it.py: how it counts and what it writes; a small share of its tries."""

import pathlib
import re
import unittest
from unittest import mock

import pytest
import tries
from command_line import ROOT, tool

PAGE = "Before.\n\n<!-- break_it -->\nold\n<!-- break_it -->\n\nAfter.\n"


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def made(*outcomes):
    """A kind whose tries end so."""

    def function(folder, *, seed, count):
        assert not list(pathlib.Path(folder).iterdir())
        for number, outcome in enumerate(outcomes):
            yield tries.Try("row", f"try {number} of {count}", outcome)

    return mock.patch("broken_commands.flags", function)


def test_tries_are_counted_and_the_table_is_replaced(page):
    outcomes = [tries.RIGHT, tries.LINE, tries.LINE, tries.UNCHECKED]
    with made(*outcomes):
        done = tool("break_it", "--kinds=flags", f"--page={page}", "--json").checked()
    before, table, after = page.read_text().split("<!-- break_it -->\n")
    assert (before, after) == ("Before.\n\n", "\nAfter.\n")
    assert "| row | 4 | 1 | 2 | 1 | 0 |\n| all | 4 | 1 | 2 | 1 | 0 |\n" in table
    assert "`python tools/break_it.py --kinds=flags --seed=0`: commit " in table
    assert "old" not in table
    assert done.json["failed"] == 0


def test_a_fault_is_printed_with_its_seed_and_fails():
    with made(tries.RIGHT, "other weights"):
        done = tool("break_it", "--kinds=flags", "--seed=5", "--json")
    assert done.returncode == 1
    fault = "fault         row, seed 5, try 1 of 150: other weights"
    assert fault in done.stderr.splitlines()
    assert done.json["rows"]["row"]["anything else"] == 1


def test_a_kind_without_the_right_to_it_is_skipped_with_the_reason():
    skip = mock.Mock(side_effect=unittest.SkipTest("no right to mount"))
    with mock.patch("broken_commands.full_disks", skip):
        done = tool("break_it", "--kinds=disk").checked()
    assert "The kind `disk` was skipped: no right to mount." in done.stdout


@pytest.mark.parametrize(
    "argument", ["--kinds=disks", "--kinds=", "--page=none.md", "--tries=0"]
)
def test_a_wrong_flag_is_named(argument):
    done = tool("break_it", argument)
    assert done.returncode == 1
    assert argument.split("=")[0].strip("-") in done.stderr


@pytest.mark.parametrize(
    ("code", "output", "outcome"),
    [
        (1, "said\nerror: /disk/run: is full\n", tries.LINE),
        (1, "error: the disk is full", "an unclear line"),
        (0, "error: /disk/run: is full", "exit code 0"),
        (-11, "", "exit code -11"),
        (1, "Traceback (most recent call last):\nerror: /disk/x", "a traceback"),
    ],
)
def test_an_end_is_judged_by_code_and_last_line(code, output, outcome):
    assert tries.of_output(code, output, names="/disk").startswith(outcome)


def test_the_worst_of_two_outcomes_counts():
    assert tries.worst([tries.RIGHT, tries.LINE]) == tries.LINE
    assert tries.worst(["a traceback", tries.LINE]) == "a traceback"


@pytest.mark.slow
def test_a_small_share_of_all_kinds_ends_without_a_fault(page):
    done = tool("break_it", "--tries=6", "--seed=3", f"--page={page}", "--json")
    assert done.checked().json["failed"] == 0
    assert "| signal: SIGKILL | 2 |" in page.read_text()


def test_the_page_has_a_table_of_all_kinds_and_no_fault_in_it():
    parts = (ROOT / "docs/reliability.md").read_text().split("<!-- break_it -->\n")
    assert len(parts) == 3
    rows = re.findall(r"^\| ([^|]+) \| ([\d,]+) \|.* (\d+) \|$", parts[1], re.MULTILINE)
    tries = {name: int(count.replace(",", "")) for name, count, _ in rows}
    assert {faults for *_, faults in rows} == {"0"}
    assert tries.pop("all") == sum(tries.values()) >= 1500
    assert {"wrong flag", "disk full", "run: garbage", "signal: SIGKILL"} < tries.keys()
    assert "was skipped" not in parts[1]
