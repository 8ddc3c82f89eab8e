"""What a person sees of a run: a bar on a terminal, plain lines elsewhere."""

import sys
import time

import tqdm

_SECONDS_BETWEEN_LINES = 10


class Progress:
    """Reports steps; use as a context manager.

    Args:
        step: where the run stands.
        total: its last step.
        steps_per_epoch: to show epochs.
        batch_size: to show images a second.
        stream: where to; stderr, so that stdout stays for results.
    """

    def __init__(
        self,
        *,
        step: int,
        total: int,
        steps_per_epoch: float,
        batch_size: int,
        stream=None,
    ):
        self._stream = stream or sys.stderr
        self._total = total
        self._steps_per_epoch = steps_per_epoch
        self._batch_size = batch_size
        self._step = step
        self._start = (step, time.monotonic())
        self._last_line = 0.0
        self._bar = None
        if self._stream.isatty():
            self._bar = tqdm.tqdm(
                total=total,
                initial=step,
                unit="step",
                file=self._stream,
                dynamic_ncols=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._bar is not None:
            self._bar.close()

    def update(self, step: int, metrics: dict[str, float]) -> None:
        """Shows the step reached and its loop's means."""
        rate = self._images_per_second(step)
        if self._bar is not None:
            self._bar.set_postfix_str(
                f"epoch {step / self._steps_per_epoch:.1f}, {rate:.0f} images/s, "
                f"loss {metrics['loss']:.4f}, lr {metrics['learning_rate']:.2e}"
            )
            self._bar.update(step - self._step)
        elif self._is_time(step):
            remaining = (self._total - step) * self._batch_size / rate
            self.say(
                f"step {step}/{self._total}  epoch {step / self._steps_per_epoch:.1f}  "
                f"{rate:.0f} images/s  loss {metrics['loss']:.4f}  "
                f"lr {metrics['learning_rate']:.2e}  left {_duration(remaining)}"
            )
        self._step = step

    def say(self, text: str) -> None:
        """Prints a line of its own."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)

    def _images_per_second(self, step: int) -> float:
        """Since the first report, which the first call's compilation went into."""
        first_step, first_time = self._start
        now = time.monotonic()
        if self._last_line == 0.0:
            self._last_line = now - _SECONDS_BETWEEN_LINES
            self._start = (step, now)
        seconds = max(now - first_time, 1e-9)
        return (step - first_step) * self._batch_size / seconds

    def _is_time(self, step: int) -> bool:
        now = time.monotonic()
        if step < self._total and now - self._last_line < _SECONDS_BETWEEN_LINES:
            return False
        self._last_line = now
        return True


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
