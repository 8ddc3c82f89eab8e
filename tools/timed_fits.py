"""Fits that end with a budget of wall time, of this package and of plain Keras.

Each fit is a process of its own. Its time counts from its start, with imports.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

MAIN = pathlib.Path(__file__).parents[1] / "main.py"


def timed(arguments: Sequence[str]) -> float:
    """Returns the seconds that a Python program takes, from its start to its end."""
    began = time.perf_counter()
    _run(arguments)
    return time.perf_counter() - began


def result(arguments: Sequence[str]) -> dict:
    """Returns what a program prints as its last line with --json."""
    return json.loads(_run([*arguments, "--json"]).splitlines()[-1])


def _run(arguments: Sequence[str]) -> str:
    """Returns a program's stdout; raises ValueError with its last line if it fails."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return done.stdout


def train(run: str, *flags: str) -> list[str]:
    """Returns the arguments of a training of ours, without scores or an export.

    Args:
        run: the folder of the run.
        *flags: flags of main.py.
    """
    return [str(MAIN), "--mode=train", f"--model_dir={run}", *flags]


def top_1(run: str) -> float:
    """Returns the accuracy of a run on its validation images."""
    return result([str(MAIN), "--mode=eval", f"--model_dir={run}"])["top_1"]


def costs(run: str, *flags: str) -> tuple[float, float]:
    """Trains half an epoch; returns the seconds outside steps, and those of an epoch.

    Args:
        run: the folder of the run.
        *flags: flags of main.py.
    """
    seconds = timed(train(run, *flags, "--train_epochs=0.5"))
    lines = pathlib.Path(f"{run}/metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    settings = json.loads(pathlib.Path(f"{run}/config.json").read_text())
    images = settings["train_batch_size"] * found[-1]["step"] / found[-1]["epoch"]
    speeds = [one["images_per_second"] for one in found if "images_per_second" in one]
    epoch = images / statistics.median(speeds)
    return seconds - 0.5 * epoch, epoch


def fit(model: Any, data_dir: str, *, size: int, batch: int, until: float) -> dict:
    """Fits a compiled Keras model on a folder of images, and scores it.

    Args:
        model: a model of float pixels [batch, size, size, 3] in [0, 255], compiled with
            the metric accuracy.
        data_dir: folder with train/CLASS/ and val/CLASS/.
        size: int, height and width of the images in pixels.
        batch: int, images in a batch.
        until: float, Unix time at which training ends.
    """
    import keras

    splits = {
        name: keras.utils.image_dataset_from_directory(
            f"{data_dir}/{name}",
            image_size=(size, size),
            batch_size=batch,
            seed=0,
            verbose=False,
        )
        for name in ("train", "val")
    }

    def stop_in_time(batch: int, logs: dict) -> None:
        if time.time() >= until:
            model.stop_training = True

    stop = keras.callbacks.LambdaCallback(on_train_batch_end=stop_in_time)
    train = splits["train"].prefetch(2)
    history = model.fit(train, epochs=10_000, callbacks=[stop], verbose=0)
    return {
        "top_1": model.evaluate(splits["val"], verbose=0)[1],
        "epochs": len(history.epoch),
    }
