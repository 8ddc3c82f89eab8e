"""One client's connection: uvicorn's, with limits for clients that are slow or many.

uvicorn 0.54 limits the time between two requests and the size of a head. It waits for a
head, for the rest of a refused body, and for a client that does not read, without end.
"""

import asyncio
import contextlib
import http
import json
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 900  # connections; most systems give a process 1,024 files
LARGEST_HEAD = 16_384  # bytes, h11's own default
_LINGER_S = 2.0  # for a client to read why it is refused, while it still sends


class Connection(H11Protocol):
    """A connection that ends by itself where uvicorn's would wait.

    Args:
        timeout_s: float, seconds for a head, and for a client to read an answer.
        **kwargs: what uvicorn gives to its own class.
    """

    def __init__(self, *, timeout_s: float, **kwargs: Any):
        super().__init__(**kwargs)
        self._timeout_s = timeout_s
        self._timer: asyncio.TimerHandle | None = None
        self._lingers = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Waits for a head, or refuses one connection too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST:
            self._refuse(503, f"{MOST} connections are open already")
        else:
            self._set_timer(self._timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._unset_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes bytes; begins or ends the wait for a head."""
        if self._lingers:
            return
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        """Ends an answered request, also where the client still sends or must read."""
        super().on_response_complete()
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            self._set_timer(self._timeout_s)  # for the client to read
        elif self.conn.their_state is h11.SEND_BODY and not self._is_answering():
            self._linger()
        else:
            self._watch_head()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP, or a head that is too long."""
        error = sys.exception()
        if getattr(error, "error_status_hint", 400) == 431:
            told = f"the head has more than {LARGEST_HEAD:,} bytes"
            self._refuse(431, told)
        else:
            self._refuse(400, f"no valid HTTP request: {error or msg}")

    def shutdown(self) -> None:
        """Closes the connection once its request is answered."""
        if self._lingers:
            self.transport.close()
        else:
            super().shutdown()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _watch_head(self) -> None:
        """Limits the time of a head that has begun; a request has none."""
        if self._is_answering():
            self._unset_timer()
        elif self._timer is None and self.conn.trailing_data[0]:
            self._set_timer(self._timeout_s)

    def _late(self) -> None:
        """Ends a connection whose client took too long."""
        self._timer = None
        if self._lingers or self.transport.get_write_buffer_size():
            self.transport.abort()
        elif not self._is_answering():
            self._refuse(408, f"no whole head came in {self._timeout_s:g} s")

    def _refuse(self, status: int, told: str) -> None:
        """Answers without the application, and closes."""
        if self.cycle is not None:
            self.cycle.disconnected = True  # ends the application's work
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        body = json.dumps({"error": told}).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        reason = http.HTTPStatus(status).phrase.encode()
        response = h11.Response(
            status_code=status, headers=list(headers.items()), reason=reason
        )
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self._linger()

    def _linger(self) -> None:
        """Closes our side, and drops for a while what the client still sends.

        To close at once would reset the connection, and the client might lose the
        answer.
        """
        self._lingers = True
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        with contextlib.suppress(OSError):  # the client may have gone
            self.transport.write_eof()
        self._set_timer(_LINGER_S)

    def _set_timer(self, seconds: float) -> None:
        self._unset_timer()
        self._timer = self.loop.call_later(seconds, self._late)

    def _unset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
