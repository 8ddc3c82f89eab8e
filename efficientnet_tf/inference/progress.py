"""Shows how many images are done: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Self, TextIO, TypeVar

import tqdm

T = TypeVar("T")
_FEW = 100  # images that take no time worth a report
_SECONDS_BETWEEN_LINES = 10


class Progress:
    """Counts images; use as a context manager.

    Args:
        total: int, number of images; up to 100 are not reported.
        stream: stream for the reports; None is stderr, as stdout is for results.
    """

    def __init__(self, total: int, *, stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self._total = total
        self._began = self._reported = time.monotonic()
        self._bar = None
        if total > _FEW and self._stream.isatty():
            self._bar = tqdm.tqdm(
                total=total, unit="image", file=self._stream, dynamic_ncols=True
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def count(self, results: Iterable[T]) -> Iterator[T]:
        """Yields results, one for each image, and reports how many there were."""
        for done, result in enumerate(results, start=1):
            yield result
            if self._bar is not None:
                self._bar.update()
            elif self._total > _FEW:
                self._report(done)

    def _report(self, done: int) -> None:
        now = time.monotonic()
        is_due = now - self._reported > _SECONDS_BETWEEN_LINES or done == self._total
        if is_due:
            self._reported = now
            speed = done / max(now - self._began, 1e-9)
            self.say(f"{done}/{self._total} images, {speed:.0f} images/s")

    def say(self, text: str, *, stream: TextIO | None = None) -> None:
        """Prints a line that does not disturb the bar.

        Args:
            text: the line.
            stream: stream to print to; None is that of the reports.
        """
        stream = stream or self._stream
        if self._bar is not None:
            self._bar.write(text, file=stream)
        else:
            print(text, file=stream, flush=True)
