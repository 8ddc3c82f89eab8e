"""Latency as the paper's Table 4 has it: one image, one CPU core, the mean of 20 runs.

Each model is saved as it would serve and runs in a process of its own, on one core and
without Keras. That process is this file as a script: it answers a line on its standard
input, the name of a method of `_Served`, with a line of JSON. Linux only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import numbers
import os
import statistics
import subprocess
import sys
import tempfile
import time
import typing
from collections.abc import Callable, Mapping

import numpy as np

# Not at run time: the measuring process has no use for Keras, nor LiteRT's for
# TensorFlow.
if typing.TYPE_CHECKING:
    import keras

RUNTIMES = ("saved_model", "litert")
# Of a protocol buffer, and so of a graph with its weights in it.
_GRAPH_BYTES = 2**31


@dataclasses.dataclass(frozen=True)
class Latency:
    """Seconds that a model takes for one image on one core."""

    mean_s: float
    stddev_s: float  # of single runs; 0 for one run
    min_s: float
    runs: int
    runtime: str


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Latencies of several models, measured in turns."""

    latencies: dict[str, Latency]

    @property
    def speedups(self) -> dict[str, float]:
        """How many times the first model's mean is each one's (1.0 for the first)."""
        first = next(iter(self.latencies.values())).mean_s
        return {name: first / each.mean_s for name, each in self.latencies.items()}


def measure(model: keras.Model, *, runs: int = 20, **settings) -> Latency:
    """Measures one model.

    Args:
        model: with one input of a fixed size.
        runs: timed runs, from 1; `rounds` of `compare`.
        **settings: `runtime`, `warmup`, `frozen` and `directory`, see `compare`.

    Raises:
        ValueError: see `compare`.
    """
    measured = compare({"model": model}, rounds=runs, **settings)
    return measured.latencies["model"]


def compare(
    models: Mapping[str, keras.Model | Callable[[], keras.Model]],
    *,
    runtime: str = "saved_model",
    rounds: int = 20,
    warmup: int = 3,
    frozen: bool = True,
    directory: str | None = None,
) -> Comparison:
    """Measures models in turns, so that what else the machine does hits all alike.

    The first runs of a model, which optimise its graph, are the warm-up's.

    Args:
        models: by name, built or functions that build them, one input each of a fixed
            size. All run on the same core, one at a time.
        runtime: "saved_model" (TensorFlow without XLA) or "litert".
        rounds: timed runs of each model, from 1.
        warmup: runs of each before them, from 0.
        frozen: whether weights become constants, so that batch norm folds into
            convolutions; graphs are limited to 2 GB. False leaves them variables, and
            is for "saved_model" alone.
        directory: local folder to leave the saved models in; None removes them.

    Raises:
        ValueError: naming the argument or model that is wrong, before anything runs.
        ChildProcessError: if a measuring process ends early, with its last words.
    """
    import keras

    _check_arguments(models, runtime, rounds, warmup, frozen)
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
        runners = {}
        for number, (name, model) in enumerate(models.items()):
            model = model if isinstance(model, keras.Model) else model()
            path = os.path.join(directory, f"model{number}")
            path = save(model, path, runtime=runtime, frozen=frozen)
            del model  # The next one may need its memory.
            runners[name] = stack.enter_context(Runner(path, runtime=runtime))
        seconds = {name: [] for name in runners}
        for _ in range(warmup + rounds):
            for name, runner in runners.items():
                seconds[name].append(runner.run())
    return Comparison(
        {name: _summary(each[warmup:], runtime) for name, each in seconds.items()}
    )


def example_image(shape: tuple[int, ...]) -> np.ndarray:
    """The image that runs are timed on: float32 pixels in [0, 255], always the same."""
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


def save(
    model: keras.Model, path: str, *, runtime: str = "saved_model", frozen: bool = True
) -> str:
    """Saves a model for one image, float32, as it predicts.

    Args:
        model: with one input of a fixed size.
        path: of a SavedModel's folder to write; LiteRT's file gets ".tflite" added.
        runtime: see `compare`.
        frozen: see `compare`.

    Returns:
        Path of what `Runner` takes.

    Raises:
        ValueError: for a model with several inputs or an open size, or one that is too
            large to freeze.
    """
    import tensorflow as tf

    _check_model(model, frozen)
    signature = [tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="images")]
    predict = tf.function(lambda images: tf.nest.flatten(model(images, training=False)))
    predict = predict.get_concrete_function(*signature)
    if frozen:
        predict = _frozen(predict)
    module = tf.Module()
    module.model = None if frozen else model  # holds the variables
    module.serve = tf.function(
        lambda images: {f"output_{i}": x for i, x in enumerate(predict(images))},
        input_signature=signature,
    )
    # Custom gradients are for training, and a frozen graph has lost what they need.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, path, signatures=module.serve, options=options)
    if runtime == "saved_model":
        return path
    # From the frozen graph: of a Keras 3 model's variables the converter makes
    # variables that hold nothing.
    converter = tf.lite.TFLiteConverter.from_saved_model(path)
    with open(f"{path}.tflite", "wb") as file:
        file.write(converter.convert())
    return f"{path}.tflite"


