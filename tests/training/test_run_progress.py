"""What a person sees while a run goes on."""

import io
import time

import pytest

from efficientnet_tf.training import progress

METRICS = {"images_per_second": 128.0, "loss": 1.5, "learning_rate": 0.016}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(stream, **kwargs):
    settings = {"step": 0, "total": 100, "steps_per_epoch": 20, "batch_size": 64}
    with progress.Progress(**(settings | kwargs), stream=stream) as bar:
        bar.update(40, METRICS)
        bar.say("a line")
    return stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_tells_step_epoch_speed_loss_rate_and_time_left(stream):
    text = shown(stream)
    for part in (
        "step 40/100",
        "epoch 2.0",
        "128 images/s",
        "loss 1.5000",
        "lr 1.60e-02",
        "left 0:30",
        "a line\n",
    ):
        assert part in text


def test_the_first_loop_shows_no_speed_and_promises_no_time():
    stream = io.StringIO()
    first = {"first_loop_seconds": 122.4, "loss": 1.5, "learning_rate": 0.016}
    settings = {"step": 0, "total": 5000, "steps_per_epoch": 20, "batch_size": 64}
    with progress.Progress(**settings, stream=stream) as bar:
        bar.update(20, first)
    text = stream.getvalue()
    assert "step 20/5000" in text
    assert "first loop 122 s, with compilation" in text
    assert "images/s" not in text and "left" not in text


def test_only_a_terminal_gets_a_bar():
    assert "40%|" in shown(Terminal())
    assert "\r" not in shown(io.StringIO())


def test_plain_lines_come_seconds_apart_and_at_the_end(monkeypatch):
    stream = io.StringIO()
    settings = {"step": 0, "total": 100, "steps_per_epoch": 20, "batch_size": 64}
    with progress.Progress(**settings, stream=stream) as bar:
        for step in range(1, 101):  # a quarter of a second each
            monkeypatch.setattr(time, "monotonic", lambda: step / 4)  # noqa: B023
            bar.update(step, METRICS)
    steps = [line.split()[1] for line in stream.getvalue().splitlines()]
    assert steps == ["1/100", "41/100", "81/100", "100/100"]
