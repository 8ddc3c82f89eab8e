"""Buckets that cannot be used: main.py ends with one line that names the place."""

import time

import pytest

import efficientnet_tf as en
from bucket import commands

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fresh")]

DENIED = "access is denied"
GONE = "is not there; check the bucket's name"


@pytest.mark.parametrize(
    ("argument", "error", "reason"),
    [
        ("--model_dir=gs://private/run", "model_dir=gs://private/run: cannot", DENIED),
        ("--model_dir=gs://nowhere/run", "model_dir=gs://nowhere/run: cannot", GONE),
        ("--export_dir=gs://nowhere/x", "export_dir=gs://nowhere/x: cannot", GONE),
        ("--data_dir=gs://private/x", "data_dir=gs://private/x: ", DENIED),
        ("--data_dir=gs://nowhere/x", "data_dir=gs://nowhere/x: ", GONE),
        ("--data_dir=gs://bucket/x", "data_dir=gs://bucket/x: no train-* files", ""),
    ],
)
def test_a_wrong_bucket_is_named_before_training(served, argument, error, reason):
    served.denied = {"private"}
    line = refusal(commands.start(served, *commands.training(argument)))
    assert line.startswith(f"error: --{error}") and reason in line
    assert not served.store.names("bucket", "run/")


def refusal(process):
    """The one line that a process ends with."""
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    (line,) = errors.splitlines()
    return line


@pytest.mark.parametrize("mode", ["eval", "export", "predict"])
def test_a_run_that_may_not_be_read_is_named(served, mode):
    served.denied = {"bucket"}
    image = ("README.md",) if mode == "predict" else ()
    line = refusal(
        commands.start(served, f"--mode={mode}", f"--model_dir={commands.RUN}", *image)
    )
    assert line.startswith("error: ") and DENIED in line and f"{commands.RUN}/" in line


def test_an_image_that_may_not_be_read_is_named(served, tmp_path):
    served.denied = {"private"}
    weights = tmp_path / "own.weights.h5"
    en.save_weights(en.EfficientNet("efficientnet-test"), str(weights))
    image = "gs://private/image.jpg"
    line = refusal(
        commands.start(served, "--mode=predict", f"--weights={weights}", image)
    )
    assert line.startswith(f"error: image file {image}: ") and DENIED in line


def test_a_bucket_that_closes_in_the_middle_is_named_at_the_end(served):
    process = commands.start(served, *commands.training())
    while commands.last_step(served) == 0:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    served.denied = {"bucket"}
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1 and "Traceback" not in errors
    last = errors.splitlines()[-1]
    assert last.startswith("error: gs://bucket/") and DENIED in last
