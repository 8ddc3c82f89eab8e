"""Reports of progress: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Self, TextIO, TypeVar

import tqdm

T = TypeVar("T")
_FEW = 100  # images that take no time worth a report
_SECONDS_BETWEEN_LINES = 10


class Reporter:
    """Prints lines, around a bar if the stream is a terminal; a context manager.

    Args:
        stream: stream for the reports; None is stderr, as stdout is for results.
        has_bar: whether a terminal gets a bar.
        **bar: keyword arguments of `tqdm.tqdm` for the bar.
    """

    def __init__(self, stream: TextIO | None, *, has_bar: bool = True, **bar: Any):
        self._stream = stream or sys.stderr
        self._last_line = -float("inf")
        self._bar = None
        if has_bar and self._stream.isatty():
            self._bar = tqdm.tqdm(file=self._stream, dynamic_ncols=True, **bar)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def say(self, text: str, *, stream: TextIO | None = None) -> None:
        """Prints a line of its own, which does not disturb the bar.

        Args:
            text: the line.
            stream: stream to print to; None is that of the reports.
        """
        stream = stream or self._stream
        if self._bar is not None:
            self._bar.write(text, file=stream)
        else:
            print(text, file=stream, flush=True)

    def line_is_due(self, now: float, *, ended: bool) -> bool:
        """Whether seconds have passed since the last plain line, or the work has ended.

        Args:
            now: float, `time.monotonic()`.
            ended: whether the line would be the last one.
        """
        if not ended and now - self._last_line < _SECONDS_BETWEEN_LINES:
            return False
        self._last_line = now
        return True


class Images(Reporter):
    """Counts images.

    Args:
        total: int, number of images; up to 100 are not reported.
        stream: stream for the reports; None is stderr, as stdout is for results.
    """

    def __init__(self, total: int, *, stream: TextIO | None = None):
        super().__init__(stream, has_bar=total > _FEW, total=total, unit="image")
        self._total, self._done = total, 0
        self._began = self._last_line = time.monotonic()

    def count(self, results: Iterable[T]) -> Iterator[T]:
        """Yields results, one for each image, and reports how many there were."""
        for result in results:
            yield result
            self.add(1)

    def add(self, images: int) -> None:
        """Reports that more images are done.

        Args:
            images: int, their number.
        """
        self._done += images
        if self._bar is not None:
            self._bar.update(images)
        elif self._total > _FEW:
            self._report(time.monotonic())

    def _report(self, now: float) -> None:
        if self.line_is_due(now, ended=self._done == self._total):
            speed = self._done / max(now - self._began, 1e-9)
            self.say(f"{self._done}/{self._total} images, {speed:.0f} images/s")
