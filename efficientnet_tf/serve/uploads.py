"""The images of a request: as JSON, as a form with files, or as the body itself."""

import base64
import dataclasses
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from efficientnet_tf.serve import bodies

_FIELDS = 100  # of a form beside its files; more are no mistake but an attack
MOST_CLASSES = 1_000_000  # more are ranked for nobody
_FORMS = ("application/json", "multipart/form-data", "application/octet-stream")
_ALLOWED = f"{', '.join(_FORMS)} and image/*, such as image/jpeg"


@dataclasses.dataclass(frozen=True)
class Upload:
    """One image that a client sent.

    Args:
        encoded: the bytes of the file.
        file: the file's name, if the client gave one; it is only repeated to it.
        error: why the bytes could not be read; then there are none.
    """

    encoded: bytes = b""
    file: str | None = None
    error: str | None = None


@dataclasses.dataclass(frozen=True)
class Uploads:
    """The images of a request, and how many classes it wants to know."""

    images: list[Upload]
    top_k: int


async def parse(request: Request, body: bytes, *, most: int) -> Uploads:
    """Finds the images in a request's body.

    Args:
        request: the request, with a Content-Type that `check_content_type` allows.
        body: its whole body.
        most: int, most files of a form.

    Raises:
        HTTPException: 400 for a body that is not what Content-Type says or holds no
            image.
    """
    kind = _content_type(request)
    if kind == "application/json":
        found = _of_json(body)
    elif kind == "multipart/form-data":
        found = await _of_form(request, body, most)
    else:
        top_k = request.query_params.get("top_k")
        found = Uploads([Upload(body)], _top_k(top_k))
    if not found.images:
        raise HTTPException(400, "the request holds no image")
    return found


def check_content_type(request: Request) -> None:
    """Raises HTTPException 415 for a Content-Type that is not read."""
    kind = _content_type(request)
    if kind not in _FORMS and not kind.startswith("image/"):
        raise HTTPException(415, f"Content-Type: {kind}: allowed are {_ALLOWED}")


def _content_type(request: Request) -> str:
    """Returns a request's Content-Type without parameters, in small letters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _of_json(body: bytes) -> Uploads:
    found = bodies.from_json(body)
    bodies.check_keys(found, "images", "top_k")
    images = found.get("images")
    if not isinstance(images, list):
        raise HTTPException(400, "images: allowed is a list of files as base64")
    return Uploads([from_base64(one) for one in images], _top_k(found.get("top_k")))


def from_base64(text: Any) -> Upload:
    """Reads the base64 of an image; what is none becomes the upload's error."""
    if not isinstance(text, str):
        return Upload(error=f"{type(text).__name__} in place of a text of base64")
    try:
        return Upload(base64.b64decode(text, validate=True))
    except ValueError as error:
        return Upload(error=f"no base64 ({error})")


async def _of_form(request: Request, body: bytes, most: int) -> Uploads:
    parser = MultiPartParser(
        request.headers, bodies.once(body), max_files=most, max_fields=_FIELDS
    )
    parser.spool_max_size = len(body) + 1  # keeps files in memory, off the disk
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError) as error:
        told = getattr(error, "message", None) or error
        raise HTTPException(400, f"the form cannot be read: {told}") from None
    try:
        return await _of_parts(form)
    finally:
        await form.close()


async def _of_parts(form: FormData) -> Uploads:
    images, top_k = [], None
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            images.append(Upload(await value.read(), value.filename))
        elif name == "top_k":
            top_k = value
        else:
            raise HTTPException(400, f"{name}: allowed are files and top_k")
    return Uploads(images, _top_k(top_k))


def _top_k(value: Any) -> int:
    """Reads a number of classes; without one there are 5."""
    if value is None:
        return 5
    is_number = type(value) is int or (isinstance(value, str) and value.isdecimal())
    if not is_number or not 1 <= int(str(value)[:9]) <= MOST_CLASSES:
        raise HTTPException(400, f"top_k={value}: allowed is 1 to {MOST_CLASSES}")
    return int(value)
