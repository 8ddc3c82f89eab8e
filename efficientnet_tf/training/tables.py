"""Tables of what an evaluation predicts: a row for each image, in NumPy."""

import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True)
class Table:
    """Predictions of one label an image, in the order of their numbers; 48 bytes each.

    Args:
        numbers: int32 [images], see `data.batches.eval_batches`.
        labels: int32 [images], the true outputs, from 0 as the model counts.
        classes: int32 [images, 5], the likeliest outputs, or all if fewer; -1 where the
            model answered no finite number.
        probabilities: float32 [images, 5], their probabilities; 0 where they are -1.
    """

    numbers: np.ndarray
    labels: np.ndarray
    classes: np.ndarray
    probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """The likeliest output of each image, int32 [images]."""
        return self.classes[:, 0]

    @property
    def confidence(self) -> np.ndarray:
        """Its probability, float32 [images]."""
        return self.probabilities[:, 0]

    @property
    def known(self) -> np.ndarray:
        """Whether the model answered finite numbers, bool [images]."""
        return self.predicted >= 0

    @property
    def correct(self) -> np.ndarray:
        """Whether it is the true one, bool [images]; their mean is "top_1"."""
        return self.predicted == self.labels


@dataclasses.dataclass(frozen=True)
class LabelTable:
    """Predictions of several labels an image; 5 bytes for each image and label.

    Args:
        numbers: int32 [images], see `data.batches.eval_batches`.
        labels: bool [images, classes], the true labels.
        logits: float32 [images, classes]; the least float in all of an image's where
            the model answered no finite number.
    """

    numbers: np.ndarray
    labels: np.ndarray
    logits: np.ndarray

    @functools.cached_property
    def probabilities(self) -> np.ndarray:
        """The probability of each label, float32 [images, classes]."""
        return 0.5 + 0.5 * np.tanh(0.5 * self.logits)

    @property
    def predicted(self) -> np.ndarray:
        """The labels with a probability of at least 0.5, bool [images, classes]."""
        return self.logits >= 0

    @property
    def known(self) -> np.ndarray:
        """Whether the model answered finite numbers, bool [images]."""
        return (self.logits > np.finfo("float32").min).all(1)

    @property
    def correct(self) -> np.ndarray:
        """Whether an image has exactly its labels, bool [images]."""
        return (self.predicted == self.labels).all(1)

    @property
    def f1(self) -> float:
        """F1 over all images and labels; 0 where there is nothing to find or found."""
        both = int((self.labels & self.predicted).sum())
        either = int(self.labels.sum()) + int(self.predicted.sum())
        return 2 * both / max(either, 1)

    @functools.cached_property
    def average_precision(self) -> np.ndarray:
        """Average precision of each label, float [classes]; NaN where no image has it.

        That is the mean over its images of the precision among all images that are as
        likely or likelier.
        """
        # Imported here: it takes a second, which other runs are spared.
        from sklearn import metrics

        found = np.full(self.labels.shape[1], np.nan)
        for label in np.flatnonzero(self.labels.any(0)):
            found[label] = metrics.average_precision_score(
                self.labels[:, label], self.logits[:, label]
            )
        return found

    @property
    def mean_average_precision(self) -> float:
        """Its mean over the labels that some image has; 0 where none has any."""
        known = self.average_precision[~np.isnan(self.average_precision)]
        return float(known.mean()) if known.size else 0.0

    @property
    def chance(self) -> float:
        """The mean average precision of one answer for all images."""
        shares = self.labels.mean(0)
        return float(shares[shares > 0].mean()) if shares.any() else 0.0

    @property
    def most_predicted(self) -> float:
        """The share of the images that get the most frequent prediction."""
        _, counts = np.unique(self.predicted, axis=0, return_counts=True)
        return float(counts.max()) / len(self.labels)
