"""A server on 127.0.0.1 that TensorFlow's own client takes for Google Cloud Storage.

The client reaches it through the proxy settings that libcurl takes from the
environment: it asks the proxy for www.googleapis.com, and the proxy answers itself,
with a certificate that is its own authority. So no name is resolved, no root is needed
and nothing leaves the machine.
"""

import collections
import contextlib
import http.server
import pathlib
import random
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator

from bucket import api, store


class Faults:
    """Draws the faults of requests from a seed.

    Args:
        seed: of the draws.
        refused: share of the requests that are answered 503 or 429.
        cut: share of the connections that break in the middle of a body or, where
            there is none, after the work and before the answer.
        seconds: how long every answer takes.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        refused: float = 0.0,
        cut: float = 0.0,
        seconds: float = 0.0,
    ):
        self.seconds = seconds
        self._random = random.Random(seed)
        self._refused, self._cut = refused, cut
        self._lock = threading.Lock()

    def draw(self) -> int | None:
        """A status to refuse with, 0 to cut, or None for a request that goes well."""
        with self._lock:
            drawn, status = self._random.random(), self._random.choice([503, 429])
        if drawn < self._refused:
            return status
        return 0 if drawn < self._refused + self._cut else None


class Server(http.server.ThreadingHTTPServer):
    """The stand-in; tests set and read its attributes at will.

    Args:
        tls: of the two hosts.
        authority: path of the certificate that signed them.

    Attributes:
        store: the objects.
        faults: what goes wrong.
        denied: buckets that are answered 403.
        requests: all so far, in order of their answers.
        strays: what was asked of other hosts, and refused.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, tls: ssl.SSLContext, authority: str):
        super().__init__(("127.0.0.1", 0), api.Proxy)
        self.tls, self._authority = tls, authority
        self.store = store.Store()
        self.faults = Faults()
        self.denied: set[str] = set()
        self.requests: list[api.Request] = []
        self.strays: list[str] = []

    def environment(self) -> dict[str, str]:
        """What makes TensorFlow's client talk to this server and to no other."""
        proxy = f"http://127.0.0.1:{self.server_port}"
        return {
            "https_proxy": proxy,
            "http_proxy": proxy,
            "no_proxy": "",
            "NO_PROXY": "",
            "CURL_CA_BUNDLE": self._authority,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": api.TOKEN,
            "NO_GCE_CHECK": "true",
            "GCS_RETRY_CONFIG_INIT_DELAY_TIME_US": "0",  # no waiting between tries
        }

    def kinds(self) -> list[str]:
        """The kind of each request, in order."""
        return [request.kind for request in self.requests]

    def count(self) -> collections.Counter:
        """How many requests there were of each kind."""
        return collections.Counter(self.kinds())

    def handle_error(self, request, client_address):
        """Clients that were killed leave broken connections behind."""


@contextlib.contextmanager
def serve() -> Iterator[Server]:
    """A running server."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = _certificate(pathlib.Path(folder))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        with Server(tls, str(certificate)) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()


def _certificate(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """A certificate of both hosts that is its own authority, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ",".join(f"DNS:{host}" for host in (api.API, api.MEDIA))
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    subprocess.run(
        [
            *command.split(),
            *("-nodes", "-days", "2", "-subj", "/CN=bucket stand-in"),
            *("-addext", f"subjectAltName={names}"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key
