"""A server in a thread of this process, its small classifier, and clients."""

import contextlib
import dataclasses
import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator

import networks
import numpy as np
import weight_helpers
from PIL import Image

from efficientnet_tf.data.preparation import Preparation
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.serve import listening, served, server
from efficientnet_tf.serve.service import Service
from efficientnet_tf.serve.settings import Serving

SIZE = 32
NAMES = ("daisy", "dandelion", "<b>roses</b>", "sunflowers", "tulips", "weeds")


def classifier() -> Classifier:
    """A small network with random weights, and six classes with names."""
    model = weight_helpers.build(
        networks.own(networks.ONE),
        classes=6,
        input_shape=(SIZE, SIZE, 3),
        classifier_activation=None,
    )
    model.passport = dataclasses.replace(model.passport, class_names=NAMES)
    return Classifier(model, Preparation(SIZE, 1.0, "bicubic"))


def photo(
    number: int = 0, kind: str = "PNG", size: tuple[int, int] = (40, 36)
) -> bytes:
    """The bytes of an image of random pixels."""
    rng = np.random.default_rng(number)
    encoded = io.BytesIO()
    pixels = rng.integers(0, 256, (size[1], size[0], 3), "uint8")
    Image.fromarray(pixels).save(encoded, kind)
    return encoded.getvalue()


class Answer:
    """One answer of a server."""

    def __init__(self, response: http.client.HTTPResponse):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The one line of an error."""
        assert self.headers["content-type"] == "application/json"
        line = self.json["error"]
        assert line and line.isprintable()
        return line


class Running:
    """A server that listens at a port of this machine."""

    def __init__(self, service: Service, runner: server.Server, port: int):
        self.service = service
        self.runner = runner
        self.port = port

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self.runner.server_state.connections)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(self, method: str, path: str, body=None, kind=None, **headers) -> Answer:
        """Sends one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers |= {"Content-Type": kind} if kind else {}
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, body, kind: str = "application/json") -> Answer:
        """Posts bytes, or an object as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body)
        return self.ask("POST", path, content, kind)


@contextlib.contextmanager
def running(model: served.Served, **settings) -> Iterator[Running]:
    """Runs a server, and stops it."""
    taken = listening.listen("127.0.0.1", 0)
    service = Service(model, Serving(**settings))
    listens = threading.Event()
    runner = server.Server(service, listens.set)
    thread = threading.Thread(target=runner.run, args=[[taken]])
    thread.start()
    try:
        assert listens.wait(60)
        yield Running(service, runner, taken.getsockname()[1])
    finally:
        runner.stop()
        thread.join(60)
        assert not thread.is_alive()
        service.close()


def form(files: list[tuple[str, bytes]], **fields: str) -> tuple[bytes, str]:
    """A form with files, and its Content-Type."""
    parts = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    parts += [(f'name="file"; filename="{name}"', value) for name, value in files]
    body = b"".join(
        b"--limit\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n"
        % (head.encode(), value)
        for head, value in parts
    )
    return body + b"--limit--\r\n", "multipart/form-data; boundary=limit"
