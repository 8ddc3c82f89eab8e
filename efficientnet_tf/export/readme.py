"""The README.md of an export: what is in it, and the commands that serve it."""

from collections.abc import Sequence

from efficientnet_tf.export.formats import Format
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.weights import passport as passports

_HEAD = """# {model}

{classes} classes, {size}x{size} pixels. `labels.txt` names output n on line n (from 0),
`preparation.json` says how a photo becomes the network's input. Inputs are RGB in
[0, 255]; the network normalises them itself.

## Files
"""
_SERVING = """
## TensorFlow Serving

    docker run -p 8500:8500 -p 8501:8501 -e MODEL_NAME=model \\
      --mount type=bind,source="$PWD",target=/models/model/1 tensorflow/serving

REST takes image files and answers with class names:

    echo "{\\"instances\\": [{\\"b64\\": \\"$(base64 -w0 photo.jpg)\\"}]}" |
      curl -d @- localhost:8501/v1/models/model:predict

gRPC takes the same as a `PredictRequest` of the signature `serving_default`, whose
input `encoded` is a string tensor [batch] with the bytes of image files. An image that
is not decoded has `valid` false and a `reason`: 1, no image that can be decoded; 2, too
many pixels. The other signatures take pixels: `tensor`, `tensor_uint8`, and `features`
and `cam` where the network has them.

    saved_model_cli show --dir . --all
    python -c "from numpy import *; save('images', zeros([1, {size}, {size}, 3], 'f'))"
    saved_model_cli run --dir . --tag_set serve --signature_def tensor \\
      --inputs images=images.npy
"""
_OPENVINO = """
## OpenVINO Model Server

    docker run -p 8000:8000 --mount type=bind,source="$PWD",target=/model/1 \\
      openvino/model_server --model_name model --model_path /model --rest_port 8000

It serves one .xml file: of several, copy one and its .bin into a folder to mount. A
CPU that has bfloat16 computes in it unless INFERENCE_PRECISION_HINT is "f32". client.py
sets that for all files but model_bfloat16.xml, whose weights are rounded for bfloat16.
An x86-64 processor without VNNI needs a model_int8.xml that was exported on one.
"""
_PACKAGES = {
    "saved_model": "tensorflow",
    "litert": "ai-edge-litert",
    "onnx": "onnxruntime",
    "openvino": "openvino",
}


def text(classifier: Classifier, formats: Sequence[Format]) -> str:
    """Returns the page.

    Args:
        classifier: what was exported.
        formats: the formats that were written.
    """
    variant = passports.of(classifier.model).variant
    size = classifier.preparation.image_size
    head = _HEAD.format(
        model=variant.name if variant else classifier.model.name,
        classes=classifier.classes,
        size=size,
    )
    parts = [head, _table(formats)]
    written = {one.module for one in formats}
    if "saved_model" in written:
        parts.append(_SERVING.replace("{size}", str(size)))
    if "openvino" in written:
        parts.append(_OPENVINO)
    return "".join(parts)


def _table(formats: Sequence[Format]) -> str:
    lines = [
        "| format | file | precision | classify photos with |",
        "|---|---|---|---|",
    ]
    for one in formats:
        command = f"python client.py {one.file or '.'} photo.jpg"
        lines.append(
            f"| {one.name} | `{one.file or 'saved_model.pb'}` | {one.precision} | "
            f"`pip install {_PACKAGES[one.module]} numpy pillow`, `{command}` |"
        )
    return "\n" + "\n".join(lines) + "\n"
