"""A report's numbers, against scikit-learn, exact arithmetic and plain loops."""

import decimal
import fractions
import math

import numpy as np
import pytest
import report_support
from sklearn import metrics as sklearn_metrics

from efficientnet_tf.reports import metrics


def exact_wilson(correct: int, total: int) -> list[float]:
    """The two shares p with (k/n - p)^2 = z^2 p (1 - p) / n, by 50 digits."""
    with decimal.localcontext() as context:
        context.prec = 50
        z = decimal.Decimal("1.959963984540054235524594430520551527955")
        k, n = decimal.Decimal(correct), decimal.Decimal(total)
        # The quadratic equation a p^2 - b p + c = 0.
        a, b, c = n + z * z, 2 * k + z * z, k * k / n
        root = (b * b - 4 * a * c).sqrt()
        return [float((b - root) / (2 * a)), float((b + root) / (2 * a))]


@pytest.mark.parametrize(
    ("correct", "total"),
    [(0, 1), (1, 1), (0, 10), (10, 10), (5, 10), (81, 263), (359, 360), (1, 50_000)],
)
def test_wilson_solves_its_equation(correct, total):
    expected = exact_wilson(correct, total)
    assert metrics.wilson(correct, total) == pytest.approx(expected, abs=1e-14)


def test_wilson_gives_published_values():
    # Newcombe, Statistics in Medicine 17 (1998), 857, table I, method 3.
    for (correct, total), expected in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert metrics.wilson(correct, total) == pytest.approx(expected, abs=5e-5)
    assert metrics.wilson(0, 20)[0] == 0 and metrics.wilson(20, 20)[1] == 1


@pytest.mark.parametrize("classes", [2, 7, 40])
def test_confusion_and_scores_are_scikit_learns(classes):
    found = report_support.predictions(300, classes, seed=classes, skill=2)
    # The last class has no image, and the first is never predicted.
    labels = np.where(found.labels == classes - 1, 0, found.labels)
    predicted = np.where(found.predicted == 0, 1, found.predicted)
    names = range(classes)
    np.testing.assert_array_equal(
        metrics.confusion(labels, predicted, classes),
        sklearn_metrics.confusion_matrix(labels, predicted, labels=names),
    )
    each = metrics.class_scores(labels, predicted, classes)
    expected = sklearn_metrics.precision_recall_fscore_support(
        labels, predicted, labels=names, zero_division=np.nan
    )
    for ours, theirs in zip(
        (each.precision, each.recall, each.f1, each.images), expected, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert np.isnan(each.precision[0]) and np.isnan(each.recall[-1])


def test_pairs_are_the_matrix_without_its_diagonal():
    found = report_support.predictions(500, 12, skill=1)
    matrix = metrics.confusion(found.labels, found.predicted, 12)
    pairs = metrics.confused_pairs(found.labels, found.predicted)
    np.fill_diagonal(matrix, 0)
    assert sum(count for *_, count in pairs) == matrix.sum()
    assert all(matrix[true, taken] == count for true, taken, count in pairs)
    assert [count for *_, count in pairs] == sorted(matrix[matrix > 0])[::-1]
    # Equal counts are in the order of their classes, so that pages are repeatable.
    assert pairs == sorted(pairs, key=lambda pair: (-pair[2], *pair[:2]))


def test_images_without_a_prediction_are_wrong_and_in_no_cell():
    labels, predicted = np.array([0, 0, 1]), np.array([0, -1, -1])
    assert metrics.confusion(labels, predicted, 2).tolist() == [[1, 0], [0, 0]]
    assert metrics.confused_pairs(labels, predicted) == []
    each = metrics.class_scores(labels, predicted, 2)
    assert each.recall.tolist() == [0.5, 0]
    assert each.predicted.tolist() == [1, 0]


def calibration_error(probabilities, correct) -> float:
    """The error by a loop over bins, in exact fractions."""
    total = fractions.Fraction(0)
    exact = [fractions.Fraction(float(p)) for p in probabilities]
    for i in range(15):
        low, high = fractions.Fraction(i, 15), fractions.Fraction(i + 1, 15)
        inside = [
            (p, bool(right))
            for p, right in zip(exact, correct, strict=True)
            if low < p <= high or (i == 0 and p == 0)
        ]
        if inside:
            confidence = sum(p for p, _ in inside) / len(inside)
            accuracy = fractions.Fraction(sum(r for _, r in inside), len(inside))
            total += len(inside) * abs(confidence - accuracy)
    return float(total / len(exact))


@pytest.mark.parametrize("seed", range(5))
def test_calibration_error_is_that_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.random(400, "float32") ** (seed + 1)
    correct = rng.random(400) < probabilities**2
    found = metrics.calibration(probabilities, correct)
    assert found.error == pytest.approx(calibration_error(probabilities, correct))
    assert found.counts.sum() == 400


def test_calibration_of_edges():
    probabilities = np.array([0, 1, 1, 0.5], "float32")
    found = metrics.calibration(probabilities, np.array([False, True, False, True]))
    assert (found.counts > 0).nonzero()[0].tolist() == [0, 7, 14]
    assert found.accuracy[[0, 7, 14]].tolist() == [0, 1, 0.5]
    # One of four is off by a half, two by a half together.
    assert found.error == pytest.approx((0 + 0.5 + 2 * 0.5) / 4)
    assert math.isnan(found.accuracy[3])
    # The upper end of a bin belongs to it.
    edges = np.linspace(0, 1, 16)
    found = metrics.calibration(edges, np.ones(16, bool))
    assert found.counts.tolist() == [2] + [1] * 14
