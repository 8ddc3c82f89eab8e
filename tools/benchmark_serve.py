"""Times the server under load beside the model alone, in one run.

python tools/benchmark_serve.py --data_dir=FOLDER_OF_JPEGS --json

The server is a process of its own, with main.py's defaults. Clients with a connection
each send one image after the other. The model alone predicts ready images, in batches
of the same size and one at a time, each on all cores, before and after the load, with
and without their decoding; its numbers are means of both.
"""

import asyncio
import contextlib
import itertools
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import tool
import numpy as np
import psutil
from absl import flags as absl_flags

from efficientnet_tf.hardware import machine, preflight
from efficientnet_tf.serve.settings import Serving

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_string("data_dir", None, "Folder that holds JPEGs, at any depth.")
absl_flags.DEFINE_string("model", "efficientnet-lite0", "The network.")
absl_flags.DEFINE_string("weights", "imagenet", "Its weights.")
absl_flags.DEFINE_integer("images", 200, "Different images to send.", lower_bound=1)
absl_flags.DEFINE_integer("clients", 200, "Clients at once.", lower_bound=1)
absl_flags.DEFINE_integer(
    "batch", None, "Most images of a batch; the server's own if unset.", lower_bound=1
)
absl_flags.DEFINE_float("seconds", 60.0, "Seconds of load.", lower_bound=1.0)
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")

_MAIN = os.path.join(os.path.dirname(__file__), os.pardir, "main.py")
_WARM_S = 10.0  # seconds of load before memory and answers are counted


class Load:
    """What the clients got.

    Args:
        port: int, the server's port on this machine.
        bodies: JPEGs to send in turns.
    """

    def __init__(self, port: int, bodies: list[bytes]):
        self.seconds: list[float] = []  # of each answer
        self.errors = 0  # answers of another status than 200, and lost connections
        self._port = port
        self._requests = itertools.cycle(map(_request, bodies))

    async def run(self, clients: int, seconds: float) -> None:
        """Sends images from many clients for a while."""
        end = time.monotonic() + seconds
        await asyncio.gather(*(self._client(end) for _ in range(clients)))

    async def _client(self, end: float) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            while time.monotonic() < end:
                began = time.monotonic()
                writer.write(next(self._requests))
                self.errors += await _status(reader) != 200
                self.seconds.append(time.monotonic() - began)
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            self.errors += 1


def main(_: list[str]) -> dict:
    """Loads the server, times the model, and prints both."""
    preflight.before_import()  # as main.py does; the module below imports TensorFlow
    import timed_pipelines

    bodies = timed_pipelines.read_jpegs(FLAGS.data_dir, FLAGS.images)
    alone = _Alone(bodies)
    before = alone.speeds()
    with _server(alone.batch) as (process, port):
        served = _load(process, port, bodies)
    after = alone.speeds()
    model, with_decoding = (
        statistics.mean(pair) for pair in zip(before, after, strict=True)
    )
    result = served | {
        "images_of_a_batch": alone.batch,
        "images_per_s_bare_model": model,
        "images_per_s_decoding_and_model": with_decoding,
        "ratio_server_vs_bare_model": served["images_per_s_server"] / model,
        "ratio_server_vs_decoding_and_model": served["images_per_s_server"]
        / with_decoding,
    }
    for name, value in result.items():
        print(f"{name:36} {value:,.3f}")
    return result


class _Alone:
    """The model without a server."""

    def __init__(self, bodies: list[bytes]):
        from efficientnet_tf.inference import classifier
        from efficientnet_tf.serve import served, service

        opened = classifier.open_classifier(weights=FLAGS.weights, model=FLAGS.model)
        self._served = served.ServedClassifier(opened)
        settings = Serving(max_batch=FLAGS.batch)
        self.batch = service.largest_batch(self._served, settings, machine.cores())
        self._bodies = list(itertools.islice(itertools.cycle(bodies), self.batch))
        self._batch = np.stack(self._served.prepare(self._bodies))
        self._served.predict(self._batch)

    def speeds(self) -> tuple[float, float]:
        """Returns images a second of the model, and of decoding and the model."""

        def with_decoding() -> None:
            self._served.predict(np.stack(self._served.prepare(self._bodies)))

        calls = _calls_per_s(lambda: self._served.predict(self._batch))
        return calls * self.batch, _calls_per_s(with_decoding) * self.batch


def _calls_per_s(call: Callable[[], object]) -> float:
    began, calls = time.monotonic(), 0
    while time.monotonic() - began < FLAGS.seconds / 4:
        call()
        calls += 1
    return calls / (time.monotonic() - began)


@contextlib.contextmanager
def _server(batch: int) -> Iterator[tuple[psutil.Process, int]]:
    """Starts the server; yields its process and its port, and stops it."""
    command = [sys.executable, _MAIN, "--mode=serve", "--port=0"]
    command += [f"--{name}={FLAGS[name].value}" for name in ("weights", "model")]
    command += [f"--max_batch={batch}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        try:
            line = next((one for one in started.stdout if "serving" in one), "")
            found = re.search(r":(\d+)$", line.strip())
            if not found:
                raise ValueError("the server did not start; its message is above")
            yield psutil.Process(started.pid), int(found[1])
        finally:
            started.send_signal(signal.SIGTERM)


def _load(process: psutil.Process, port: int, bodies: list[bytes]) -> dict:
    """Loads the server, and returns its speed, its delays and its memory."""
    asyncio.run(Load(port, bodies).run(FLAGS.clients, _WARM_S))
    memory, load = [process.memory_info().rss], Load(port, bodies)
    began = time.monotonic()
    for _ in range(2):
        asyncio.run(load.run(FLAGS.clients, FLAGS.seconds / 2))
        memory.append(process.memory_info().rss)
    seconds, delays = time.monotonic() - began, sorted(load.seconds)
    return {
        "images_per_s_server": len(delays) / seconds,
        "errors": load.errors,
        "ms_median": statistics.median(delays) * 1e3,
        "ms_99_percent": delays[int(len(delays) * 0.99)] * 1e3,
        "mb_before": memory[0] / 1e6,
        "mb_growth_first_half": (memory[1] - memory[0]) / 1e6,
        "mb_growth_second_half": (memory[2] - memory[1]) / 1e6,
    }


def _request(body: bytes) -> bytes:
    head = (
        "POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _status(reader: asyncio.StreamReader) -> int:
    """Reads one answer, and returns its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    await reader.readexactly(int(length[1]) if length else 0)
    return int(head.split(b" ", 2)[1])


if __name__ == "__main__":
    absl_flags.mark_flag_as_required("data_dir")
    tool.run(main)
