"""Gathers the images of many requests into batches; threads predict these."""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


@dataclasses.dataclass
class _Waiting:
    """An image that waits, where its result goes, and when it came."""

    image: Any  # as it was submitted, then as it was prepared
    result: concurrent.futures.Future
    came: float


@dataclasses.dataclass(frozen=True)
class Batch:
    """What a batch that was predicted tells."""

    images: int
    seconds: float  # that `predict` took


class Batcher:
    """Predicts images in batches, the oldest image first.

    Args:
        predict: maps stacked images to an array with a row for each.
        prepare: maps what is submitted to an image as `predict` takes it.
        max_batch: int, most images of a batch, 1 or more.
        window_s: float, seconds that a batch's first image waits for others, 0 or more.
            The time in which the model was busy counts.
        batches: int, batches that are predicted at once, each in a thread of its own.
        spread: is called as `map`, to prepare the images of a batch. Python's own does
            so in the thread of the batch, an executor's in several.
        notice: is called with each `Batch`, in its thread.
    """

    def __init__(
        self,
        predict: Callable[[np.ndarray], np.ndarray],
        prepare: Callable[[Any], np.ndarray],
        *,
        max_batch: int,
        window_s: float,
        batches: int = 1,
        spread: Callable[..., Iterable[bool]] = map,
        notice: Callable[[Batch], None] = lambda batch: None,
    ):
        self._predict = predict
        self._prepare = prepare
        self._spread = spread
        self._max_batch = max_batch
        self._window_s = window_s
        self._notice = notice
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._gathers = threading.Lock()  # one thread at a time
        self._threads = [
            threading.Thread(target=self._run, name=f"model {number}", daemon=True)
            for number in range(batches)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether every thread works."""
        return all(thread.is_alive() for thread in self._threads)

    def submit(self, image: Any) -> concurrent.futures.Future:
        """Puts an image into the queue; cancelling the result takes it out.

        Args:
            image: one image, as `prepare` takes it.

        Returns:
            The image's row of what `predict` returns, or an exception: what `prepare`
            raised for this image, or `predict` for its batch.
        """
        result: concurrent.futures.Future = concurrent.futures.Future()
        self._waiting.put(_Waiting(image, result, time.monotonic()))
        return result

    def close(self) -> None:
        """Predicts what is in the queue, then ends the threads."""
        self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while batch := self._gather():
            wanted = [w for w in batch if w.result.set_running_or_notify_cancel()]
            are_ready = self._spread(self._make_ready, wanted)
            ready = list(itertools.compress(wanted, are_ready))
            if ready:
                self._answer(ready)

    def _gather(self) -> list[_Waiting]:
        """Waits for images; returns none once the batcher is closed."""
        batch: list[_Waiting] = []
        with self._gathers, contextlib.suppress(queue.Empty):
            while len(batch) < self._max_batch:
                one = self._waiting.get(timeout=self._left(batch))
                if one is None:
                    self._waiting.put(None)  # for the next call, in any thread
                    break
                batch.append(one)
        return batch

    def _left(self, batch: list[_Waiting]) -> float | None:
        """Returns how long a batch still waits; None while it has no image."""
        if not batch:
            return None
        return max(0.0, batch[0].came + self._window_s - time.monotonic())

    def _make_ready(self, one: _Waiting) -> bool:
        """Prepares an image; whether the model can take it."""
        try:
            one.image = self._prepare(one.image)
        except Exception as error:
            one.result.set_exception(error)
            return False
        return True

    def _answer(self, batch: list[_Waiting]) -> None:
        began = time.monotonic()
        try:
            rows = self._predict(np.stack([one.image for one in batch]))
        except Exception as error:
            for one in batch:
                one.result.set_exception(error)
            return
        self._notice(Batch(len(batch), time.monotonic() - began))
        for one, row in zip(batch, rows, strict=True):
            one.result.set_result(row)
