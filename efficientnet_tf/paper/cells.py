"""A number of the paper beside ours; tables and the ledger are made of these."""

import csv
import dataclasses
import decimal
import io
import json
from collections.abc import Iterable, Sequence

from efficientnet_tf import files

EXACT = "exact"  # by arithmetic, on any machine
MEASURED = "measured"  # here; the note says on what
READY = "command"  # the note's command computes it, given data and hardware
PRINTED = "printed"  # another project's network; for comparison alone


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number: what the paper prints, and what we get."""

    item: str  # "Table 2"
    row: str
    quantity: str  # with its unit
    paper: str | None  # as printed; None where the paper has none
    ours: float | str | None = None
    how: str = READY
    note: str = ""

    @property
    def agrees(self) -> bool | None:
        """Whether ours, rounded as the paper rounds, is the paper's.

        None where one of them is missing or what is measured cannot be the same.
        """
        if self.how != EXACT or self.paper is None or self.ours is None:
            return None
        if isinstance(self.ours, str):
            return self.ours == self.paper
        digits = decimal.Decimal(self.paper).as_tuple().exponent
        step = decimal.Decimal(1).scaleb(digits)
        # Half up, as people round; 12.5 is printed 13.
        ours = decimal.Decimal(repr(self.ours))
        return ours.quantize(step, decimal.ROUND_HALF_UP) == decimal.Decimal(self.paper)

    @property
    def shown(self) -> str:
        """Ours as text: one digit more than the paper prints."""
        if self.ours is None:
            return ""
        if isinstance(self.ours, str | int):
            return f"{self.ours:,}" if isinstance(self.ours, int) else self.ours
        printed = decimal.Decimal(self.paper or "0.01")
        return f"{self.ours:.{max(1, 1 - printed.as_tuple().exponent)}f}"


def markdown(cells: Sequence[Cell]) -> str:
    """A table of cells, without their item."""
    lines = [
        "| row | quantity | paper | ours | how | note |",
        "|---|---|---:|---:|---|---|",
    ]
    for cell in cells:
        mark = {True: " =", False: " !", None: ""}[cell.agrees]
        lines.append(
            f"| {cell.row} | {cell.quantity} | {cell.paper or ''} | "
            f"{cell.shown}{mark} | {cell.how} | {cell.note} |"
        )
    return "\n".join(lines) + "\n"


def write(directory: str, name: str, cells: Sequence[Cell]) -> None:
    """Writes NAME.csv, NAME.json and NAME.md, each whole or not at all."""
    rows = [dataclasses.asdict(cell) | {"agrees": cell.agrees} for cell in cells]
    write_text(f"{directory}/{name}.csv", _csv(rows))
    write_text(f"{directory}/{name}.json", json.dumps(rows, indent=1) + "\n")
    title = f"# {cells[0].item}\n\n"
    write_text(f"{directory}/{name}.md", title + markdown(cells))


def write_text(path: str, text: str) -> None:
    """Writes beside the file, then in its place."""
    with files.replacing(path) as partial, open(partial, "w") as file:
        file.write(text)


def disagreements(cells: Iterable[Cell]) -> list[Cell]:
    """The exact cells that are not what the paper prints."""
    return [cell for cell in cells if cell.agrees is False]


def _csv(rows: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def numeric(value: float | str | None) -> float | None:
    """A cell's value as a number, if it is one."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return None
