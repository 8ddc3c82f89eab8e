"""--mode=plan and the table of plans."""

import json

import command_line
import pytest
from builds import needs_xla
from planning_support import ROOT, needs_libtpu

pytestmark = needs_xla  # to lower anything; there main.py refuses to plan


@pytest.mark.parametrize(
    "flags, words",
    [
        ([], "name the --chip"),
        (["--chip=v9"], "chip=v9: allowed are v2"),
        (["--chip=v5e", "--slice=2"], "slice=2: allowed for v5e"),
        (["--chip=gpu", "--slice=2x2"], "slice=2x2: allowed for a TPU only"),
        (
            ["--chip=v5e", "--dump=setup.py"],
            "dump=setup.py: is not a writable folder (File exists)",
        ),
        (
            ["--chip=v5e", "--dump=setup.py/a"],
            "dump=setup.py/a: is not a writable folder (Not a",
        ),
        (["--chip=v5e", "--dump=a", "--find_batch"], "dump=a: works for one batch"),
        (["--chip=v5e", "--recompute=stem"], "no block begins with 'stem'"),
        (
            ["--chip=v5e", "--model=efficientnetv2-s", "--recompute=block2"],
            "recompute=block2: none of these blocks",
        ),
    ],
)
def test_wrong_flags_are_one_line(flags, words):
    assert words in command_line.refusal("--mode=plan", *flags)


@needs_libtpu
def test_the_command_line_plans(own_cache, in_this_process):
    found = command_line.succeed(
        *("--mode=plan", "--chip=v3", "--model=efficientnet-test"),
        *("--plan_step=serve", "--json"),
    ).json
    assert found["fits"] and found["batch"] == 128 and found["state_bytes"] == 0


def _table(path, *flags):
    return command_line.tool("plan_tpu", "--all", f"--table={path}", *flags)


def _cell(batch, rate):
    return {"batch": batch, "roofline_images_per_s": rate}


def test_a_whole_table_is_printed(tmp_path):
    row = {
        "v3": {"without_remat": _cell(8, 1500.4), "with_remat": _cell(16, 1200)},
        "v5e": {"without_remat": None, "with_remat": _cell(1, 20)},
        "v2": {"without_remat": None, "with_remat": None},
    }
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"flags": {}, "models": {"efficientnet-b0": row}}))
    columns = [f"--chips={chip}" for chip in row]
    done = _table(path, "--models=efficientnet-b0", *columns, "--json")
    *lines, last = done.stdout.splitlines()
    assert json.loads(last) == {"efficientnet-b0": row}
    assert lines == [
        "| model | v3 | v5e | v2 |",
        "|---|---:|---:|---:|",
        "| efficientnet-b0 | 8 (16), 1,500/s | 0 (1), 20/s | none fits |",
    ]


def test_the_readme_prints_the_published_table(tmp_path):
    kept = (ROOT / "docs" / "plans.json").read_text()
    path = tmp_path / "table.json"
    path.write_text(kept)
    names = [f"--models={name}" for name in json.loads(kept)["models"]]
    chips = [f"--chips={chip}" for chip in ("v3", "v4", "v5e", "v6e")]
    printed = _table(path, *names, *chips, "--fused=on").checked().stdout
    lines = printed.splitlines()[2:]
    assert len(lines) == 8 and all(line.count("/s |") == 4 for line in lines)
    assert f"<!-- plans -->\n{printed}" in (ROOT / "README.md").read_text()
    assert json.loads(path.read_text()) == json.loads(kept)


@pytest.mark.parametrize("content", ['{"efficientnet-b0": {', "{}", "[]"])
def test_a_damaged_table_is_named(tmp_path, content):
    path = tmp_path / "table.json"
    path.write_text(content)
    done = _table(path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert f"table={path}: cannot be read as a table" in done.stderr


def test_a_table_that_cannot_be_written_is_named_first():
    done = _table("setup.py/table.json")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "error: table: setup.py: is not a writable folder" in done.stderr


def test_a_table_of_other_settings_is_not_continued(tmp_path):
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"flags": {}, "models": {}}))
    done = _table(path, "--plan_step=eval")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "made with {}, not {'plan_step': 'eval'}; name another" in done.stderr
