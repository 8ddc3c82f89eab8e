"""Plots as PNG files, drawn without a display."""

from collections.abc import Mapping, Sequence
from typing import Any

from efficientnet_tf import files


def lines(
    path: str,
    curves: Mapping[str, Sequence[Sequence[float]]],
    *,
    x: str,
    y: str,
    marks: Mapping[str, Sequence[float]] | None = None,
    title: str | None = None,
    log_x: bool = False,
    log_y: bool = False,
) -> None:
    """Draws curves with a legend; the file appears whole or not at all.

    Args:
        path: path of the PNG; its folder is made if need be.
        curves: points by name: (x, y), or (x, y, stddev) for error bars.
        x: label of the x axis, with its unit.
        y: label of the y axis, with its unit.
        marks: single points (x, y) by the name that is written beside them.
        title: title above the plot.
        log_x: whether the x axis is logarithmic.
        log_y: whether the y axis is logarithmic.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, points in curves.items():
        xs, ys, *errors = zip(*points, strict=True)
        bars = errors[0] if errors and None not in errors[0] else None
        axes.errorbar(
            xs, ys, yerr=bars, marker="o", markersize=4, capsize=3, label=name
        )
    for name, point in (marks or {}).items():
        axes.plot(*point, "k.")
        offset = {"xytext": (4, 2), "textcoords": "offset points"}
        axes.annotate(name, point, fontsize="xx-small", **offset)
    axes.set(xlabel=x, ylabel=y, title=title or "")
    axes.set_xscale("log" if log_x else "linear")
    axes.set_yscale("log" if log_y else "linear")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    save(figure, path)


def save(figure: Any, path: str) -> None:
    """Writes a matplotlib figure; the file appears whole or not at all.

    Args:
        figure: a matplotlib figure.
        path: path of the PNG file.
    """
    with files.replacing(path) as partial:
        # Leaves matplotlib's version out, so that equal plots are equal files.
        figure.savefig(partial, format="png", dpi=100, metadata={"Software": None})
