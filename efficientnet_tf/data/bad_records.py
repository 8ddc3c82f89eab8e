"""Counts and lists the records of a run that no example can be made of."""

import contextlib
import dataclasses
import sys
import threading
from collections.abc import Callable, Iterator

import tensorflow as tf

from efficientnet_tf import files, label_sets
from efficientnet_tf.data import attempts, faults, placed, tfrecord
from efficientnet_tf.data.settings import Labels

_HELP = "--on_bad_record=skip leaves such records out, and --mode=check lists them all"
_READ_BY = (tf.errors.InvalidArgumentError, tf.errors.DataLossError)
_ERRORS = (*_READ_BY, tf.errors.NotFoundError, tf.errors.UnknownError)


class TooManyError(ValueError):
    """More records cannot be used than the user allows."""


class BadRecords:
    """The records that a run skips.

    TensorFlow's threads note them while batches are read ahead, perhaps some batches
    before the one that would need them. A record counts once in a run.

    Args:
        limit: how many records of a split may be bad: a count, or below 1 a fraction of
            the split's images (rounded down, at least one); 0 allows none.
    """

    def __init__(self, limit: float):
        self._limit = limit
        self._found: dict[str, dict[object, faults.Fault]] = {}
        self._lock = threading.Lock()
        self.stopped: str | None = None

    def reader(self, split: tfrecord.Split) -> placed.Placed:
        """Returns a reader of a split that reads past damage."""
        if self._limit:
            return placed.Placed(split)
        return placed.Placed(split, damaged=self._refuse)

    def note(self, split: tfrecord.Split, labels: Labels) -> attempts.Note:
        """Returns a function that `attempts.examples` calls."""

        def note(path: bytes, record: int, content: bytes) -> None:
            place = placed.place(path, record)
            reason = None
            if place.record is not None:
                reason = placed.damage(place.file).get(place.record)
            reason = reason or faults.reason(split, content, labels)
            self._add(split, faults.Fault(place, reason or "cannot be prepared"))

        return note

    def rows(self) -> list[dict]:
        """Lists the records noted, as plain data."""
        with self._lock:
            return [
                fault.row(name)
                for name, found in self._found.items()
                for fault in found.values()
            ]

    def _add(self, split: tfrecord.Split, fault: faults.Fault) -> None:
        with self._lock:
            found = self._found.setdefault(split.name, {})
            found[fault.place] = fault
            allowed = self._allowed(split)
            if len(found) <= allowed:
                return
            self._stop(
                f"{fault}; {_HELP}"
                if not self._limit
                else f"{fault}. It is bad record {len(found)} of the {split.name} data, "
                f"and bad_record_limit={self._limit:g} allows {allowed}; repair the "
                "data (--mode=check lists what is wrong) or raise the limit"
            )

    def _allowed(self, split: tfrecord.Split) -> int:
        if 0 < self._limit < 1:
            return max(1, int(self._limit * split.images))
        return int(self._limit)

    def _refuse(self, path: str, damage: dict[int, str]) -> None:
        for record, reason in damage.items():
            place = placed.Place(path, record)
            self._stop(f"{faults.Fault(place, reason)}; {_HELP}")

    def _stop(self, message: str) -> None:
        self.stopped = self.stopped or message
        raise TooManyError(message)
