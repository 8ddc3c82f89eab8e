"""Gathers the images of many requests into batches; threads predict these."""

import asyncio
import contextlib
import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

# A row or an image; or the reason why the image is refused; or an error.
Answer: TypeAlias = np.ndarray | str | Exception


@dataclasses.dataclass(frozen=True)
class _Waiting:
    """An image that waits, where its result goes, and when it came."""

    image: Any  # as it was submitted
    result: asyncio.Future
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
        prepare: maps what was submitted for a batch to images as `predict` takes them;
            a reason in place of an image refuses it.
        max_batch: int, most images of a batch, 1 or more.
        window_s: float, seconds that a batch's first image waits for others, 0 or more.
            The time in which the model was busy counts.
        batches: int, batches that are predicted at once, each in a thread of its own.
        notice: is called with each `Batch`, in its thread.
    """

    def __init__(
        self,
        predict: Callable[[np.ndarray], np.ndarray],
        prepare: Callable[[list[Any]], Sequence[np.ndarray | str]],
        *,
        max_batch: int,
        window_s: float,
        batches: int = 1,
        notice: Callable[[Batch], None] = lambda batch: None,
    ):
        self._predict = predict
        self._prepare = prepare
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

    def submit(self, image: Any) -> asyncio.Future:
        """Puts an image into the queue; cancelling the result takes it out.

        Args:
            image: one image, as `prepare` takes it.

        Returns:
            The image's row of what `predict` returns, or the reason why `prepare`
            refused it; or an exception: what `prepare` raised for this image, or
            `predict` for its batch. It belongs to the running event loop, which has to
            be the same for all images.
        """
        result = asyncio.get_running_loop().create_future()
        self._waiting.put(_Waiting(image, result, time.monotonic()))
        return result

    def close(self) -> None:
        """Predicts what is in the queue, then ends the threads."""
        self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while batch := self._gather():
            wanted = [one for one in batch if not one.result.cancelled()]
            if wanted:
                self._answer(wanted)

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

    def _answer(self, batch: list[_Waiting]) -> None:
        """Gives each image its answer; the event loop wakes up once for all."""
        try:
            answers = self._answers([one.image for one in batch])
        except Exception as error:
            answers = [error] * len(batch)
        loop = batch[0].result.get_loop()
        with contextlib.suppress(RuntimeError):  # a closed loop: nobody waits
            loop.call_soon_threadsafe(_deliver, batch, answers)

    def _answers(self, images: list[Any]) -> list[Answer]:
        """Returns each image's row, or why it has none."""
        answers = self._prepared(images)
        ready = [n for n, one in enumerate(answers) if isinstance(one, np.ndarray)]
        if ready:
            rows = self._timed(np.stack([answers[n] for n in ready]))
            for n, row in zip(ready, rows, strict=True):
                answers[n] = row
        return answers

    def _prepared(self, images: list[Any]) -> list[Answer]:
        """Prepares images; one that makes `prepare` fail does so alone."""
        try:
            return list(self._prepare(images))
        except Exception as error:
            if len(images) == 1:
                return [error]
        return [self._prepared([image])[0] for image in images]

    def _timed(self, batch: np.ndarray) -> np.ndarray:
        began = time.monotonic()
        rows = self._predict(batch)
        self._notice(Batch(len(batch), time.monotonic() - began))
        return rows


def _deliver(batch: list[_Waiting], answers: Sequence[Answer]) -> None:
    for one, answer in zip(batch, answers, strict=True):
        if one.result.cancelled():
            continue
        if isinstance(answer, Exception):
            one.result.set_exception(answer)
        else:
            one.result.set_result(answer)
