"""A cell: one number of the paper beside ours. Tables and ledger consist of cells."""

import dataclasses
import decimal
import json
from collections.abc import Iterable, Sequence

from efficientnet_tf import files
from efficientnet_tf.variants import Variant

EXACT = "exact"  # computed by arithmetic; the same on any machine
MEASURED = "measured"  # by us; the note names the machine
READY = "command"  # the note's command computes it, given data and hardware
PRINTED = "printed"  # of another project's network; only for comparison


def training_command(model: str, network: Variant | None = None) -> str:
    """Writes the command that trains a model on ImageNet, for a note.

    Args:
        model: name of the model.
        network: the model scaled otherwise; None takes it as it is.
    """
    scaling = ""
    if network is not None:
        scaling = (
            f" --depth_coefficient={network.depth:g} "
            f"--width_coefficient={network.width:g} --image_size={network.resolution}"
        )
    return (
        f"`python main.py --dataset=imagenet --data_dir=DIR --model={model}{scaling}`"
    )


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number: as the paper prints it, and as this package gets it."""

    item: str  # "Table 2"
    row: str
    quantity: str  # with its unit
    paper: str | None  # as printed; None where the paper has none
    ours: float | str | None = None
    how: str = READY
    note: str = ""

    @property
    def agrees(self) -> bool | None:
        """Whether our number, rounded as the paper rounds, equals the paper's.

        None if a number is missing, or if ours is not exact.
        """
        if self.how != EXACT or self.paper is None or self.ours is None:
            return None
        if isinstance(self.ours, str):
            return self.ours == self.paper
        step = decimal.Decimal(1).scaleb(-_decimals(self.paper))
        # Half up, as people round: 12.5 becomes 13.
        ours = decimal.Decimal(repr(self.ours))
        return ours.quantize(step, decimal.ROUND_HALF_UP) == decimal.Decimal(self.paper)

    @property
    def shown(self) -> str:
        """Our number as text, with one digit more than the paper prints."""
        if self.ours is None:
            return ""
        if isinstance(self.ours, str | int):
            return f"{self.ours:,}" if isinstance(self.ours, int) else self.ours
        return f"{self.ours:.{max(1, 1 + _decimals(self.paper or '0.01'))}f}"


def _decimals(printed: str) -> int:
    return len(printed.partition(".")[2])


def markdown(cells: Sequence[Cell]) -> str:
    """Formats cells as a Markdown table, without their item."""
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
    """Writes NAME.csv, NAME.json and NAME.md, each whole or not at all.

    Args:
        directory: folder to write to.
        name: the files' name without its suffix.
        cells: the numbers; at least one.
    """
    rows = [dataclasses.asdict(cell) | {"agrees": cell.agrees} for cell in cells]
    files.write_csv(f"{directory}/{name}.csv", rows)
    files.write_whole(f"{directory}/{name}.json", json.dumps(rows, indent=1) + "\n")
    title = f"# {cells[0].item}\n\n"
    files.write_whole(f"{directory}/{name}.md", title + markdown(cells))


def disagreements(cells: Iterable[Cell]) -> list[Cell]:
    """Lists the exact cells whose number differs from the paper's."""
    return [cell for cell in cells if cell.agrees is False]


def numeric(value: float | str | None) -> float | None:
    """Returns a cell's value as a number, if it is one."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return None
