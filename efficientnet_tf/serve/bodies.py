"""Reads the bodies of requests, within limits of bytes and time."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from efficientnet_tf.serve.room import Place
from efficientnet_tf.serve.settings import Serving


async def read(request: Request, settings: Serving, place: Place) -> bytes:
    """Reads a whole body.

    Args:
        request: the request, of which nothing has been read.
        settings: the limits.
        place: is charged with the bytes.

    Raises:
        HTTPException: 413 for too many bytes, which Content-Length may tell before any
            is read; 408 if they take too long; 429 where there is no room for them.
    """
    most = int(settings.max_request_mb * 1e6)
    _check_size(_announced(request), most)
    body = bytearray()
    try:
        async with asyncio.timeout(settings.request_timeout_s):
            async for chunk in request.stream():
                _check_size(len(body) + len(chunk), most)
                place.add_bytes(len(chunk))
                body += chunk
    except TimeoutError:
        raise HTTPException(
            408,
            f"the body took more than {settings.request_timeout_s:g} s; "
            f"{len(body):,} bytes of it came",
        ) from None
    return bytes(body)


def _announced(request: Request) -> int:
    """Returns Content-Length, 0 without one; h11 refuses one that is no number."""
    return int(request.headers.get("content-length", 0))


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise HTTPException(
            413,
            f"a body of {size:,} bytes or more; allowed are {most:,} "
            "(--max_request_mb)",
        )


def from_json(body: bytes) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        HTTPException: 400 if the body is none.
    """
    try:
        found = json.loads(body)
    except RecursionError:
        raise HTTPException(400, "the body is no JSON: nested too deeply") from None
    except ValueError as error:  # of UnicodeDecodeError too
        raise HTTPException(400, f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise HTTPException(400, f"the body is a JSON {kind}; allowed is an object")
    return found


def check_keys(found: dict[str, Any], *allowed: str) -> None:
    """Raises HTTPException 400, naming a key of a JSON object that is not allowed."""
    unknown = sorted(set(found) - set(allowed))
    if unknown:
        raise HTTPException(400, f"{unknown[0]}: allowed are {', '.join(allowed)}")


async def once(body: bytes) -> AsyncGenerator[bytes, None]:
    """Yields a body that is in memory to a parser that reads a stream."""
    yield body
