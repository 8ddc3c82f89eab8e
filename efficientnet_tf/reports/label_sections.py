"""A report's sections on labels, where an image may have several."""

from collections.abc import Sequence

import numpy as np

from efficientnet_tf.reports import class_sections, metrics
from efficientnet_tf.reports.class_sections import CLASS_ROWS, meter, quoted
from efficientnet_tf.reports.markup import Markup, count, element, join, percent, table
from efficientnet_tf.training.tables import LabelTable


def sections(found: LabelTable, names: Sequence[str]) -> dict[str, Markup]:
    """Makes the sections, by their names.

    Args:
        found: the predictions.
        names: names of the model's outputs.
    """
    return {
        "Mistaken labels": mistaken(found, names),
        "Labels": scores(found, names),
        "Calibration": calibration(found),
    }


def mistaken(found: LabelTable, names: Sequence[str]) -> Markup:
    """Tells which labels are missed, and which are said of images without them.

    Args:
        found: the predictions.
        names: names of the model's outputs.
    """
    each = metrics.label_scores(found.labels, found.predicted)
    missed, wrong = each.images - each.correct, each.predicted - each.correct
    ranked = np.argsort(-(missed + wrong), kind="stable")
    ranked = ranked[(missed + wrong)[ranked] > 0]
    if not len(ranked):
        return element("h2", "No label is missed, and none is said wrongly")
    rows = [
        (
            names[i],
            *_share(missed[i], each.images[i]),
            *_share(wrong[i], each.predicted[i]),
        )
        for i in ranked[:CLASS_ROWS]
    ]
    heads = ("label", "missed", "of", "share", "said wrongly", "of", "share")
    numbers = tuple(range(1, len(heads)))
    caption = "Labels that are missed or said wrongly"
    return join(
        [
            element("h2", _worst(missed, wrong, each, names)),
            element("p", _explained(len(ranked)), class_="quiet small"),
            table(heads, rows, numbers=numbers, caption=caption),
        ]
    )


def _share(part: int, whole: int) -> tuple[str, str, str]:
    share = int(part) / int(whole) if whole else float("nan")
    return f"{part:,}", f"{whole:,}", percent(share)


def _worst(
    missed: np.ndarray,
    wrong: np.ndarray,
    each: metrics.ClassScores,
    names: Sequence[str],
) -> str:
    told = []
    if missed.any():
        most = int(missed.argmax())
        images = f"{missed[most]:,} of {count(int(each.images[most]), 'image')}"
        told.append(f"{quoted(names[most])} is missed most often, in {images}")
    if wrong.any():
        most = int(wrong.argmax())
        images = count(int(wrong[most]), "image")
        told.append(f"{quoted(names[most])} is said wrongly most often, of {images}")
    return "; ".join(told)


def _explained(labels: int) -> str:
    shown = f"All {labels:,} labels with mistakes"
    if labels > CLASS_ROWS:
        shown = f"The first {CLASS_ROWS} of {labels:,} labels with mistakes"
    return (
        f"{shown}, those with most mistakes first. A label is said from a probability "
        "of 0.5 on. It is missed in images that have it, and said wrongly of images "
        "that do not. predictions.csv has every image."
    )


def scores(found: LabelTable, names: Sequence[str]) -> Markup:
    """Tells average precision, precision, recall and F1 of each label, worst first.

    Args:
        found: the predictions.
        names: names of the model's outputs.
    """
    each = metrics.label_scores(found.labels, found.predicted)
    known = np.flatnonzero(each.images)
    if not len(known):
        return element("h2", "No image has a label")
    ranked = known[np.argsort(found.average_precision[known], kind="stable")]
    rows = [_row(found.average_precision, each, i, names) for i in ranked[:CLASS_ROWS]]
    heads = ("label", "average precision", "precision", "recall", "F1", "images")
    caption = "Scores of each label"
    return join(
        [
            element("h2", _range(found.average_precision, ranked, names)),
            element("p", _shown(len(ranked), len(names)), class_="quiet small"),
            table(heads, rows, numbers=(1, 2, 3, 4, 5), caption=caption),
        ]
    )


def _row(
    average: np.ndarray, each: metrics.ClassScores, i: int, names: Sequence[str]
) -> Sequence[str]:
    shares = (float(of[i]) for of in (each.precision, each.recall, each.f1))
    return (
        names[i],
        meter(float(average[i])),
        *map(percent, shares),
        f"{each.images[i]:,}",
    )


def _range(average: np.ndarray, ranked: np.ndarray, names: Sequence[str]) -> str:
    low, high = (float(average[i]) for i in (ranked[0], ranked[-1]))
    if low == high:
        return f"Every label has an average precision of {percent(low)}"
    return (
        f"Average precision goes from {percent(low)} ({quoted(names[ranked[0]])}) to "
        f"{percent(high)} ({quoted(names[ranked[-1]])})"
    )


def _shown(known: int, labels: int) -> str:
    shown = f"All {known:,} labels" if known <= CLASS_ROWS else ""
    shown = shown or f"The first {CLASS_ROWS} of {known:,} labels"
    told = f"{shown}, the lowest average precision first; classes.csv has all."
    if labels > known:
        without = count(labels - known, "label has", "labels have")
        told += f" {without} no image here and no average precision."
    return f"{told} A dash is a share of nothing."


def calibration(found: LabelTable) -> Markup:
    """Tells how far the probabilities of labels can be trusted.

    Args:
        found: the predictions; each label of each image is one.
    """
    probabilities, there = found.probabilities[found.known], found.labels[found.known]
    if not there.size:
        return Markup()
    bins = metrics.calibration(probabilities.ravel(), there.ravel())
    told, true = float(probabilities.mean(dtype="float64")), float(there.mean())
    title = (
        f"Labels have a probability of {percent(told)} on average, and "
        f"{percent(true)} of them are there"
    )
    return class_sections.reliability(bins, title)
