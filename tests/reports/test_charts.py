"""Charts: round axes, points in their places."""

import re

import numpy as np
import pytest
import report_support

from efficientnet_tf.reports import charts, metrics
from efficientnet_tf.reports.markup import percent


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.3, [0, 0.1, 0.2, 0.3]),
        (0, 350, [0, 100, 200, 300, 400]),
        (0.913, 0.994, [0.9, 0.92, 0.94, 0.96, 0.98, 1]),
        (-0.3, 4.1, [-2, 0, 2, 4, 6]),
        (5, 5, [5, 6, 7, 8, 9, 10]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (1e-9, 3.2e-9, [1e-9, 1.5e-9, 2e-9, 2.5e-9, 3e-9, 3.5e-9]),
    ],
)
def test_an_axis_has_round_ticks_around_its_values(low, high, expected):
    found = charts.axis(low, high)
    assert found.values()[0] <= low + 1e-12 and found.values()[-1] >= high - 1e-12
    assert 2 <= found.ticks <= 6
    assert found.values() == pytest.approx(expected)


def test_a_line_goes_through_its_points():
    line = charts.Line("training", "s1", [(0, 0.0), (1, 0.5), (2, 1.0)])
    drawn = charts.lines([line], x="epoch", label="a line", words="{:g}".format)
    (points,) = re.findall(r'points="([^"]*)"', drawn)
    places = [tuple(map(float, point.split(","))) for point in points.split()]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2) and y0 > y1
    words = report_support.Page(drawn).words("text")
    assert words[0] == "0" and "epoch" in words and "1" in words


def test_a_point_alone_is_a_dot():
    line = charts.Line("validation", "s3", [(3.0, 0.8)])
    drawn = charts.lines([line], x="epoch", label="a dot", words=percent)
    assert "<circle" in drawn and "<polyline" not in drawn


def test_long_lines_are_thinned_to_means():
    points = [(float(i), float(i % 2)) for i in range(1000)]
    thinned = charts.thin(points)
    assert len(thinned) == 200
    assert thinned[0] == (2.0, pytest.approx(0.4))
    assert charts.thin(points[:200]) == points[:200]


def test_bars_end_at_the_share_that_is_right():
    found = metrics.calibration(np.full(10, 0.99, "float32"), np.arange(10) < 5)
    drawn = charts.reliability(found, label="bars")
    rects = re.findall(
        r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" '
        r'class="(\w+)"',
        drawn,
    )
    assert [kind for *_, kind in rects] == ["bar", "missing", "count"]
    heights = {kind: float(height) for *_, height, kind in rects}
    assert heights["missing"] / heights["bar"] == pytest.approx(0.49 / 0.5, abs=1e-3)
    assert "93.3% to 100.0%: 10 predictions, 50.0% right" in drawn
