"""A report's sections on classes: confusions, scores of each class, calibration."""

from collections.abc import Sequence

import numpy as np

from efficientnet_tf.reports import charts, metrics
from efficientnet_tf.reports.markup import (
    Markup,
    count,
    element,
    join,
    percent,
    scrolling,
    table,
)
from efficientnet_tf.training.tables import Table

MATRIX_CLASSES = 50  # more have no room in a matrix
PAIRS = 50  # rows of the table that takes its place
CLASS_ROWS = 100  # rows of the table of classes
_DENSE = 15  # classes from which a matrix has smaller cells
_BESIDE, _IN_TITLE = 24, 60  # letters of a name beside a matrix, and in a title


def sections(found: Table, names: Sequence[str]) -> dict[str, Markup]:
    """Makes the sections, by their names.

    Args:
        found: the predictions.
        names: names of the model's outputs.
    """
    return {
        "Confusions": confusions(found, names),
        "Classes": scores(found, names),
        "Calibration": calibration(found),
    }


def confusions(found: Table, names: Sequence[str]) -> Markup:
    """Tells which classes are taken for which.

    Args:
        found: the predictions.
        names: names of the model's outputs.
    """
    pairs = metrics.confused_pairs(found.labels, found.predicted)
    if not pairs:
        return element("h2", "No class is taken for another")
    used = np.union1d(found.labels, found.predicted[found.predicted >= 0])
    body = (
        _matrix(found, used, names)
        if len(used) <= MATRIX_CLASSES
        else _pairs(found, pairs, names)
    )
    return join([element("h2", _worst_pair(found, pairs[0], names)), *body])


def _worst_pair(found: Table, pair: tuple[int, int, int], names: Sequence[str]) -> str:
    true, predicted, images = pair
    total = int((found.labels == true).sum())
    return (
        f"The most frequent mistake: {images:,} of {count(total, 'image')} of "
        f"{quoted(names[true])} taken for {quoted(names[predicted])}"
    )


def _matrix(found: Table, used: np.ndarray, names: Sequence[str]) -> list[Markup]:
    """Shows the counts of the classes that there are, in shades."""
    counts = metrics.confusion(found.labels, found.predicted, len(names))
    counts = counts[np.ix_(used, used)]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    is_right = np.eye(len(used), dtype=bool)
    darkest = shares[~is_right].max()
    shades = np.where(is_right, shares, shares / darkest)
    cells = [
        list(map(_cell, *row)) for row in zip(counts, is_right, shades, strict=True)
    ]
    note = (
        "Rows are true classes, columns predicted ones; each cell counts images. Blue "
        "cells are right: the darker, the larger the share of the row. Orange cells "
        f"are mistakes; the darkest holds {percent(float(darkest))} of its row."
    )
    return [
        element("p", note, class_="quiet small"),
        scrolling(_grid(cells, [names[i] for i in used]), label="Confusion matrix"),
    ]


def _grid(cells: Sequence[Sequence[Markup]], names: Sequence[str]) -> Markup:
    """Makes a table with the same names above its columns and beside its rows."""
    heads = [
        element(
            "th",
            element("span", _short(name), class_="turned"),
            scope="col",
            title=name,
        )
        for name in names
    ]
    rows = [
        element("tr", element("th", _short(name), scope="row", title=name), row)
        for name, row in zip(names, cells, strict=True)
    ]
    return element(
        "table",
        element("thead", element("tr", element("td"), heads)),
        element("tbody", rows),
        class_="matrix dense" if len(names) > _DENSE else "matrix",
    )


def _cell(images: int, is_right: bool, shade: float) -> Markup:
    if not images:
        return element("td")
    level = 1 + min(8, int(shade * 9))
    return element("td", f"{images:,}", class_=f"{'g' if is_right else 'b'}{level}")


def _short(name: str, longest: int = _BESIDE) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def quoted(name: str) -> str:
    """Returns a class's name as titles have it."""
    return f"“{_short(name, _IN_TITLE)}”"


def _pairs(
    found: Table, pairs: Sequence[tuple[int, int, int]], names: Sequence[str]
) -> list[Markup]:
    totals = np.bincount(found.labels, minlength=len(names))
    rows = [
        (
            names[true],
            names[predicted],
            f"{images:,}",
            f"{totals[true]:,}",
            percent(images / int(totals[true])),
        )
        for true, predicted, images in pairs[:PAIRS]
    ]
    shown = f"All {len(pairs):,} pairs of classes that are confused."
    if len(pairs) > PAIRS:
        shown = (
            f"The first {PAIRS} of {len(pairs):,} pairs of classes that are confused; "
            "predictions.csv has every image."
        )
    heads = ("true class", "taken for", "images", "of", "share")
    return [
        element("p", shown, class_="quiet small"),
        table(heads, rows, numbers=(2, 3, 4), caption="Most confused pairs"),
    ]


