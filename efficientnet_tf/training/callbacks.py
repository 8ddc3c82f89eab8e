"""Callbacks for `model.fit`."""

from typing import Any

import keras
import tensorflow as tf

from efficientnet_tf.training.ema import ExponentialMovingAverage


class EMA(keras.callbacks.Callback):
    """Averages weights and batch-norm statistics during `model.fit`.

    Validation during `fit` uses the averages, and the model holds them at the end.
    Callbacks that save the model in between save the raw weights. Keras's `use_ema`
    leaves the batch-norm statistics out.

    Args:
        decay: float in [0, 1), the largest decay; see `ExponentialMovingAverage`. The
            averages follow about 1 / (1 - decay) steps.

    Raises:
        ValueError: in `fit` on several replicas.
    """

    def __init__(self, decay: float = 0.99):
        super().__init__()
        self._decay = decay
        self._averages: ExponentialMovingAverage | None = None
        self._raw: list[Any] = []

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Begins the averages at the weights."""
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            raise ValueError("EMA: allowed on one replica; main.py averages on several")
        self._variables = [v for v in self.model.weights if v.dtype.startswith("float")]
        self._averages = ExponentialMovingAverage(self._variables, decay=self._decay)
        self._update = tf.function(self._averages.update, autograph=False)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Moves the averages towards the weights."""
        self._update(tf.convert_to_tensor(self.model.optimizer.iterations.value))

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Puts the averages into the model."""
        if self._averages is not None:
            self._raw = [tf.identity(v.value) for v in self._variables]
            self._assign(self._averages.averages)

    def on_test_end(self, logs: dict | None = None) -> None:
        """Puts the raw weights back."""
        if self._averages is not None:
            self._assign(self._raw)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Leaves the averages in the model."""
        if self._averages is not None:
            self._assign(self._averages.averages)
            self._averages = None

    def _assign(self, values: list[Any]) -> None:
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)
