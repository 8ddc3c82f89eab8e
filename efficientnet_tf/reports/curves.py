"""A report's curves: how loss, accuracy and learning rate went during training."""

from collections.abc import Callable, Mapping, Sequence

from efficientnet_tf.reports import charts
from efficientnet_tf.reports.markup import Markup, element, join, percent
from efficientnet_tf.training import label_kinds

_TRAINING = ("training", "s1")
_SCORES = {
    "top_1": "Accuracy (top-1)",
    "mean_average_precision": "Mean average precision",
    "f1": "F1",
}
_LEADING = {
    label_kinds.ONE_LABEL.leading: "accuracy",
    label_kinds.MANY_LABELS.leading: "mean average precision",
}
_HELD_OUT = {"minival": ("held out", "s2"), "validation": ("validation", "s3")}


def section(history: Sequence[Mapping]) -> Markup:
    """Draws the curves; without metrics there is nothing to draw.

    Args:
        history: lines of metrics.jsonl, oldest first.
    """
    kinds = {
        **{title: _figure(history, key, _share) for key, title in _SCORES.items()},
        "Loss": _figure(history, "loss", "{:.3g}".format, from_zero=True),
        "Learning rate": _figure(
            history, "learning_rate", "{:.2g}".format, from_zero=True
        ),
    }
    drawn = [
        element("figure", element("h3", title), figure)
        for title, figure in kinds.items()
        if figure
    ]
    if not drawn:
        return Markup()
    note = (
        "Training values are means over the images of each loop, which are augmented "
        "and seen with dropout; the loss of training includes weight decay and label "
        "smoothing. So the two kinds of curves need not meet."
    )
    return join(
        [
            element("h2", _finding(history)),
            element("p", note, class_="quiet small"),
            element("div", drawn, class_="charts"),
        ]
    )


def _finding(history: Sequence[Mapping]) -> str:
    for key, name in _LEADING.items():
        if scored := _points(history, "eval", key, split="minival"):
            epoch, best = max(scored, key=lambda point: point[1])
            return f"Held-out {name} reached {percent(best)} at epoch {epoch:.3g}"
    losses = [loss for _, loss in _points(history, "train", "loss")]
    if len(losses) < 2:
        return "Training"
    return f"The training loss went from {losses[0]:.3g} to {losses[-1]:.3g}"


def _figure(
    history: Sequence[Mapping],
    key: str,
    words: Callable[[float], str],
    *,
    from_zero: bool = False,
) -> Markup:
    lines = [charts.Line(*_TRAINING, _points(history, "train", key))]
    for split, (name, style) in _HELD_OUT.items():
        points = _points(history, "eval", key, split=split)
        lines.append(charts.Line(name, style, points))
    lines = [line for line in lines if line.points]
    if not lines:
        return Markup()
    label = "; ".join(
        f"{line.name}: from {words(line.points[0][1])} to {words(line.points[-1][1])}"
        for line in lines
    )
    drawn = charts.lines(
        lines, x="epoch", label=label, words=words, from_zero=from_zero
    )
    legend = element("figcaption", [_key(line) for line in lines], class_="legend")
    return join([drawn, legend])


def _key(line: charts.Line) -> Markup:
    return element("span", element("i", class_=f"key {line.style}"), line.name)


def _points(
    history: Sequence[Mapping], kind: str, key: str, *, split: str | None = None
) -> list[tuple[float, float]]:
    """Returns (epoch, value) of the lines of a kind, the last one of each epoch."""
    found: dict[float, float] = {}
    for line in history:
        wanted = line.get("kind") == kind and line.get("split") == split
        epoch, value = line.get("epoch"), line.get(key)
        if wanted and isinstance(epoch, float) and isinstance(value, int | float):
            found[epoch] = value
    return sorted(found.items())


def _share(value: float) -> str:
    return f"{value * 100:.4g}%"
