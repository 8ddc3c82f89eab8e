"""Numbers of a report, from the true and the predicted classes of each image."""

import dataclasses
import math

import numpy as np

from efficientnet_tf.training.tables import LabelTable, Table

Z_95 = 1.959963984540054  # 97.5% of a normal distribution lie below
BINS = 15  # of the calibration, as in Guo et al., arXiv 1706.04599


def wilson(correct: int, total: int) -> tuple[float, float]:
    """Returns the 95% interval of a share by Wilson's score.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209.

    Args:
        correct: int, images that are right.
        total: int from 1, all images.

    Returns:
        Lower and upper end, from 0 to 1.
    """
    share, square = correct / total, Z_95**2 / total
    middle = share + square / 2
    half = math.sqrt(square * (share * (1 - share) + square / 4))
    low, high = (middle - half) / (1 + square), (middle + half) / (1 + square)
    # The ends of these two are exact; rounding would miss them.
    return 0.0 if correct == 0 else low, 1.0 if correct == total else high


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts the images of each pair of classes.

    Args:
        labels: int [images], true classes.
        predicted: int [images], predicted classes; those with -1 are left out.
        classes: int, number of classes.

    Returns:
        int64 [classes, classes]: true classes in rows, predicted ones in columns.
    """
    known = predicted >= 0
    pairs = labels[known].astype("int64") * classes + predicted[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def confused_pairs(
    labels: np.ndarray, predicted: np.ndarray
) -> list[tuple[int, int, int]]:
    """Lists pairs of true and wrongly predicted class with their images, most first.

    Args:
        labels: int [images], true classes.
        predicted: int [images], predicted classes; those with -1 are left out.
    """
    wrong = (predicted != labels) & (predicted >= 0)
    pairs, counts = np.unique(
        np.stack([labels[wrong], predicted[wrong]], axis=1), axis=0, return_counts=True
    )
    order = np.argsort(-counts, kind="stable")
    return [
        (true, taken, count)
        for (true, taken), count in zip(
            pairs[order].tolist(), counts[order].tolist(), strict=True
        )
    ]


@dataclasses.dataclass(frozen=True)
class ClassScores:
    """Scores of each class; NaN where they are not defined.

    Args:
        images: int64 [classes], images of the class.
        predicted: int64 [classes], images that were taken for it.
        correct: int64 [classes], images of the class that were taken for it.
    """

    images: np.ndarray
    predicted: np.ndarray
    correct: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """Share of the images taken for the class that are of it."""
        return _ratio(self.correct, self.predicted)

    @property
    def recall(self) -> np.ndarray:
        """Share of the class's images that were taken for it."""
        return _ratio(self.correct, self.images)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall."""
        return _ratio(2 * self.correct, self.images + self.predicted)


def class_scores(
    labels: np.ndarray, predicted: np.ndarray, classes: int
) -> ClassScores:
    """Counts the images of each class; see `confusion` for the arguments."""
    counted = (labels, predicted[predicted >= 0], labels[labels == predicted])
    return ClassScores(*(np.bincount(each, minlength=classes) for each in counted))


def scores_of(found: Table | LabelTable, classes: int) -> ClassScores:
    """Counts the images of each class in a table of predictions."""
    if isinstance(found, LabelTable):
        return label_scores(found.labels, found.predicted)
    return class_scores(found.labels, found.predicted, classes)


def label_scores(labels: np.ndarray, predicted: np.ndarray) -> ClassScores:
    """Counts the images of each label, where an image may have several.

    Args:
        labels: bool [images, classes], true labels.
        predicted: bool [images, classes], predicted ones.
    """
    return ClassScores(*(a.sum(0) for a in (labels, predicted, labels & predicted)))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    nothing = np.full(len(whole), np.nan)
    return np.divide(part, whole, out=nothing, where=whole > 0)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How often predictions of one probability are right, in bins of equal width.

    Args:
        counts: int64 [bins], predictions in each bin; its upper end belongs to it.
        confidence: float [bins], their mean probability; NaN where there are none.
        accuracy: float [bins], the share that is right; NaN where there are none.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: the mean gap, weighted by the predictions."""
        gaps = np.abs(self.confidence - self.accuracy)[self.counts > 0]
        weights = self.counts[self.counts > 0]
        return float((gaps * weights).sum() / weights.sum())


def calibration(probabilities: np.ndarray, correct: np.ndarray) -> Calibration:
    """Sorts predictions into `BINS` bins by their probability.

    Args:
        probabilities: float [predictions], such as that of each image's predicted
            class, from 0 to 1.
        correct: bool [predictions].
    """
    values = probabilities.astype("float64")
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1), values, side="left") - 1
    bins = np.clip(bins, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    sums = (np.bincount(bins, part, BINS) for part in (values, correct))
    confidence, accuracy = (_ratio(total, counts) for total in sums)
    return Calibration(counts, confidence, accuracy)
