"""The script that measures one model in a process of its own, on one core.

`latency.Runner` writes the name of a method of `Served` to the script's standard input;
the script answers with a line of JSON. It imports nothing of this package: TensorFlow
and Keras would start threads before the process is bound to its core.
"""

import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np


def example_image(shape: tuple[int, ...]) -> np.ndarray:
    """The image that runs are timed on: float32 pixels in [0, 255], always the same."""
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


class Served:
    """The model in the measuring process, which answers requests about it."""

    def __init__(self, path: str, runtime: str):
        self._predict = LOAD[runtime](path)

    def run(self) -> float:
        """Measures the seconds of one run."""
        start = time.perf_counter()
        self._predict()
        return time.perf_counter() - start

    def outputs(self) -> list:
        """Returns the model's outputs for `example_image`."""
        return [each.tolist() for each in self._predict()]

    def cores(self) -> list[int]:
        """Returns the numbers of the cores that this process may use."""
        return sorted(os.sched_getaffinity(0))


def _load_saved_model(path: str) -> Callable[[], list[np.ndarray]]:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    # Called through the signature, which keeps the loaded variables alive.
    model = tf.saved_model.load(path)
    signature = model.signatures["serving_default"].structured_input_signature
    shape = signature[1]["images"].shape
    images = tf.constant(example_image(tuple(shape)))

    def predict() -> list[np.ndarray]:
        outputs = model.signatures["serving_default"](images=images)
        return [outputs[name].numpy() for name in sorted(outputs)]

    return predict


def _load_litert(path: str) -> Callable[[], list[np.ndarray]]:
    from ai_edge_litert import interpreter as litert

    interpreter = litert.Interpreter(path, num_threads=1)
    predict = interpreter.get_signature_runner("serving_default")
    shape = interpreter.get_input_details()[0]["shape"]
    images = example_image(tuple(shape))

    def run() -> list[np.ndarray]:
        outputs = predict(images=images)
        return [outputs[name] for name in sorted(outputs)]

    return run


LOAD = {"saved_model": _load_saved_model, "litert": _load_litert}


def _main(path: str, runtime: str, core: str) -> None:
    # Set first, because threads inherit the core when they start.
    os.sched_setaffinity(0, {int(core)})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Whatever else is printed goes to stderr.
    served = Served(path, runtime)
    for line in sys.stdin:
        answer = getattr(served, line.strip())()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
