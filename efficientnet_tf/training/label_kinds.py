"""One label an image, or several: the loss and the scores of each kind.

Whatever depends on the kind is here, and in the sections of the report.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from efficientnet_tf.training.tables import LabelTable, Table

Batch = dict[str, tf.Tensor]


class LabelKind(Protocol):
    """The loss and the scores of one kind of labels."""

    @property
    def leading(self) -> str:
        """Name of the score that decides which weights are best."""

    @property
    def whole(self) -> str:
        """Name of the share of images that get exactly the right answer."""

    @property
    def needs_table(self) -> bool:
        """Whether the scores are computed from the rows of all images."""

    def cross_entropy(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        smoothing: float,
        weights: Sequence[float] | None,
    ) -> tf.Tensor:
        """Computes the loss of each image, float32 [batch].

        Args:
            logits: float [batch, classes].
            labels: float32 [batch, classes], probabilities.
            smoothing: float in [0, 1), the setting `label_smoothing`.
            weights: floats [classes], see `class_weights`; None weighs all alike.
        """

    def class_weights(self, counts: Sequence[int], images: int) -> list[float]:
        """Returns the weights that balance the classes.

        Args:
            counts: int [classes], images of each class.
            images: int, all images.
        """

    def step_sums(self, logits: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Sums what tells how well a training step predicts; see `cross_entropy`."""

    def step_scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Returns the training score of such sums over many steps."""

    def sums(self, logits: tf.Tensor, batch: Batch) -> dict[str, tf.Tensor]:
        """Sums the scores of a batch, whose padding counts nothing.

        Args:
            logits: float32 [batch, classes].
            batch: a batch of `data.batches.eval_batches`.

        Returns:
            "examples", and the sums of scores whose means are told; for a vector, its
            largest element is told.
        """

    def rows(self, logits: tf.Tensor, batch: Batch) -> dict[str, tf.Tensor]:
        """Returns what to keep of a batch's predictions; see `sums`."""

    def table(self, rows: Mapping[str, np.ndarray]) -> Table | LabelTable:
        """Makes a table of such rows."""

    def scores_of(self, table: Any) -> dict[str, float]:
        """Returns the scores that are no means over the images."""

    def in_words(self, scores: Mapping[str, Any]) -> str:
        """Tells an evaluation's scores."""


