"""Runs the application until a signal comes, and answers what was taken before it."""

import asyncio
import functools
import logging
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from efficientnet_tf import interruption
from efficientnet_tf.serve import app, connections
from efficientnet_tf.serve.service import Service

# In which open connections hear that the server stops: a client that has just got an
# answer may be about to send its next request.
_FAREWELL_S = 1.0
_KEEP_ALIVE_S = 15  # between two requests of a connection


class Server(uvicorn.Server):
    """uvicorn's server, with a stop that loses nothing.

    At the first SIGINT or SIGTERM it accepts no connection and no request any more, and
    ends once all are answered. A second signal ends the process at once.

    Args:
        service: the model at work.
        ready: is called once the server listens.
    """

    def __init__(self, service: Service, ready: Callable[[], None] = lambda: None):
        protocol = functools.partial(
            connections.Connection, timeout_s=service.settings.request_timeout_s
        )
        super().__init__(
            uvicorn.Config(
                app.create(service),
                http=protocol,  # type: ignore[arg-type]
                loop="asyncio",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                h11_max_incomplete_event_size=connections.LARGEST_HEAD,
            )
        )
        # It warns of each request that is no HTTP; the client is told, and counted.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._service = service
        self._ready = ready

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins the stop; uvicorn's own would raise the signal again after it."""
        interruption.end_at_once()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.stop()

    def stop(self) -> None:
        """Begins the stop, from any thread."""
        self._service.stopping = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to listen."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answers what was taken, and ends.

        Every wait has an end: a body's and a head's time is limited, and so is that of
        a client that does not read its answer.
        """
        for server in self.servers:
            server.close()
        end = time.monotonic() + _FAREWELL_S
        while self.server_state.connections and time.monotonic() < end:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)
