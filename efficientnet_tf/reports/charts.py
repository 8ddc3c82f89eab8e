"""Charts as SVG elements; their colours are those of the page's style sheet."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from efficientnet_tf.reports.markup import Markup, element, percent
from efficientnet_tf.reports.metrics import BINS, Calibration

_WIDTH, _HEIGHT = 360, 220  # a phone's width, so that letters keep their size there
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 18, 10, 38
_POINTS = 200  # points of a line; more than the chart has pixels for

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a chart; a single point is drawn as a dot.

    Args:
        name: name in the legend.
        style: class of the style sheet: "s1", "s2" or "s3".
        points: (x, y), sorted by x.
    """

    name: str
    style: str
    points: Sequence[Point]


@dataclasses.dataclass(frozen=True)
class Axis:
    """An axis with round numbers.

    Args:
        low: float, the first tick.
        step: float above 0, from tick to tick.
        ticks: int, number of ticks.
    """

    low: float
    step: float
    ticks: int

    @property
    def high(self) -> float:
        """The last tick."""
        return self.low + self.step * (self.ticks - 1)

    def values(self) -> list[float]:
        """Lists the ticks."""
        return [self.low + self.step * i for i in range(self.ticks)]

    def share(self, value: float) -> float:
        """Returns a value's place: 0 at the axis's beginning, 1 at its end."""
        return (value - self.low) / (self.high - self.low)


def axis(low: float, high: float, *, most: int = 5) -> Axis:
    """Finds an axis that holds a range.

    Args:
        low: float, the smallest value.
        high: float, the largest one.
        most: int, how many steps to divide the range into, at most.
    """
    if high <= low:
        high = low + (abs(low) or 1)
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    steps = (power * factor for factor in (1, 2, 5, 10, 20))
    for step in steps:
        # A hair of tolerance: 0.3 / 0.1 is below 3.
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first <= most:
            break
    return Axis(first * step, step, last - first + 1)


def lines(
    drawn: Sequence[Line],
    *,
    x: str,
    label: str,
    words: Callable[[float], str],
    from_zero: bool = False,
) -> Markup:
    """Draws lines over a common x axis.

    Args:
        drawn: the lines, each of one point at least.
        x: name of the x axis.
        label: what the chart shows, for those who hear the page.
        words: writes a value of the y axis.
        from_zero: whether the y axis begins at 0.
    """
    thinned = [dataclasses.replace(line, points=thin(line.points)) for line in drawn]
    xs, ys = zip(*(point for line in thinned for point in line.points), strict=True)
    across = axis(0, max(xs))
    up = axis(0 if from_zero else min(ys), max(ys), most=4)
    parts = [*_y_axis(up, words), *_x_axis(across, x)]
    for line in thinned:
        places = [(_x(across.share(a)), _y(up.share(b))) for a, b in line.points]
        parts.append(_drawn(places, line.style))
    return _svg(parts, _HEIGHT, label)


def thin(points: Sequence[Point]) -> list[Point]:
    """Returns means of neighbouring points where a line has too many points."""
    size = math.ceil(len(points) / _POINTS)
    groups = (points[i : i + size] for i in range(0, len(points), size))
    means = (np.mean(group, axis=0).tolist() for group in groups)
    return [(x, y) for x, y in means]


def reliability(found: Calibration, *, label: str) -> Markup:
    """Draws how often predictions of each probability are right.

    Args:
        found: the bins.
        label: what the chart shows, for those who hear the page.
    """
    unit = Axis(0, 0.2, 6)
    parts = [*_y_axis(unit, _whole), *_x_axis(unit, "predicted probability", _whole)]
    most = max(found.counts)
    for i in np.flatnonzero(found.counts):
        left, right = _x(i / BINS) + 1, _x((i + 1) / BINS) - 1
        right_share, told = float(found.accuracy[i]), float(found.confidence[i])
        height = 26 * float(found.counts[i] / most)
        title = element(
            "title",
            f"{percent(i / BINS)} to {percent((i + 1) / BINS)}: "
            f"{int(found.counts[i]):,} predictions, {percent(right_share)} right",
        )
        low, high = sorted((right_share, told))
        style = "missing" if told > right_share else "beyond"
        parts += [
            _rect(left, right, _y(low), _y(0), "bar", title),
            _rect(left, right, _y(high), _y(low), style, title),
            _rect(left, right, _FLOOR - height, _FLOOR, "count", title),
        ]
    parts.append(_line(_x(0), _y(0), _x(1), _y(1), "ideal"))
    parts.append(_text(_x(0), _FLOOR + 14, "number of predictions", "start"))
    return _svg(parts, _FLOOR + 20, label)


def interval(low: float, value: float, high: float, *, label: str) -> Markup:
    """Draws a share with its interval on a line from 0 to 100%.

    Args:
        low: float from 0 to 1, the interval's lower end.
        value: float from 0 to 1.
        high: float from 0 to 1, the interval's upper end.
        label: what the chart shows, for those who hear the page.
    """

    def at(share: float) -> float:
        return 4 + share * (_WIDTH - 8)

    parts = [
        _rect(at(0), at(1), 8, 12, "track"),
        _rect(at(low), max(at(high), at(low) + 2), 5, 15, "range"),
        element("circle", cx=at(value), cy=10.0, r=4.5, class_="mark"),
        *(
            _text(at(share), 30, f"{share:.0%}", anchor)
            for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end"))
        ),
    ]
    return _svg(parts, 34, label)


_FLOOR = _HEIGHT + 30  # the lower end of the counts below the reliability diagram


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _y_axis(up: Axis, words: Callable[[float], str]) -> list[Markup]:
    parts = []
    for value in up.values():
        y = _y(up.share(value))
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, "grid"))
        parts.append(_text(_LEFT - 6, y + 4, words(value), "end"))
    return parts


def _x_axis(
    across: Axis, name: str, words: Callable[[float], str] = "{:g}".format
) -> list[Markup]:
    y = _HEIGHT - _BOTTOM + 15
    parts = [
        _text(_x(across.share(value)), y, words(round(value, 9)), "middle")
        for value in across.values()
    ]
    return [*parts, _text(_x(0.5), y + 16, name, "middle")]


def _drawn(places: Sequence[Point], style: str) -> Markup:
    if len(places) == 1:
        ((x, y),) = places
        return element("circle", cx=x, cy=y, r=4.0, class_=f"{style} dot")
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return element("polyline", points=path, class_=style)


def _whole(share: float) -> str:
    return f"{share:.0%}"


def _svg(parts: Sequence[Markup], height: float, label: str) -> Markup:
    return element(
        "svg", parts, viewBox=f"0 0 {_WIDTH} {height}", role="img", aria_label=label
    )


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    return element(
        "line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=style
    )


def _rect(
    left: float, right: float, top: float, bottom: float, style: str, *inside: Markup
) -> Markup:
    return element(
        "rect",
        *inside,
        x=float(left),
        y=float(top),
        width=float(right - left),
        height=float(bottom - top),
        class_=style,
    )


def _text(x: float, y: float, words: str, anchor: str) -> Markup:
    return element("text", words, x=float(x), y=float(y), text_anchor=anchor)
