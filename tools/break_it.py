"""Tries to break what a user meets: damaged files, full disks, signals, wrong flags.

python tools/break_it.py --page=docs/reliability.md           # all kinds, about an hour
python tools/break_it.py --kinds=weights,flags --tries=20 --seed=3

A try has to end in the right result, or in one line that names the file or the flag.
Every other end is a fault: it is printed, and the same flags do it again. The kinds:

weights   each format of weights files x random damages, which are loaded
flags     command lines with one wrong flag
runs      each file of a run x 5 damages; the run is served, and trained on
signals   trainings that are stopped at random moments, and continued
disk      trainings on small disks, which then grow; needs the right to mount
"""

import importlib
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator

import tool
import tries
from absl import flags as absl_flags

from efficientnet_tf import files

FLAGS = absl_flags.FLAGS
# Of each kind: the module, the function, and how many tries a row of the table has.
KINDS = {
    "weights": ("broken_weights", "tries_of_all", 200),
    "flags": ("broken_commands", "flags", 150),
    "runs": ("broken_runs", "tries_of_all", None),  # as many as files and damages
    "signals": ("broken_commands", "signals", 20),
    "disk": ("broken_commands", "full_disks", 20),
}
_MARK = "<!-- break_it -->"  # before and behind the table of the page
_OUTCOMES = dict(
    zip(
        tries.EXPECTED,
        ("right result", "one clear line", "said to be unchecked"),
        strict=True,
    )
)
_COLUMNS = ("tries", *_OUTCOMES.values(), "anything else")

absl_flags.DEFINE_list("kinds", list(KINDS), "What to try.")
absl_flags.DEFINE_integer(
    "tries", None, "Tries of each format or kind; None: all.", lower_bound=1
)
absl_flags.DEFINE_integer("seed", 0, "Decides all that is random.")
absl_flags.DEFINE_string("page", None, "Markdown file that gets the table.")
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def main(arguments: list[str]) -> dict:
    """Makes all tries, prints the table and returns its numbers."""
    unknown = [*arguments, *(kind for kind in FLAGS.kinds if kind not in KINDS)]
    if unknown or not FLAGS.kinds:
        given = ",".join(unknown)
        raise ValueError(f"--kinds={given}: allowed are {', '.join(KINDS)}")
    around = _around_table(FLAGS.page) if FLAGS.page else None
    began = time.time()
    lines, result = [], {"rows": {}, "skipped": {}}
    for place, kind in enumerate(FLAGS.kinds):
        _try(kind, **result)
        result["minutes"] = (time.time() - began) / 60
        lines = [*_table(result["rows"]), *_notes(FLAGS.kinds[: place + 1], result)]
        if around:  # after each kind, so that an end in between loses little
            files.write_whole(FLAGS.page, "\n".join([around[0], *lines, around[1]]))
    print("\n".join(lines))
    failed = sum(row["anything else"] for row in result["rows"].values())
    return result | {"failed": failed}


def _try(kind: str, rows: dict, skipped: dict, **_: float) -> None:
    """Makes all tries of a kind, and counts how they end."""
    try:
        for one in _made(kind):
            _count(rows, one)
    except unittest.SkipTest as reason:
        skipped[kind] = str(reason)


def _made(kind: str) -> Iterator[tries.Try]:
    """Makes the tries of a kind, in a folder of their own."""
    module, function, count = KINDS[kind]
    make = getattr(importlib.import_module(module), function)
    with tempfile.TemporaryDirectory() as folder:
        yield from make(folder, seed=FLAGS.seed, count=FLAGS.tries or count)


def _count(rows: dict[str, dict[str, int]], one: tries.Try) -> None:
    """Adds a try to its row of the table; prints a fault."""
    row = rows.setdefault(one.row, dict.fromkeys(_COLUMNS, 0))
    row["tries"] += 1
    row[_OUTCOMES.get(one.outcome, "anything else")] += 1
    if one.outcome not in _OUTCOMES:
        print(
            f"fault         {one.row}, seed {FLAGS.seed}, {one.words}: {one.outcome}",
            file=sys.stderr,
            flush=True,
        )


def _table(rows: dict[str, dict[str, int]]) -> list[str]:
    """Formats the rows and their sum as Markdown."""
    total = {name: sum(row[name] for row in rows.values()) for name in _COLUMNS}
    lines = [f"| kind | {' | '.join(_COLUMNS)} |", f"|---{'|---:' * len(_COLUMNS)}|"]
    for name, row in (rows | {"all": total}).items():
        cells = (f"{row[column]:,}" for column in _COLUMNS)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _notes(kinds: list[str], result: dict) -> list[str]:
    """Says what the table leaves out, and how it was made."""
    skipped = result["skipped"].items()
    notes = [f"The kind `{kind}` was skipped: {why}.\n" for kind, why in skipped]
    given = [f"--kinds={','.join(kinds)}"] if kinds != list(KINDS) else []
    given += [f"--tries={FLAGS.tries}"] if FLAGS.tries else []
    command = " ".join(["python tools/break_it.py", *given, f"--seed={FLAGS.seed}"])
    cores = f"{len(os.sched_getaffinity(0))} core(s) of {_processor()}"
    where = f"commit {_commit()}, {result['minutes']:.0f} minutes, {cores}"
    return ["", *notes, f"`{command}`: {where}."]


def _processor() -> str:
    """Names the processor as Linux does."""
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    """Returns the short name of the commit, with a mark if files were changed."""
    root = pathlib.Path(__file__).parents[1]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _around_table(path: str) -> tuple[str, str]:
    """Returns the text of a page before and after its table.

    Raises:
        ValueError: if the page has no place for it.
    """
    parts = (files.read_text(path) or "").split(_MARK)
    if len(parts) != 3:
        raise ValueError(f"--page={path}: has no two lines {_MARK}")
    files.check_file(path, label="--page=")
    return f"{parts[0]}{_MARK}\n", f"\n{_MARK}{parts[2]}"


if __name__ == "__main__":
    tool.run(main)
