"""TensorFlow Serving's REST forms of `predict`, for the signature serving_default.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException

from efficientnet_tf.serve import bodies, uploads
from efficientnet_tf.serve.uploads import Upload

_FORM = '{"b64": "..."}, the base64 of an image file'
STATUS = {
    "model_version_status": [
        {
            "version": "1",
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
    ]
}


def parse(body: bytes) -> tuple[list[Upload], bool]:
    """Reads a request.

    Args:
        body: JSON in the row form, {"instances": [...]}, or the column form,
            {"inputs": ...}.

    Returns:
        The images, and whether the form is that of rows.

    Raises:
        HTTPException: 400, naming what is wrong.
    """
    found = bodies.from_json(body)
    bodies.check_keys(found, "instances", "inputs", "signature_name")
    signature = found.get("signature_name") or "serving_default"
    if signature != "serving_default":
        told = f"signature_name={signature}: allowed is serving_default"
        raise HTTPException(400, told)
    if ("instances" in found) == ("inputs" in found):
        raise HTTPException(400, "allowed is one of instances and inputs")
    by_rows = "instances" in found
    key = "instances" if by_rows else "inputs"
    return [_image(one, key, i) for i, one in enumerate(_values(found[key]))], by_rows


def answer(rows: Sequence[np.ndarray], names: Sequence[str], *, by_rows: bool) -> dict:
    """Gives the outputs of serving_default, see `export.saved_model.write`.

    Args:
        rows: float32 [classes] of each image.
        names: names of the classes.
        by_rows: whether the request had the form of rows.

    Returns:
        {"predictions": [{output: value, ...}, ...]}, an object for each image; in the
        column form {"outputs": {output: [value, ...], ...}}.
    """
    objects = [_outputs(row, names) for row in rows]
    if by_rows:
        return {"predictions": objects}
    return {"outputs": {name: [one[name] for one in objects] for name in objects[0]}}


def _outputs(row: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    ranked = np.argsort(-row, kind="stable")[: min(5, len(names))].tolist()
    return {
        "probabilities": row.tolist(),
        "classes": ranked[0],
        "class_names": names[ranked[0]],
        "top_k_classes": ranked,
        "top_k_names": [names[number] for number in ranked],
        "top_k_probabilities": row[ranked].tolist(),
        "valid": True,  # a request with an image that is not is refused
        "reason": 0,
    }


def _values(found: Any) -> list:
    """Returns the values of the signature's only input."""
    if isinstance(found, dict) and set(found) == {"encoded"}:
        found = found["encoded"]
    if not isinstance(found, list) or not found:
        raise HTTPException(400, f"allowed is a list of one or more of {_FORM}")
    return found


def _image(value: Any, key: str, number: int) -> Upload:
    if isinstance(value, dict) and set(value) == {"encoded"}:
        value = value["encoded"]
    if not isinstance(value, dict) or set(value) != {"b64"}:
        raise HTTPException(400, f"{key}[{number}]: allowed is {_FORM}")
    upload = uploads.from_base64(value["b64"])
    if upload.error:
        raise HTTPException(400, f"{key}[{number}]: {upload.error}")
    return upload
