"""Shows a run's progress: its steps, losses and speed."""

import time
from typing import TextIO

from efficientnet_tf import progress


class Progress(progress.Reporter):
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
        super().__init__(
            stream,
            has_bar=not silent,
            total=total,
            initial=step,
            unit="step",
            bar_format="{percentage:3.0f}%|{bar}| {postfix}",
        )
        self._silent = silent
        self._total = total
        self._steps_per_epoch = steps_per_epoch
        self._batch_size = batch_size

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
        elif self.line_is_due(time.monotonic(), ended=step >= self._total):
            self.say(text)

    def _speed(self, step: int, metrics: dict[str, float]) -> str:
        """Returns images a second and the time left; the first loop has no speed."""
        speed = metrics.get("images_per_second")
        if speed is None:
            return f"first loop {metrics['first_loop_seconds']:.0f} s, with compilation"
        left = (self._total - step) * self._batch_size / speed
        return f"{speed:.0f} images/s  left {_duration(left)}"

    def say(self, text: str, *, stream: TextIO | None = None) -> None:
        """Prints a line of its own, unless another host prints."""
        if not self._silent:
            super().say(text, stream=stream)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
