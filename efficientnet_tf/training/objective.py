"""The objective whose losses a training step differentiates."""

import functools
from collections.abc import Callable, Sequence
from typing import Protocol

import keras
import tensorflow as tf

from efficientnet_tf.training import label_kinds
from efficientnet_tf.training.label_kinds import Batch, LabelKind
from efficientnet_tf.training.settings import Optimisation


class Objective(Protocol):
    """The losses of one replica's share of a batch.

    The trainer calls it in replica context within a gradient tape, and minimises the
    sum of the losses with respect to the model's trainable variables.
    """

    def __call__(self, batch: Batch) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Computes the losses.

        Args:
            batch: "image" uint8 [batch / replicas, height, width, 3] and "label"
                float32 [batch / replicas, classes], the probability of each class.

        Returns:
            Two values: losses by name, float32 scalars whose sums over the replicas are
            the whole batch's losses; and logits, float [batch / replicas, classes].
        """

    def losses(self, logits: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes the losses of logits.

        Args:
            logits: float [batch / replicas, classes].
            labels: float32 [batch / replicas, classes].
        """


class PaperObjective:
    """Cross-entropy of smoothed labels, and L2 outside batch norm (section 5.2).

    Args:
        model: the model to train.
        optimisation: settings, of which it uses `label_smoothing` and `l2`.
        batch_size: int, images of all replicas together.
        replicas: int, number of replicas that share the batch.
        forward: function from images to logits in training mode; None calls the model.
        kind: what labels the images have.
        class_weights: floats [classes] of `LabelKind.class_weights`; None weighs all
            classes alike.
    """

    def __init__(
        self,
        model: keras.Model,
        optimisation: Optimisation,
        *,
        batch_size: int,
        replicas: int,
        forward: Callable[[tf.Tensor], tf.Tensor] | None = None,
        kind: LabelKind = label_kinds.ONE_LABEL,
        class_weights: Sequence[float] | None = None,
    ):
        self._forward = forward or functools.partial(model, training=True)
        self._optimisation = optimisation
        self._batch_size = batch_size
        self._replicas = replicas
        self._kind = kind
        self._class_weights = class_weights
        batch_norm = ("/gamma", "/beta")
        self._decayed = [
            v for v in model.trainable_variables if not v.path.endswith(batch_norm)
        ]

    def __call__(self, batch: Batch) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Computes losses and logits of one replica's share; see `Objective`."""
        logits = self._forward(batch["image"])
        return self.losses(logits, batch["label"]), logits

    def losses(self, logits: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes this replica's share of the batch's mean cross-entropy and of L2.

        Args:
            logits: float [batch / replicas, classes].
            labels: float32 [batch / replicas, classes].
        """
        cross_entropy = self._kind.cross_entropy(
            logits,
            labels,
            smoothing=self._optimisation.label_smoothing,
            weights=self._class_weights,
        )
        losses = {"cross_entropy": tf.reduce_sum(cross_entropy) / self._batch_size}
        if self._optimisation.l2 > 0:
            l2 = tf.add_n([tf.nn.l2_loss(v.value) for v in self._decayed])
            losses["l2"] = self._optimisation.l2 * l2 / self._replicas
        return losses
