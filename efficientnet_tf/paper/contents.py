"""Every table and figure by name: its cells, and the function that draws it."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

from efficientnet_tf.paper import (
    cells,
    counted_cells,
    figures,
    measurements,
    trained_cells,
)
from efficientnet_tf.paper.cells import Cell


@dataclasses.dataclass(frozen=True)
class Item:
    """One table or figure.

    `cells` takes the folder of measurements. `draw` takes the PNG's path, the cells and
    the folder of measurements; it is None if the measurement itself draws the PNG.
    """

    title: str
    cells: Callable[[str], list[Cell]]
    draw: Callable[[str, list[Cell], str], None] | None
    plots: tuple[str, ...] = ()  # names of further plots, which the measurement draws


def write(name: str, directory: str) -> list[Cell]:
    """Writes NAME.csv, .json, .md and .png into the folder of measurements.

    Args:
        name: key of an item, such as "table2".
        directory: folder of the measurements.

    Returns:
        The cells; an empty list for a figure without numbers.
    """
    item = ITEMS[name]
    found = item.cells(directory)
    if found:
        cells.write(directory, name, found)
    if item.draw:
        item.draw(f"{directory}/{name}.png", found, directory)
    return found


def _table(title: str, compute: Callable[[], list[Cell]]) -> Item:
    return Item(title, lambda _: compute(), _beside)


def _beside(path: str, found: list[Cell], _: Any) -> None:
    figures.beside(path, found)


def _accuracy(title: str, quantity: str) -> Item:
    def draw(path: str, *_: Any) -> None:
        figures.accuracy_against(path, quantity, title=title)

    return Item(title, lambda _: [], draw)


def _study(title: str, compute: Callable) -> Item:
    def draw(path: str, _: Any, directory: str) -> None:
        rows = trained_cells.study_rows(title.partition(":")[0], directory)
        if rows:
            figures.study(path, rows, title=title)

    return Item(title, compute, draw)


def _draw_transfer(path: str, _: Any, directory: str) -> None:
    rows = measurements.load(directory, "transfer").get("rows")
    if rows:
        figures.transfer(path, rows, title=ITEMS["figure6"].title)


ITEMS = {
    "table1": _table("Table 1: EfficientNet-B0", counted_cells.table1),
    "table2": _table("Table 2: EfficientNet on ImageNet", counted_cells.table2),
    "table3": _table("Table 3: scaled MobileNets and ResNet", counted_cells.table3),
    "table4": Item("Table 4: latency", measurements.table4, _beside),
    "table5": _table("Table 5: transfer", trained_cells.table5),
    "table6": _table("Table 6: transfer data sets", counted_cells.table6),
    "table7": _table("Table 7: scaled EfficientNet-B0", counted_cells.table7),
    "table8": _table("Table 8: ImageNet's test images", trained_cells.table8),
    "section3": _table("Section 3.3: coefficients", counted_cells.section3),
    "section4": Item(
        "Section 4: baseline search",
        trained_cells.section4,
        None,
        ("baseline_search_samplers", "baseline_search_pareto"),
    ),
    "figure1": _accuracy("Figure 1: accuracy and parameters", "params"),
    "figure2": Item(
        "Figure 2: ways to scale",
        lambda _: [],
        lambda path, *_: figures.scaling_methods(path),
    ),
    "figure3": _study("Figure 3: one dimension at a time", trained_cells.figure3),
    "figure4": _study("Figure 4: width, from four bases", trained_cells.figure4),
    "figure5": _accuracy("Figure 5: accuracy and FLOPS", "macs"),
    "figure6": Item(
        "Figure 6: transfer and size", trained_cells.figure6, _draw_transfer
    ),
    "figure7": Item("Figure 7: class activation maps", lambda _: [], None),
    "figure8": _study("Figure 8: ways to scale at equal FLOPS", trained_cells.figure8),
}


def plots(name: str, directory: str) -> list[str]:
    """Lists the names of an item's PNG files that exist.

    Args:
        name: key of an item, such as "table2".
        directory: folder of the measurements.
    """
    wanted = (name, *ITEMS[name].plots)
    return [each for each in wanted if os.path.exists(f"{directory}/{each}.png")]
