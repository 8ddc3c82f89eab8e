"""A stop answers what was taken, and refuses what comes later."""

import contextlib
import http.client
import pathlib
import signal
import subprocess
import sys
import threading
import time

import networks
import pytest
import serve_support
import weight_helpers

import efficientnet_tf as en

ROOT = pathlib.Path(__file__).parents[2]
PHOTO = serve_support.photo()


class Client(threading.Thread):
    """Sends one request after the other, until it is told that the connection ends."""

    def __init__(self, port: int):
        super().__init__()
        self.statuses: list[int] = []
        self.lost = 0  # requests that got no answer on a connection that was open
        self._port = port

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        with contextlib.closing(connection):
            connection.connect()
            self._ask(connection)

    def _ask(self, connection):
        headers, told = {"Content-Type": "image/png"}, False
        while not told:
            try:
                connection.request("POST", "/v1/predict", PHOTO, headers)
                answer = connection.getresponse()
                answer.read()
            except OSError:
                self.lost += 1
                return
            told = answer.will_close
            self.statuses.append(answer.status)


def load(port: int, stop) -> list[Client]:
    """Stops a server under the load of 20 clients; returns them once they ended."""
    clients = [Client(port) for _ in range(20)]
    for client in clients:
        client.start()
    while not all(client.statuses for client in clients):
        time.sleep(0.01)
    stop()
    for client in clients:
        client.join(60)
    return clients


def check(clients: list[Client]) -> int:
    """Every request was answered; returns how many with predictions."""
    assert [client.lost for client in clients] == [0] * len(clients)
    for client in clients:
        *answered, last = client.statuses
        assert set(answered) <= {200} and last in (200, 503)
    return sum(client.statuses.count(200) for client in clients)


def test_a_stop_under_load_loses_nothing(model):
    with serve_support.running(model, max_batch=4) as server:
        answered = check(load(server.port, server.runner.stop))
    assert server.service.metrics.total("serve_images_total") == answered
    with pytest.raises(ConnectionRefusedError):
        server.connect()


def test_a_stop_waits_for_a_body_that_is_being_sent(model):
    with serve_support.running(model) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest("POST", "/v1/predict")
            connection.putheader("Content-Type", "image/png")
            connection.putheader("Content-Length", str(len(PHOTO)))
            connection.endheaders(PHOTO[:100])
            while not server.runner.server_state.tasks:
                time.sleep(0.01)
            server.runner.stop()
            time.sleep(3)  # longer than idle connections are kept
            connection.send(PHOTO[100:])
            answer = serve_support.Answer(connection.getresponse())
            assert answer.status == 200
            assert answer.headers["connection"] == "close"


def test_readiness_ends_with_the_stop_and_health_does_not(model):
    with serve_support.running(model) as server:
        server.service.stopping = True
        assert server.get("/readyz").status == 503
        assert server.get("/healthz").status == 200
        refused = server.post("/v1/predict", PHOTO, "image/png")
        assert refused.status == 503
        assert refused.error == "the server is stopping; try again soon"
        assert refused.headers["retry-after"] == "5"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of small weights for six classes."""
    folder = tmp_path_factory.mktemp("weights")
    model = weight_helpers.build(
        networks.own(networks.ONE), classes=6, input_shape=(32, 32, 3)
    )
    en.save_weights(model, folder / "own.weights.h5")
    return folder / "own.weights.h5"


@contextlib.contextmanager
def command(*arguments):
    """Starts main.py; yields the process and the port that its first line names."""
    with subprocess.Popen(
        [sys.executable, "main.py", "--mode=serve", "--port=0", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("serving       own at http://127.0.0.1:"), line
            yield process, int(line.rsplit(":", 1)[1])
        finally:
            process.kill()


def test_the_command_stops_at_sigterm_with_exit_code_0(weights):
    with command(f"--weights={weights}", "--json") as (process, port):
        clients = load(port, lambda: process.send_signal(signal.SIGTERM))
        answered = check(clients)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    *_, told, result = stdout.splitlines()
    requests = sum(len(client.statuses) for client in clients)
    words = f"stopped       after {requests:,} requests and {answered:,} images"
    assert told == words
    assert f'"requests": {requests}, "images": {answered}' in result


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_command_at_once(weights, number):
    with command(f"--weights={weights}") as (process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest("POST", "/v1/predict")
            connection.putheader("Content-Type", "image/png")
            connection.putheader("Content-Length", "1000")
            connection.endheaders(b"x")
            time.sleep(1)
            for _ in range(2):
                process.send_signal(number)
                time.sleep(1)
            process.wait(5)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
