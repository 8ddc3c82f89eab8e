"""Latency as in the paper's table 4: one image, one CPU core, the mean of 20 runs.

Each model is saved as it would serve and runs in a process of its own, on one core and
without Keras; see `latency_process`. Linux only.
"""

import contextlib
import dataclasses
import json
import numbers
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf import terminal
from efficientnet_tf.export import (
    frozen_graph,
    latency_process,
    litert,
    onnx,
    openvino,
    runtimes,
)
from efficientnet_tf.export.formats import Format
from efficientnet_tf.weights import model_layout

# Models by name, or functions that build them.
Models = Mapping[str, keras.Model | Callable[[], keras.Model]]
RUNTIMES = tuple(runtimes.OPEN)


@dataclasses.dataclass(frozen=True)
class Latency:
    """Seconds that a model takes for one image on one core."""

    mean_s: float
    stddev_s: float  # over single runs; 0 for one run
    min_s: float
    runs: int
    runtime: str


def measure(model: keras.Model, *, runs: int = 20, **settings: Any) -> Latency:
    """Measures one model; see `compare` for the errors.

    Args:
        model: a model with one input of a fixed size.
        runs: int, timed runs, 1 or more; the `rounds` of `compare`.
        **settings: `runtime`, `warmup`, `frozen` and `directory`, see `compare`.
    """
    return compare({"model": model}, rounds=runs, **settings)["model"]


def compare(
    models: Models,
    *,
    runtime: str = "saved_model",
    rounds: int = 20,
    warmup: int = 3,
    frozen: bool = True,
    directory: str | None = None,
) -> dict[str, Latency]:
    """Measures models in turns, so that other work on the machine slows all alike.

    The first runs of a model optimise its graph and belong to the warm-up.

    Args:
        models: models by name, or functions that build them, each with one input of a
            fixed size. All run on the same core, one at a time.
        runtime: one of RUNTIMES; "saved_model" is TensorFlow without XLA.
        rounds: int, timed runs of each model, 1 or more.
        warmup: int, runs of each model before the timed ones, 0 or more.
        frozen: whether weights become constants, so that batch norm folds into
            convolutions; graphs are limited to 2 GB. False leaves them variables, and
            is for "saved_model" alone.
        directory: local folder to leave the saved models in; None removes them.

    Raises:
        ValueError: naming the argument or model that is wrong, before anything runs.
        ChildProcessError: if a measuring process ends early, with its last message.
    """
    _check_arguments(models, runtime, rounds, warmup, frozen)
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
        runners = {}
        for number, (name, model) in enumerate(models.items()):
            model = model if isinstance(model, keras.Model) else model()
            path = os.path.join(directory, f"model{number}")
            path = save(model, path, runtime=runtime, frozen=frozen)
            shape = (1, *model.input_shape[1:])
            del model  # The next model may need its memory.
            runner = Runner(path, runtime=runtime, shape=shape)
            runners[name] = stack.enter_context(runner)
        seconds = take_turns(runners, rounds=rounds, warmup=warmup)
    return {name: summarise(each, runtime) for name, each in seconds.items()}


def of_export(
    folder: str, formats: Sequence[Format], image_size: int, *, at_once: int
) -> dict[str, float]:
    """Measures the formats of an export in turns.

    Args:
        folder: local folder of the export.
        formats: the formats that are in it.
        image_size: int, height and width of the images in pixels.
        at_once: int, formats that take turns, 1 or more: each takes the memory of a
            process and of the weights.

    Returns:
        For each format's name the median of 10 runs in milliseconds.
    """
    seconds: dict[str, list[float]] = {}
    shape = (1, image_size, image_size, 3)
    for start in range(0, len(formats), at_once):
        with contextlib.ExitStack() as stack:
            runners = {}
            for one in formats[start : start + at_once]:
                path = f"{folder}/{one.file}"
                runner = Runner(path, runtime=one.runtime, shape=shape)
                runners[one.name] = stack.enter_context(runner)
            seconds |= take_turns(runners, rounds=10, warmup=2)
    return {name: 1e3 * statistics.median(each) for name, each in seconds.items()}


def save(
    model: keras.Model, path: str, *, runtime: str = "saved_model", frozen: bool = True
) -> str:
    """Saves a model as it predicts, for one float32 image.

    Args:
        model: a model with one input of a fixed size.
        path: folder of the SavedModel to write; other runtimes' files get a suffix.
        runtime: as in `compare`.
        frozen: as in `compare`.

    Returns:
        The path that `Runner` takes.

    Raises:
        ValueError: for a model with several inputs or an open size, or one that is too
            large to freeze.
    """
    _check_model(model, frozen)
    images = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="images")

    def outputs(images: tf.Tensor) -> list[tf.Tensor]:
        return tf.nest.flatten(model(images, training=False))

    predict = frozen_graph.freeze(outputs, images) if frozen else outputs
    names = [f"output_{number}" for number in range(len(model.outputs))]

    def named(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(names, predict(images), strict=True))

    with terminal.quiet():
        match runtime:
            case "saved_model":
                variables = [] if frozen else frozen_graph.variables(model)
                frozen_graph.save(named, images, path, variables=variables)
            case "litert":
                path += ".tflite"
                pathlib.Path(path).write_bytes(litert.convert(named, images))
            case "onnx":
                path += ".onnx"
                pathlib.Path(path).write_bytes(onnx.convert(predict, names))
            case _:
                path += ".xml"
                openvino.save(openvino.convert(predict, names), path)
    return path