def scores(found: Table, names: Sequence[str]) -> Markup:
    """Tells precision, recall and F1 of each class, the worst first.

    Args:
        found: the predictions.
        names: names of the model's outputs.
    """
    each = metrics.class_scores(found.labels, found.predicted, len(names))
    f1 = each.f1
    known = np.flatnonzero(~np.isnan(f1))
    ranked = known[np.argsort(f1[known], kind="stable")]
    rows = [_class_row(each, int(i), names) for i in ranked[:CLASS_ROWS]]
    heads = ("class", "F1", "precision", "recall", "images", "correct")
    return join(
        [
            element("h2", _range(f1, ranked, names)),
            element("p", _shown(len(ranked), len(names)), class_="quiet small"),
            table(heads, rows, numbers=(1, 2, 3, 4, 5), caption="Scores of each class"),
        ]
    )


def _range(f1: np.ndarray, ranked: np.ndarray, names: Sequence[str]) -> str:
    low, high = ranked[0], ranked[-1]
    if f1[low] == f1[high]:
        return f"Every class has an F1 of {percent(float(f1[low]))}"
    return (
        f"F1 goes from {percent(float(f1[low]))} ({quoted(names[low])}) to "
        f"{percent(float(f1[high]))} ({quoted(names[high])})"
    )


def _shown(known: int, classes: int) -> str:
    shown = f"All {known:,} classes" if known <= CLASS_ROWS else ""
    shown = shown or f"The first {CLASS_ROWS} of {known:,} classes"
    left_out = classes - known
    told = f"{shown}, the lowest F1 first; classes.csv has the same numbers"
    told += " of all." if known > CLASS_ROWS else "."
    if left_out:
        told += (
            f" {count(left_out, 'class has', 'classes have')} no image here and no "
            "prediction."
        )
    return f"{told} A dash is a share of nothing."


def _class_row(
    each: metrics.ClassScores, i: int, names: Sequence[str]
) -> Sequence[str]:
    return (
        names[i],
        meter(float(each.f1[i])),
        percent(float(each.precision[i])),
        percent(float(each.recall[i])),
        f"{each.images[i]:,}",
        f"{each.correct[i]:,}",
    )


def meter(share: float) -> Markup:
    """Shows a share as a bar, with its percentage."""
    bar = element("i", style=f"width:{share * 100:.0f}%")
    return element("span", element("span", bar, class_="meter"), percent(share))


def calibration(found: Table) -> Markup:
    """Tells how far probabilities can be trusted.

    Args:
        found: the predictions.
    """
    bins = metrics.calibration(found.confidence, found.correct)
    sure, right = float(found.confidence.mean()), float(found.correct.mean())
    title = (
        f"{_verdict(sure - right)}: {percent(sure)} sure on average, {percent(right)} "
        "right"
    )
    return reliability(bins, title)


def reliability(bins: metrics.Calibration, title: str) -> Markup:
    """Shows how often predictions of each probability are right.

    Args:
        bins: the predictions by their probability.
        title: what was found.
    """
    label = f"Reliability diagram; expected calibration error {bins.error:.4f}"
    measured = element(
        "p",
        "Expected calibration error ",
        element("b", f"{bins.error:.4f}"),
        f" in {metrics.BINS} bins of equal width: the mean distance between "
        "probability and accuracy, weighted by the number of predictions.",
    )
    explained = (
        "Each bar shows how often predictions of about that probability are right. "
        "Bars that end on the dashed line are calibrated. Orange is what is missing of "
        "the predicted probability, pale blue what is beyond it. The grey bars below "
        "count the predictions."
    )
    diagram = element("figure", charts.reliability(bins, label=label))
    words = element("div", measured, element("p", explained, class_="quiet small"))
    return join([element("h2", title), element("div", diagram, words, class_="beside")])


def _verdict(gap: float) -> str:
    if abs(gap) < 0.01:
        return "Probabilities match the accuracy"
    return "The model is overconfident" if gap > 0 else "The model is underconfident"
