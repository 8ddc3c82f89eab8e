"""The server's application: routes, errors in one line, and counting of answers."""

import time

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from efficientnet_tf import label_sets
from efficientnet_tf.serve.routes import Routes
from efficientnet_tf.serve.service import Service
from efficientnet_tf.settings import shown

# These tell how the server is while it stops.
_ALWAYS = ("/healthz", "/readyz", "/metrics")


def create(service: Service) -> Starlette:
    """Makes the application.

    Args:
        service: the model at work.
    """
    app = Starlette(
        routes=Routes(service).all(),
        middleware=[Middleware(_Counted, service=service)],
        exception_handlers={
            HTTPException: _refused,
            ClientDisconnect: _gone,
            Exception: _failed,
        },
    )
    app.router.redirect_slashes = False  # an address has one spelling
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """Answers with an error's one line."""
    assert isinstance(error, HTTPException)
    told, path = error.detail, request.url.path
    if told == "Not Found":
        told = f"{path}: there is nothing at this address; GET /docs lists all"
    if told == "Method Not Allowed":
        allowed = (error.headers or {}).get("Allow", "").split(", ")
        told = f"{request.method} {path}: allowed is {', '.join(sorted(allowed))}"
    line = shown(label_sets.printable(told))
    return JSONResponse({"error": line}, error.status_code, error.headers)


async def _gone(request: Request, error: Exception) -> Response:
    """Ends a request whose client has gone; nobody reads the answer."""
    return Response(status_code=400)


async def _failed(request: Request, error: Exception) -> Response:
    """Answers where this package is wrong; uvicorn prints the traceback."""
    told = "the server failed at this request; its log tells why"
    return JSONResponse({"error": told}, 500)


class _Counted:
    """Counts answers; refuses new requests while the server stops."""

    def __init__(self, app: ASGIApp, service: Service):
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._service.stopping:
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        app = self._app
        if self._service.stopping and scope["path"] not in _ALWAYS:
            told = "the server is stopping; try again soon"
            app = JSONResponse({"error": told}, 503, {"Retry-After": "5"})
        try:
            await app(scope, receive, noted)
        finally:
            route = getattr(scope.get("endpoint"), "__name__", "other")
            seconds = time.perf_counter() - began
            self._service.metrics.count_request(route, status, seconds)
