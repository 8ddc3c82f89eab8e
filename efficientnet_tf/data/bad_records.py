"""Counts and lists the records of a run that no example can be made of."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

import tensorflow as tf

from efficientnet_tf import files
from efficientnet_tf.data import attempts, faults, placed, tfrecord
from efficientnet_tf.data.settings import Labels

_LONG = 5  # seconds
_HELP = "on_bad_record=skip leaves such records out, --mode=check lists them all"
# What operations raise that read, parse, check or decode; a Python function's error
# arrives as one of them.
_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.NotFoundError,
    tf.errors.UnimplementedError,
    tf.errors.UnknownError,
)


class TooManyError(ValueError):
    """More records cannot be used than the user allows."""


class BadRecords:
    """The records that a run skips.

    TensorFlow's threads note them while batches are read ahead, perhaps some batches
    before the one that would need them. A record counts once in a run.

    Args:
        limit: how many records of a split may be bad: a count, or below 1 a fraction of
            the split's images (rounded down, at least one); 0 allows none, None all.
        ends_at_damage: whether a file with a damaged record ends the reading when it is
            opened: a shuffled record may come much later.

    Attributes:
        stopped: the line for the user once there were too many, else None.
    """

    def __init__(self, limit: float | None, *, ends_at_damage: bool = False):
        self._limit = limit
        self._ends_at_damage = ends_at_damage
        self._found: dict[str, dict[object, faults.Fault]] = {}
        self._lock = threading.Lock()
        self.stopped: str | None = None

    def reader(self, split: tfrecord.Split) -> placed.Placed:
        """Returns a reader of a split that reads past damage."""
        if self._ends_at_damage:
            return placed.Placed(split, damaged=self._refuse)
        return placed.Placed(split)

    def note(self, split: tfrecord.Split, labels: Labels) -> attempts.Note:
        """Returns a function that `attempts.examples` calls."""

        def note(path: bytes, record: int, content: bytes) -> None:
            place = placed.place(path, record)
            if place in self._found.get(split.name, {}):
                return
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
            if allowed is None or len(found) <= allowed:
                return
            if self._limit == 0:
                self._stop(f"{fault}; {_HELP}")
            self._stop(
                f"{fault}. It is bad record {len(found)} of the {split.name} data, and "
                f"bad_record_limit={self._limit:g} allows {allowed}; repair the data "
                "(--mode=check lists what is wrong) or raise the limit"
            )

    def _allowed(self, split: tfrecord.Split) -> int | None:
        if self._limit is None:
            return None
        if 0 < self._limit < 1:
            return max(1, int(self._limit * split.images))
        return int(self._limit)

    def refuse_batch(self) -> bool:
        """Ends the run where a training batch has no example at all."""
        worst = self.rows()[-1:]
        self._stop(
            "all records of a training batch are bad"
            + "".join(f", as {row['file']}: {row['reason']}" for row in worst)
            + "; repair the data (--mode=check lists what is wrong)"
        )
        return False

    def _refuse(self, path: str, damage: dict[int, str]) -> None:
        for record, reason in damage.items():
            place = placed.Place(path, record)
            self._stop(f"{faults.Fault(place, reason)}; {_HELP}")

    def _stop(self, message: str) -> NoReturn:
        self.stopped = self.stopped or message
        raise TooManyError(message)


@contextlib.contextmanager
def named(
    bad: BadRecords | None,
    again: Callable[[BadRecords], Iterable[tf.data.Dataset]],
) -> Iterator[None]:
    """Replaces TensorFlow's error about a record by one line that names the record.

    Args:
        bad: the records that the run skips; None where it stops at the first one.
        again: returns datasets that read once more what was read when the error came,
            with `BadRecords` that stop at the first bad record.

    Raises:
        ValueError: naming file, record and reason.
    """
    try:
        yield
    except _ERRORS as error:
        if bad is not None and bad.stopped:
            raise ValueError(bad.stopped) from None
        is_of_data = "Iterator" in str(error)  # which TensorFlow names
        if files.why_refused(error) or not is_of_data:
            raise
        if bad is None:
            is_damage = isinstance(error, tf.errors.DataLossError)
            first = BadRecords(limit=0, ends_at_damage=is_damage)
            with _announced("searching the record that cannot be used"):
                read_all(again(first), first)
        raise ValueError(f"the data cannot be read: {files.reason(error)}") from error


@contextlib.contextmanager
def _announced(work: str) -> Iterator[None]:
    """Says what is being done if it takes long."""
    timer = threading.Timer(_LONG, print, [f"{work} ..."], {"file": sys.stderr})
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def read_all(datasets: Iterable[tf.data.Dataset], bad: BadRecords) -> None:
    """Reads datasets to their ends; raises ValueError if the records end that."""
    try:
        for dataset in datasets:
            for _ in dataset:
                pass
    except tf.errors.OpError:
        if not bad.stopped:
            raise
        raise ValueError(bad.stopped) from None
