"""The program that measures one network in a process of its own, on one core.

`latency.Runner` writes the name of a method of `Served` to the program's standard
input; the program answers with a line of JSON. It imports no TensorFlow and no Keras
before the process is bound to its core: they would start threads.
"""

import json
import os
import sys
import time
from collections.abc import Sequence

import numpy as np

from efficientnet_tf.export import runtimes


def example_image(shape: Sequence[int]) -> np.ndarray:
    """The image that runs are timed on: float32 pixels in [0, 255], always the same."""
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


class Served:
    """The network in the measuring process, which answers requests about it."""

    def __init__(self, path: str, runtime: str, shape: Sequence[int]):
        self._predict = runtimes.open_network(runtime, path)
        self._images = example_image(shape)

    def run(self) -> float:
        """Measures the seconds of a run right behind another."""
        self.first_run()
        return self.first_run()

    def first_run(self) -> float:
        """Measures the seconds of one run, with what others left in the caches."""
        start = time.perf_counter()
        self._predict(self._images)
        return time.perf_counter() - start

    def outputs(self) -> list:
        """Returns the network's outputs for `example_image`."""
        return [each.tolist() for each in self._predict(self._images)]

    def cores(self) -> list[int]:
        """Returns the numbers of the cores that this process may use."""
        return sorted(os.sched_getaffinity(0))


def main(path: str, runtime: str, core: str, *shape: str) -> None:
    """Answers requests about a network until the standard input ends.

    Args:
        path: as `runtimes.open_network` takes it.
        runtime: a key of `runtimes.OPEN`.
        core: the number of the core to run on.
        *shape: shape of the image that it takes, [1, height, width, 3].
    """
    # Set first, because threads inherit the core when they start.
    os.sched_setaffinity(0, {int(core)})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Whatever else is printed goes to stderr.
    served = Served(path, runtime, [int(side) for side in shape])
    for line in sys.stdin:
        answer = getattr(served, line.strip())()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