class Runner:
    """A saved model in a process of its own, on one core; use as a context manager.

    Args:
        path: the path that `save` returned, or a format's file in an export.
        runtime: a key of `runtimes.OPEN`.
        shape: shape of the image that it takes, [1, height, width, 3].
        program: module of the process, which may know more runtimes.
    """

    def __init__(
        self,
        path: str,
        *,
        runtime: str,
        shape: Sequence[int],
        program: str = latency_process.__name__,
    ):
        self._path = path
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        core = max(os.sched_getaffinity(0))
        of = [path, runtime, str(core), *map(str, shape)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", program, *of],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ
            | {
                "CUDA_VISIBLE_DEVICES": "-1",
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join(sys.path),
                "TF_CPP_MIN_LOG_LEVEL": "2",
                "TF_XLA_FLAGS": "",
            },
        )
        self._answers: Any = self._process.stdout

    def run(self) -> float:
        """Measures the seconds of one run, from image to outputs in memory.

        It follows another, so that weights and code are in the core's caches.
        """
        return self._ask("run")

    def first_run(self) -> float:
        """Measures the seconds of one run, right after whatever the core did."""
        return self._ask("first_run")

    def outputs(self) -> list[np.ndarray]:
        """Returns the model's outputs for `example_image`."""
        return [np.array(each, "float32") for each in self._ask("outputs")]

    def cores(self) -> list[int]:
        """Returns the numbers of the cores that the process may use."""
        return self._ask("cores")

    def _ask(self, method: str) -> Any:
        with contextlib.suppress(BrokenPipeError):
            print(method, file=self._process.stdin, flush=True)
        answer = self._answers.readline()
        if not answer:
            code = self._process.wait()
            self._errors.seek(0)
            words = self._errors.read().strip().splitlines() or ["no words"]
            raise ChildProcessError(
                f"the process measuring {self._path} ended with {code}: {words[-1]}"
            )
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def take_turns(
    runners: Mapping[str, Runner],
    *,
    rounds: int,
    warmup: int,
    first: bool = False,
) -> dict[str, list[float]]:
    """Runs networks in turns.

    Args:
        runners: the networks' processes by name.
        rounds: int, timed runs of each.
        warmup: int, runs of each before, which do not count.
        first: whether a run is timed that nothing warmed the caches for.

    Returns:
        The seconds of each timed run, by name.
    """
    turns = [
        {
            name: runner.first_run() if first else runner.run()
            for name, runner in runners.items()
        }
        for _ in range(warmup + rounds)
    ]
    return {name: [turn[name] for turn in turns[warmup:]] for name in runners}


def _check_arguments(
    models: Models, runtime: str, rounds: int, warmup: int, frozen: bool
) -> None:
    if not models:
        raise ValueError("models={}: allowed is one model or more")
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime={runtime!r}: allowed are {', '.join(RUNTIMES)}")
    if runtime != "saved_model" and not frozen:
        raise ValueError(
            f"frozen=False: {runtime} freezes; allowed with saved_model alone"
        )
    for name, value, least in (("rounds", rounds, 1), ("warmup", warmup, 0)):
        if not isinstance(value, numbers.Integral) or value < least:
            raise ValueError(f"{name}={value}: allowed are whole numbers from {least}")


def _check_model(model: keras.Model, frozen: bool) -> None:
    if len(model.inputs) != 1 or None in model.input_shape[1:]:
        raise ValueError(
            f"model {model.name}: takes {model.input_shape}; allowed is one input of a "
            "fixed size, batch aside"
        )
    size = model_layout.size(model)
    if frozen and size >= frozen_graph.GRAPH_BYTES:
        raise ValueError(
            f"model {model.name}: {size} bytes of weights do not fit into a frozen "
            f"graph of {frozen_graph.GRAPH_BYTES}; measure all models with frozen=False"
        )


def summarise(seconds: list[float], runtime: str) -> Latency:
    """Takes mean, standard deviation and minimum of single runs.

    Args:
        seconds: a number for each run.
        runtime: one of RUNTIMES.
    """
    return Latency(
        mean_s=statistics.fmean(seconds),
        stddev_s=statistics.stdev(seconds) if len(seconds) > 1 else 0.0,
        min_s=min(seconds),
        runs=len(seconds),
        runtime=runtime,
    )