class OneLabel:
    """Each image has one label: softmax, and the share of images that is right."""

    leading = whole = "top_1"
    needs_table = False

    def cross_entropy(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        smoothing: float,
        weights: Sequence[float] | None,
    ) -> tf.Tensor:
        """See `LabelKind`."""
        smoothed = labels * (1 - smoothing) + smoothing / labels.shape[-1]
        loss = tf.nn.softmax_cross_entropy_with_logits(smoothed, logits)
        return loss if weights is None else loss * tf.linalg.matvec(labels, weights)

    def class_weights(self, counts: Sequence[int], images: int) -> list[float]:
        """Returns factors of the images' losses; their mean over the images is 1."""
        classes = sum(1 for count in counts if count)
        return [images / classes / count if count else 0.0 for count in counts]

    def step_sums(self, logits: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `LabelKind`."""
        correct = tf.equal(tf.argmax(logits, -1), tf.argmax(labels, -1))
        correct = tf.cast(correct, tf.float32)
        of = tf.reduce_sum(tf.ones_like(correct))
        return {"hits": tf.reduce_sum(correct), "of": of}

    def step_scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        """See `LabelKind`."""
        return {"top_1": sums["hits"] / sums["of"]}

    def sums(self, logits: tf.Tensor, batch: Batch) -> dict[str, tf.Tensor]:
        """See `LabelKind`."""
        labels, mask = batch["label"], batch["mask"]
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        classes = ranked(logits)
        hits = tf.cast(tf.equal(classes, labels[:, tf.newaxis]), tf.float32)
        hits *= mask[:, tf.newaxis]

        def of_each_class(answers: tf.Tensor) -> tf.Tensor:
            chosen = tf.one_hot(answers, logits.shape[-1]) * mask[:, tf.newaxis]
            return tf.reduce_sum(chosen, 0)

        return {
            "examples": tf.reduce_sum(mask),
            "top_1": tf.reduce_sum(hits[:, 0]),
            "top_5": tf.reduce_sum(hits),
            "loss": tf.reduce_sum(loss * mask),
            "chance": of_each_class(labels),
            "most_predicted": of_each_class(classes[:, 0]),
        }

    def rows(self, logits: tf.Tensor, batch: Batch) -> dict[str, tf.Tensor]:
        """See `LabelKind`."""
        classes = ranked(logits)
        probabilities = tf.gather(
            tf.nn.softmax(logits), tf.maximum(classes, 0), axis=1, batch_dims=1
        )
        return {
            "numbers": batch["number"],
            "labels": batch["label"],
            "classes": classes,
            "probabilities": tf.where(classes < 0, 0.0, probabilities),
        }

    def table(self, rows: Mapping[str, np.ndarray]) -> Table:
        """See `LabelKind`."""
        return Table(**rows)

    def scores_of(self, table: Table) -> dict[str, float]:
        """Returns no score: all are means over the images."""
        return {}

    def in_words(self, scores: Mapping[str, Any]) -> str:
        """See `LabelKind`."""
        return f"top-1 {scores['top_1']:.2%}, top-5 {scores['top_5']:.2%}"


class ManyLabels:
    """An image has any number of labels: sigmoids, and mean average precision."""

    leading = "mean_average_precision"
    whole = "exact_match"
    needs_table = True

    def cross_entropy(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        smoothing: float,
        weights: Sequence[float] | None,
    ) -> tf.Tensor:
        """See `LabelKind`; the mean over the classes, as in Keras and timm."""
        smoothed = labels * (1 - smoothing) + smoothing / 2
        loss = tf.nn.weighted_cross_entropy_with_logits(
            smoothed, logits, tf.constant(1.0 if weights is None else weights)
        )
        return tf.reduce_mean(loss, -1)

    def class_weights(self, counts: Sequence[int], images: int) -> list[float]:
        """Returns factors of the positives' losses, which then weigh as the negatives.

        The factor is 1 where a class has no positives or no negatives.
        """
        balanced = [0 < count < images for count in counts]
        return [
            (images - count) / count if both else 1.0
            for count, both in zip(counts, balanced, strict=True)
        ]

    def step_sums(self, logits: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `LabelKind`."""
        said = tf.cast(logits >= 0, tf.float32)
        true = tf.cast(labels >= 0.5, tf.float32)  # MixUp's are between 0 and 1
        return {
            "hits": 2 * tf.reduce_sum(said * true),
            "of": tf.reduce_sum(said) + tf.reduce_sum(true),
        }

    def step_scores(self, sums: Mapping[str, float]) -> dict[str, float]:
        """See `LabelKind`."""
        return {"f1": sums["hits"] / max(sums["of"], 1.0)}

    def sums(self, logits: tf.Tensor, batch: Batch) -> dict[str, tf.Tensor]:
        """See `LabelKind`."""
        loss = self.cross_entropy(logits, batch["label"], smoothing=0.0, weights=None)
        return {
            "examples": tf.reduce_sum(batch["mask"]),
            "loss": tf.reduce_sum(loss * batch["mask"]),
        }

    def rows(self, logits: tf.Tensor, batch: Batch) -> dict[str, tf.Tensor]:
        """See `LabelKind`."""
        finite = tf.reduce_all(tf.math.is_finite(logits), axis=-1, keepdims=True)
        return {
            "numbers": batch["number"],
            "labels": batch["label"],  # as floats: bools cannot be gathered
            "logits": tf.where(finite, logits, logits.dtype.min),
        }

    def table(self, rows: Mapping[str, np.ndarray]) -> LabelTable:
        """See `LabelKind`."""
        return LabelTable(rows["numbers"], rows["labels"] > 0.5, rows["logits"])

    def scores_of(self, table: LabelTable) -> dict[str, float]:
        """See `LabelKind`."""
        return {
            "mean_average_precision": table.mean_average_precision,
            "f1": table.f1,
            "exact_match": float(table.correct.mean()),
            "chance": table.chance,
            "most_predicted": table.most_predicted,
        }

    def in_words(self, scores: Mapping[str, Any]) -> str:
        """See `LabelKind`."""
        return (
            f"mean average precision {scores['mean_average_precision']:.2%}, "
            f"F1 {scores['f1']:.2%}, exact match {scores['exact_match']:.2%}"
        )


ONE_LABEL, MANY_LABELS = OneLabel(), ManyLabels()


def of(multi_label: bool) -> LabelKind:
    """Returns the kind that the setting `multi_label` means."""
    return MANY_LABELS if multi_label else ONE_LABEL


def ranked(logits: tf.Tensor) -> tf.Tensor:
    """Returns the five likeliest classes, or all if fewer, int32 [batch, 5].

    Classes are -1 where logits are not finite: their ranks mean nothing.

    Args:
        logits: float32 [batch, classes].
    """
    classes = tf.math.top_k(logits, k=min(5, logits.shape[-1])).indices
    finite = tf.reduce_all(tf.math.is_finite(logits), axis=-1, keepdims=True)
    return tf.where(finite, classes, -1)
