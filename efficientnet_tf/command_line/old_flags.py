"""The flags of other projects' commands, and what each is here.

`old_flags.tsv` has a row for each: the project; the flag, or FLAG=VALUE for a value of
a flag that both have; what it takes (bool, int, float, text, or list for several
values); our flag, empty if there is none; how the value is converted; and words that
explain the row. How is a function of `conversions`, "fixed" if our flag is written out,
"absent" if nothing here does what the flag does, and empty if the value stays.
"""

import csv
import dataclasses
import difflib
import functools
import pathlib
from collections.abc import Iterable, Mapping

from efficientnet_tf.command_line import conversions

_ALIKE = 0.9  # use_float and use_bfloat16 have 0.86
_FILE = pathlib.Path(__file__).with_name("old_flags.tsv")


@dataclasses.dataclass(frozen=True)
class OldFlag:
    """One row of the table; see this module."""

    project: str
    flag: str
    takes: str
    now: str
    how: str
    words: str

    @property
    def is_gone(self) -> bool:
        """Whether nothing takes the flag's place."""
        return not self.now

    @property
    def is_kept(self) -> bool:
        """Whether the flag has the same name and meaning here."""
        return self.now == f"--{self.flag}" and not self.how

    def arguments(self, value: str, given: Mapping[str, str]) -> list[str]:
        """Returns what to write in place of the flag.

        Args:
            value: the flag's value.
            given: values of all flags on the command line, by name.

        Raises:
            ValueError: if the value has no counterpart; the text says what is allowed.
        """
        if self.is_gone:
            return []
        if self.how == "fixed":
            is_off = self.takes == "bool" and value.lower() in ("false", "f", "0")
            return [] if is_off else self.now.split()
        if self.how:
            return getattr(conversions, self.how)(value, given)
        if not value:
            raise ValueError("the value is empty")
        return [f"{self.now}={value}"]


@functools.cache
def table() -> dict[str, OldFlag]:
    """Reads the table: rows by flag, in order."""
    with _FILE.open(newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        return {row[1]: OldFlag(*row) for row in rows}


def markdown(project: str) -> str:
    """Returns one project's rows as a table for docs/coming_from_tf1.md.

    Args:
        project: a project's name in the table.
    """
    lines = ["| flag | here | |", "|---|---|---|"]
    for row in table().values():
        if row.project == project:
            gone = "not supported" if row.how == "absent" else "not needed"
            now = "the same" if row.is_kept else f"`{row.now}`" if row.now else gone
            lines.append(f"| `--{row.flag}` | {now} | {row.words} |")
    return "\n".join(lines)


def find(name: str, known: Iterable[str]) -> OldFlag | None:
    """Finds a flag, misspelt or not, unless it is more like one of ours.

    Args:
        name: the flag's name.
        known: names of our flags.
    """
    if name in table():
        return table()[name]
    old = [flag for flag, row in table().items() if not row.is_kept]
    near = difflib.get_close_matches(name[:100], [*old, *known], n=1, cutoff=_ALIKE)
    return table().get(near[0]) if near and near[0] in old else None
