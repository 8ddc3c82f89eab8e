"""Describes the server's addresses as an OpenAPI document."""

from typing import Any

from efficientnet_tf.serve.served import Served
from efficientnet_tf.serve.settings import Serving

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "one line"}},
}
_PREDICTION = {
    "type": "object",
    "properties": {
        "class": {"type": "integer", "description": "from 0; outputs before it below"},
        "name": {"type": "string"},
        "probability": {"type": "number"},
    },
}
_RESULT = {
    "type": "object",
    "properties": {
        "file": {"type": "string", "description": "the name that a form gave"},
        "predictions": {"type": "array", "items": _PREDICTION},
        "error": {"type": "string", "description": "in place of predictions"},
    },
}
_RESULTS = {
    "type": "object",
    "properties": {
        "results": {"type": "array", "items": _RESULT},
        "milliseconds": {"type": "number", "description": "that the server took"},
    },
}
_BASE64 = {"type": "string", "format": "byte", "description": "base64 of an image file"}
_BINARY = {"type": "string", "format": "binary"}
_TOP_K = {"type": "integer", "minimum": 1, "default": 5}
_STATUSES = {
    "400": "the request is malformed",
    "404": "the model has another name, or gives no maps",
    "408": "the body came too slowly",
    "413": "the body has too many bytes, or the request too many images",
    "415": "the Content-Type is not read",
    "422": "no image can be decoded, or each has too many pixels",
    "429": "the queue is full; Retry-After says for how many seconds",
    "503": "the server stops",
}


def document(served: Served, settings: Serving) -> dict[str, Any]:
    """Makes the document.

    Args:
        served: the model.
        settings: the limits, which the document tells.
    """
    model = f"/v1/models/{served.name}"
    images = "Images: JPEG, PNG, GIF (first frame), BMP or WebP."
    limits = (
        f"A body may have {settings.max_request_mb:g} MB, an image "
        f"{settings.max_pixels:,} pixels, a request {settings.queue} images."
    )
    paths = {
        "/v1/predict": _post(
            "Predict images", f"{images} {limits}", _forms(), _RESULTS
        ),
        f"{model}:predict": _post(
            "Predict images as TensorFlow Serving's REST does",
            'All images are predicted or none. {"inputs": [...]} is answered by '
            '{"outputs": {...}}.',
            {"application/json": {"schema": _instances()}},
            {"type": "object", "properties": {"predictions": {"type": "array"}}},
        ),
        model: _get("The model's state, as TensorFlow Serving tells it"),
        "/healthz": _get("Whether the process works"),
        "/readyz": _get("Whether new requests are answered; 503 once the server stops"),
        "/metrics": _get("Counters in Prometheus's text format", "text/plain"),
        "/openapi.json": _get("This description"),
        "/docs": _get("This description as a page", "text/html"),
        "/": _get("A page to drop photos on", "text/html"),
    }
    if served.has_maps:
        paths["/v1/cam"] = _cam()
    title = f"{served.name}, {len(served.class_names)} classes"
    info = {"title": title, "version": "1", "description": limits}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


def _forms() -> dict[str, Any]:
    listed = {"images": {"type": "array", "items": _BASE64}, "top_k": _TOP_K}
    files = {"file": {"type": "array", "items": _BINARY}, "top_k": _TOP_K}
    return {
        "application/json": {"schema": {"type": "object", "properties": listed}},
        "multipart/form-data": {"schema": {"type": "object", "properties": files}},
        "image/*": {"schema": _BINARY},
    }


def _instances() -> dict[str, Any]:
    one = {"type": "object", "properties": {"b64": _BASE64}}
    properties = {
        "instances": {"type": "array", "items": one},
        "signature_name": {"type": "string", "default": "serving_default"},
    }
    return {"type": "object", "properties": properties}


def _post(
    summary: str, description: str, content: dict[str, Any], answer: dict[str, Any]
) -> dict[str, Any]:
    responses = {"200": _response("the answer", "application/json", answer)}
    responses |= {
        status: _response(told, "application/json", _ERROR)
        for status, told in _STATUSES.items()
    }
    body = {"required": True, "content": content}
    operation = {"summary": summary, "description": description, "requestBody": body}
    return {"post": operation | {"responses": responses}}


def _cam() -> dict[str, Any]:
    told = "One image. The map of its likeliest class: red is most evidence."
    path = _post("Draw a class activation map over an image", told, _forms(), {})
    path["post"]["responses"]["200"] = _response("a PNG", "image/png", _BINARY)
    return path


def _get(summary: str, kind: str = "application/json") -> dict[str, Any]:
    responses = {"200": _response("the answer", kind, {})}
    return {"get": {"summary": summary, "responses": responses}}


def _response(told: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": told, "content": {kind: {"schema": schema}}}
