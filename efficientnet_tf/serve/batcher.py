"""Gathers the images of many requests into batches, which one thread predicts."""

import concurrent.futures
import dataclasses
import queue
import threading
import time
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class _Waiting:
    """An image that waits, and where its result goes."""

    image: np.ndarray
    result: concurrent.futures.Future


@dataclasses.dataclass(frozen=True)
class Batch:
    """What a batch that was predicted tells."""

    images: int
    seconds: float  # that the model took


class Batcher:
    """Predicts images in batches, in a thread of its own, the oldest image first.

    Args:
        predict: maps stacked images to an array with a row for each.
        max_batch: int, most images of a batch, 1 or more.
        window_s: float, seconds that a batch's first image waits for others, 0 or more.
            Images that came while the model was busy do not wait.
        notice: is called with each `Batch`, in the thread.
    """

    def __init__(
        self,
        predict: Callable[[np.ndarray], np.ndarray],
        *,
        max_batch: int,
        window_s: float,
        notice: Callable[[Batch], None] = lambda batch: None,
    ):
        self._predict = predict
        self._max_batch = max_batch
        self._window_s = window_s
        self._notice = notice
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread works."""
        return self._thread.is_alive()

    def submit(self, image: np.ndarray) -> concurrent.futures.Future:
        """Puts an image into the queue; cancelling the result takes it out.

        Args:
            image: one image, as `predict` takes them stacked.

        Returns:
            The image's row of what `predict` returns, or its exception.
        """
        result: concurrent.futures.Future = concurrent.futures.Future()
        self._waiting.put(_Waiting(image, result))
        return result

    def close(self) -> None:
        """Predicts what is in the queue, then ends the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while batch := self._gather():
            wanted = [w for w in batch if w.result.set_running_or_notify_cancel()]
            if wanted:
                self._answer(wanted)

    def _gather(self) -> list[_Waiting]:
        """Waits for images; returns none once the batcher is closed."""
        first = self._waiting.get()
        if first is None:
            return []
        batch, deadline = [first], time.monotonic() + self._window_s
        while len(batch) < self._max_batch:
            try:
                left = max(0.0, deadline - time.monotonic())
                one = self._waiting.get(timeout=left)
            except queue.Empty:
                break
            if one is None:
                self._waiting.put(None)  # for the next call
                break
            batch.append(one)
        return batch

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
