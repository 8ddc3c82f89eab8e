"""Shows a run's progress: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Self, TextIO

import tqdm

_SECONDS_BETWEEN_LINES = 10


class Progress:
    """Reports steps; use as a context manager.

    Args:
        step: int, the run's current step.
        total: int, the run's last step.
        steps_per_epoch: float, steps in an epoch, to show epochs.
        batch_size: int, images of a step, to compute the time left.
        silent: whether to print nothing, because another host prints.
        stream: stream to write to; None is stderr, as stdout is for results.
    """

    def __init__(
        self,
        *,
        step: int,
        total: int,
        steps_per_epoch: float,
        batch_size: int,
        silent: bool = False,
        stream: TextIO | None = None,
    ):
        self._silent = silent
        self._stream = stream or sys.stderr
        self._total = total
        self._steps_per_epoch = steps_per_epoch
        self._batch_size = batch_size
        self._last_line = -float("inf")
        self._bar = None
        if self._stream.isatty() and not silent:
            self._bar = tqdm.tqdm(
                total=total,
                initial=step,
                unit="step",
                file=self._stream,
                dynamic_ncols=True,
                bar_format="{percentage:3.0f}%|{bar}| {postfix}",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, step: int, metrics: dict[str, float]) -> None:
        """Shows a loop's last step and its metrics.

        Args:
            step: int, the loop's last step.
            metrics: the loop's means and its speed, by name.
        """
        text = (
            f"step {step}/{self._total}  epoch {step / self._steps_per_epoch:.1f}  "
            f"loss {metrics['loss']:.4f}  lr {metrics['learning_rate']:.2e}  "
            f"{self._speed(step, metrics)}"
        )
        if self._bar is not None:
            self._bar.n = step
            self._bar.set_postfix_str(text)
        elif self._line_is_due(step):
            self.say(text)

    def _speed(self, step: int, metrics: dict[str, float]) -> str:
        """Returns images a second and the time left; the first loop has no speed."""
        speed = metrics.get("images_per_second")
        if speed is None:
            return f"first loop {metrics['first_loop_seconds']:.0f} s, with compilation"
        left = (self._total - step) * self._batch_size / speed
        return f"{speed:.0f} images/s  left {_duration(left)}"

    def say(self, text: str) -> None:
        """Prints a line of its own."""
        if self._silent:
            return
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)

    def _line_is_due(self, step: int) -> bool:
        now = time.monotonic()
        if step < self._total and now - self._last_line < _SECONDS_BETWEEN_LINES:
            return False
        self._last_line = now
        return True


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