class Runner:
    """A saved model in a process of its own, on one core; to be used with `with`.

    Args:
        path: what `save` returned.
        runtime: the same as for `save`.
    """

    def __init__(self, path: str, *, runtime: str):
        self._path = path
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        core = max(os.sched_getaffinity(0))
        self._process = subprocess.Popen(
            # -P: this file's folder holds no modules for it.
            [sys.executable, "-P", os.path.abspath(__file__), path, runtime, str(core)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ
            | {
                "CUDA_VISIBLE_DEVICES": "-1",
                "OMP_NUM_THREADS": "1",
                "TF_CPP_MIN_LOG_LEVEL": "2",
                "TF_XLA_FLAGS": "",
            },
        )

    def run(self) -> float:
        """Seconds of one run, from an image in memory to outputs in memory."""
        return self._ask("run")

    def outputs(self) -> list[np.ndarray]:
        """What the model makes of `example_image`."""
        return [np.array(each, "float32") for each in self._ask("outputs")]

    def cores(self) -> list[int]:
        """Numbers of the cores that the process may use."""
        return self._ask("cores")

    def _ask(self, method: str):
        with contextlib.suppress(BrokenPipeError):
            print(method, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            code = self._process.wait()
            self._errors.seek(0)
            words = self._errors.read().strip().splitlines() or ["no words"]
            raise ChildProcessError(
                f"the process measuring {self._path} ended with {code}: {words[-1]}"
            )
        return json.loads(answer)

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def _check_arguments(models, runtime, rounds, warmup, frozen):
    if not models:
        raise ValueError("models={}: allowed is one model or more")
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime={runtime!r}: allowed are {', '.join(RUNTIMES)}")
    if runtime == "litert" and not frozen:
        raise ValueError("frozen=False: litert freezes; allowed with saved_model alone")
    for name, value, least in (("rounds", rounds, 1), ("warmup", warmup, 0)):
        if not isinstance(value, numbers.Integral) or value < least:
            raise ValueError(f"{name}={value}: allowed are whole numbers from {least}")


def _check_model(model, frozen):
    if len(model.inputs) != 1 or None in model.input_shape[1:]:
        raise ValueError(
            f"model {model.name}: takes {model.input_shape}; allowed is one input of a "
            "fixed size, batch aside"
        )
    size = sum(
        math.prod(weight.shape) * np.dtype(weight.dtype).itemsize
        for weight in model.weights
    )
    if frozen and size >= _GRAPH_BYTES:
        raise ValueError(
            f"model {model.name}: {size} bytes of weights do not fit into a frozen "
            f"graph of {_GRAPH_BYTES}; measure all models with frozen=False"
        )


def _frozen(function):
    """A concrete function with its variables made constants."""
    from tensorflow.python.framework import convert_to_constants

    return convert_to_constants.convert_variables_to_constants_v2(function)


def _summary(seconds: list[float], runtime: str) -> Latency:
    return Latency(
        mean_s=statistics.fmean(seconds),
        stddev_s=statistics.stdev(seconds) if len(seconds) > 1 else 0.0,
        min_s=min(seconds),
        runs=len(seconds),
        runtime=runtime,
    )


class _Served:
    """The measuring process's side: a loaded model, and answers about it."""

    def __init__(self, path: str, runtime: str):
        load = {"saved_model": _load_saved_model, "litert": _load_litert}[runtime]
        self._predict = load(path)

    def run(self) -> float:
        start = time.perf_counter()
        self._predict()
        return time.perf_counter() - start

    def outputs(self) -> list:
        return [each.tolist() for each in self._predict()]

    def cores(self) -> list[int]:
        return sorted(os.sched_getaffinity(0))


def _load_saved_model(path: str) -> Callable[[], list[np.ndarray]]:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    # Called through the signature, which keeps the loaded variables alive.
    model = tf.saved_model.load(path)
    serve = model.signatures["serving_default"]
    shape = serve.structured_input_signature[1]["images"].shape
    images = tf.constant(example_image(tuple(shape)))

    def predict():
        outputs = serve(images=images)
        return [outputs[name].numpy() for name in sorted(outputs)]

    predict.model = model
    return predict


def _load_litert(path: str) -> Callable[[], list[np.ndarray]]:
    from ai_edge_litert import interpreter as litert

    interpreter = litert.Interpreter(path, num_threads=1)
    predict = interpreter.get_signature_runner("serving_default")
    shape = interpreter.get_input_details()[0]["shape"]
    images = example_image(tuple(shape))

    def run():
        outputs = predict(images=images)
        return [outputs[name] for name in sorted(outputs)]

    return run


def _main(path: str, runtime: str, core: str):
    # Before anything starts threads; they inherit it.
    os.sched_setaffinity(0, {int(core)})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What else is printed is no answer.
    served = _Served(path, runtime)
    for line in sys.stdin:
        answer = getattr(served, line.strip())()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
