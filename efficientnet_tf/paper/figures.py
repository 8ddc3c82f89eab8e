"""Draws the paper's figures from the tables' cells and from measurements."""

import math
from collections.abc import Mapping, Sequence

from efficientnet_tf import counting, plots
from efficientnet_tf.paper import printed_numbers
from efficientnet_tf.paper.cells import Cell, numeric

_PANELS = {  # figure 2 by panel: number of layers, a layer's width and height as drawn
    "(a) baseline": (4, 1.0, 1.0),
    "(b) width": (4, 1.6, 1.0),
    "(c) depth": (7, 1.0, 1.0),
    "(d) resolution": (4, 1.0, 1.5),
    "(e) compound": (6, 1.3, 1.25),
}


def accuracy_against(path: str, quantity: str, *, title: str) -> None:
    """Draws figures 1 and 5: ImageNet top-1 against "params" or "macs".

    EfficientNet's sizes are exact counts; all other numbers are the paper's.

    Args:
        path: path of the PNG file.
        quantity: "params" or "macs".
        title: the figure's title.
    """
    unit, column = {"params": (1e6, 1), "macs": (1e9, 2)}[quantity]
    ours = [
        (getattr(counting.count(name), quantity) / unit, float(row[0]))
        for name, row in printed_numbers.TABLE_2.items()
    ]
    others = {
        name: (float(value), float(row[0]))
        for name, row in printed_numbers.TABLE_2_OTHERS.items()
        if (value := row[column])
    }
    label = {"params": "parameters, millions", "macs": "FLOPS, billions"}[quantity]
    plots.lines(
        path,
        {"EfficientNet B0 to B7": ours},
        marks=others,
        x=label,
        y="ImageNet top-1, %",
        title=title,
        log_x=True,
    )


def study(path: str, rows: Sequence[Mapping], *, title: str) -> None:
    """Draws figures 3, 4 and 8: top-1 against MACs, with standard deviations.

    Args:
        path: path of the PNG file.
        rows: rows of `scaling_study.train`.
        title: the figure's title.
    """
    base = [row for row in rows if row["curve"] == "base"]
    curves: dict[str, list] = {}
    for row in rows:
        if row not in base:
            curves.setdefault(row["curve"], [_point(each) for each in base])
            curves[row["curve"]].append(_point(row))
    plots.lines(
        path,
        curves,
        x="MACs, millions",
        y="top-1, %; mean and standard deviation of seeds",
        title=title,
        log_x=True,
    )


def transfer(path: str, rows: Sequence[Mapping], *, title: str) -> None:
    """Draws figure 6: accuracy after the transfer against parameters.

    Args:
        path: path of the PNG file.
        rows: rows of `transfer_study.train`.
        title: the figure's title.
    """
    curves = {
        label: [(row["params"] / 1e6, row[name]) for row in rows]
        for name, label in (("finetuned", "fine-tuned"), ("scratch", "from scratch"))
    }
    plots.lines(path, curves, x="parameters, millions", y="top-1, %", title=title)


def beside(path: str, cells: Sequence[Cell]) -> None:
    """Draws a table: one panel for each quantity, with the paper's numbers and ours.

    Args:
        path: path of the PNG file.
        cells: the numbers of one table.
    """
    from matplotlib.figure import Figure

    quantities = list(dict.fromkeys(cell.quantity for cell in cells if _shows(cell)))
    columns = min(3, len(quantities))  # with more, panels are too small to read
    rows = math.ceil(len(quantities) / columns)
    figure = Figure(figsize=(6 * columns, 5 * rows), layout="constrained")
    for place, quantity in enumerate(quantities, 1):
        panel = figure.add_subplot(rows, columns, place)
        shown = [cell for cell in cells if cell.quantity == quantity and _shows(cell)]
        for name, marker in (("paper", "o"), ("ours", "x")):
            points = [
                (numeric(getattr(cell, name)), cell.row)
                for cell in shown
                if numeric(getattr(cell, name)) is not None
            ]
            if points:
                panel.plot(*zip(*points, strict=True), marker, label=name)
        panel.set(title=quantity)
        panel.invert_yaxis()
        panel.tick_params("y", labelsize="x-small")
        panel.locator_params("x", nbins=5)
        panel.grid(alpha=0.3)
        panel.legend()
    plots.save(figure, path)


def scaling_methods(path: str) -> None:
    """Draws figure 2: the effect of each way of scaling on a network."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(11, 4), layout="constrained")
    panels = figure.subplots(1, len(_PANELS), sharey=True)
    for panel, (title, (layers, width, size)) in zip(
        panels, _PANELS.items(), strict=True
    ):
        step = 0.5 * size
        for layer in range(layers):
            # Later layers have more channels and fewer pixels.
            wide = width * (0.6 + 0.4 * layer / layers)
            corner = (-wide / 2, layer * step)
            colour = f"C{min(3, 4 * layer // layers)}"
            panel.add_patch(Rectangle(corner, wide, 0.8 * step, color=colour))
        panel.set(title=title, xlim=(-1, 1), ylim=(-0.3, 4), xticks=[], yticks=[])
        panel.set_xlabel(f"{layers} layers\nwidth {width:g}\nresolution {size:g}")
    plots.save(figure, path)


def _point(row: Mapping) -> tuple:
    return row["macs"] / 1e6, row["mean"], row["stddev"]


def _shows(cell: Cell) -> bool:
    return numeric(cell.paper) is not None or numeric(cell.ours) is not None
