"""Writes docs/reproduction.md: each number of the paper, ours, and how we got it."""

import os
from collections import Counter

from efficientnet_tf import files
from efficientnet_tf.paper import cells, contents, measurements, trained_cells
from efficientnet_tf.paper.cells import Cell

_HEAD = """# What of the paper is reproduced, and how

Written by `python tools/reproduce_paper.py all --quick`; do not edit. Numbers of the
paper are arXiv 1905.11946 v5's. Each table is beside this page as CSV, JSON and plot.

- *exact*: by arithmetic, the same on any machine; `=` where it is what the paper
  prints, rounded as it rounds, `!` where it is not.
- *measured*: here, on the machine and data the note says. Accuracies are of a proxy, a
  small network on small images, and not to be compared with ImageNet's.
- *command*: the note's command computes it, given ImageNet and the hardware. We have
  not run it.
- *printed*: another project's network, for comparison.
"""


def write(path: str, directory: str) -> None:
    """Writes the ledger.

    Args:
        path: path of the page.
        directory: folder of the items' files and of the measurements.
    """
    found = {name: item.cells(directory) for name, item in contents.ITEMS.items()}
    everything = [cell for each in found.values() for cell in each]
    folder = os.path.relpath(directory, os.path.dirname(path) or ".")
    parts = [_HEAD, _summary(everything), _discrepancies(everything)]
    parts += [_section(name, each, folder, directory) for name, each in found.items()]
    files.write_whole(path, "\n".join(parts))


def _summary(everything: list[Cell]) -> str:
    how = Counter(cell.how for cell in everything)
    exact = [cell.agrees for cell in everything if cell.agrees is not None]
    counts = ", ".join(f"{number} {name}" for name, number in how.items())
    return (
        f"{len(everything)} numbers: {counts}. Of the {len(exact)} exact ones that the "
        f"paper prints, {sum(exact)} agree.\n"
    )


def _discrepancies(everything: list[Cell]) -> str:
    text = "## Where exact counts differ from the print\n\n"
    lines = [
        f"- {cell.item}, {cell.row}, {cell.quantity}: printed {cell.paper}, "
        f"counted {cell.shown}" + (f" ({cell.note})" if cell.note else "")
        for cell in cells.disagreements(everything)
    ]
    return text + "\n".join(lines) + "\n"


def _section(name: str, found: list[Cell], folder: str, directory: str) -> str:
    parts = [f"## {contents.ITEMS[name].title}\n"]
    for plot in contents.plots(name, directory):
        parts.append(f"![{plot}]({folder}/{plot}.png)\n")
    if name in _VERDICTS:
        study, key, verdict = _VERDICTS[name]
        rows = measurements.load(directory, study).get(key)
        parts += [verdict(rows) + "\n"] if rows else []
    if found:
        parts.append(cells.markdown(found))
    return "\n".join(parts)


# By item: the measurement, its key, and the function that describes the outcome.
_VERDICTS = {
    "figure4": ("scaling_study", "figure4", trained_cells.width_verdict),
    "figure6": ("transfer", "rows", trained_cells.transfer_verdict),
    "figure8": ("scaling_study", "figure8", trained_cells.verdict),
}
