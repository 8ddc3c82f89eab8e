"""Keeps what an evaluation predicts for each image, for the report of a run."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.data import tfrecord
from efficientnet_tf.training import label_kinds, steps
from efficientnet_tf.training.label_kinds import Batch, LabelKind


class Predictions:
    """Collects the rows of one evaluation, which a `Predictor` fills in.

    Attributes:
        kind: what labels the images have.
        split: the images that were evaluated.
        shards: int, hosts that read them.
        seconds: float, time from the first batch's request to the last one's scores.
        images_per_second: float, speed without the first batch, which takes tracing and
            compiling; None if there was one batch alone.
    """

    kind: LabelKind = label_kinds.ONE_LABEL
    split: tfrecord.Split
    shards: int

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forgets an earlier evaluation, and starts the clock."""
        self._parts: list[Any] = []
        self._times = [time.monotonic()]

    def add(self, rows: Mapping[str, tf.Tensor]) -> None:
        """Adds the rows of a batch, without its padding."""
        arrays = {name: tensor.numpy() for name, tensor in rows.items()}
        real = arrays["numbers"] >= 0
        rows = {name: array[real] for name, array in arrays.items()}
        self._parts.append(self.kind.table(rows))
        self._times.append(time.monotonic())

    @property
    def are_there(self) -> bool:
        """Whether an evaluation has filled it in."""
        return bool(self._parts)

    def table(self) -> Any:
        """Joins all rows to one table of the kind."""
        kind = type(self._parts[0])
        names = [field.name for field in dataclasses.fields(kind)]
        joined = {
            name: np.concatenate([getattr(part, name) for part in self._parts])
            for name in names
        }
        order = joined["numbers"].argsort()
        return kind(**{name: array[order] for name, array in joined.items()})

    @property
    def seconds(self) -> float:
        """See the class."""
        return self._times[-1] - self._times[0]

    @property
    def images_per_second(self) -> float | None:
        """See the class."""
        later = sum(len(part.numbers) for part in self._parts[1:])
        return later / (self._times[-1] - self._times[1]) if later else None


class Predictor(steps.Evaluator):
    """An evaluator that keeps what it predicts.

    Args:
        *arguments: those of `steps.Evaluator`.
        strategy: the strategy that the model was built under.
        predictions: gets the rows, on every host.
        kind: what labels the images have.
        **settings: further keyword arguments of `steps.Evaluator`.
    """

    def __init__(
        self,
        *arguments: Any,
        strategy: tf.distribute.Strategy,
        predictions: Predictions,
        kind: LabelKind = label_kinds.ONE_LABEL,
        **settings: Any,
    ):
        super().__init__(*arguments, strategy=strategy, kind=kind, **settings)
        predictions.kind = kind
        self._gather = strategy.gather
        self._run = strategy.run
        self._predictions = predictions

    def eval_begin(self) -> dict[str, float]:
        """See `steps.Evaluator.eval_begin`."""
        self._predictions.begin()
        return super().eval_begin()

    def eval_step(self, iterator: Any) -> dict[str, Any]:
        """Sums a batch's scores and gathers its rows from all replicas of all hosts."""
        sums, rows = self._run(self.replica_predictions, args=(next(iterator),))
        gathered = {name: self._gather(value, axis=0) for name, value in rows.items()}
        return self.total(sums) | {"rows": gathered}

    def eval_reduce(self, state: Any, step_outputs: Any) -> dict[str, float]:
        """See `steps.Evaluator.eval_reduce`."""
        sums = {name: v for name, v in step_outputs.items() if name != "rows"}
        total = super().eval_reduce(state, sums)
        self._predictions.add(step_outputs["rows"])
        return total

    def eval_end(self, sums: Any) -> dict[str, float]:
        """See `steps.Evaluator.eval_end`; adds the scores that need all rows."""
        scores = super().eval_end(sums)
        if self._kind.needs_table:
            scores |= self._kind.scores_of(self._predictions.table())
        return scores

    def replica_predictions(
        self, batch: Batch
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Returns sums and rows of one replica's share of a batch."""
        logits = self.logits(batch["image"])
        return self._kind.sums(logits, batch), self._kind.rows(logits, batch)
