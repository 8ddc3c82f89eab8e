"""Classifies photos with an exported network: python client.py MODEL PHOTO ...

MODEL is model.tflite, model.onnx, model.xml or the folder of the SavedModel. The
program needs NumPy, Pillow and that one runtime: ai-edge-litert, onnxruntime, openvino
or tensorflow. Every export holds a copy of it, which reads preparation.json and
labels.txt beside it.
"""

import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent


def open_network(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from float32 images to probabilities [batch, classes]."""
    match pathlib.Path(path).suffix:
        case ".tflite":
            from ai_edge_litert import interpreter

            run = interpreter.Interpreter(path).get_signature_runner()
            return lambda images: run(images=images)["probabilities"]
        case ".onnx":
            import onnxruntime

            session = onnxruntime.InferenceSession(path)
            return lambda images: session.run(["probabilities"], {"images": images})[0]
        case ".xml":
            import openvino

            precision = "bf16" if "bfloat16" in pathlib.Path(path).name else "f32"
            hint = {"INFERENCE_PRECISION_HINT": precision}
            network = openvino.Core().compile_model(path, "CPU", hint)
            return lambda images: network({"images": images})["probabilities"]
    import tensorflow as tf

    model = tf.saved_model.load(path)
    tensor = model.signatures["tensor"]
    return lambda images: tensor(images=tf.constant(images))["probabilities"].numpy()


def prepare(path: str, settings: dict[str, Any]) -> np.ndarray:
    """Prepares a photo; returns float32 [1, image_size, image_size, 3] in [0, 255].

    Args:
        path: an image file that Pillow reads.
        settings: what preparation.json holds.
    """
    image = Image.open(path)
    upright = ImageOps.exif_transpose(image) if settings["exif"] else image
    fraction = np.float32(settings["crop_fraction"])
    side = max(1, int(fraction * np.float32(min(upright.size))))
    left, top = ((whole - side + 1) // 2 for whole in upright.size)
    square = upright.convert("RGB").crop((left, top, left + side, top + side))
    weights = _weights(side, settings["image_size"], settings["resize"] == "bicubic")
    resized = np.einsum("yi,xj,ijc->yxc", weights, weights, square, optimize=True)
    return np.clip(np.rint(resized), 0, 255).astype("float32")[np.newaxis]


def _weights(size: int, resized: int, is_cubic: bool) -> np.ndarray:
    """Returns the weight of each pixel of a line in each pixel of the resized line.

    As TensorFlow 1 resized: without half-pixel centres, by cubic kernels with A = -0.75
    whose argument is rounded to 1/1024.
    """
    places = np.arange(resized, dtype="float32") * np.float32(size / resized)
    first = places.astype(int)[:, np.newaxis]
    rest = places[:, np.newaxis] - first
    taps = np.arange(-1, 3) if is_cubic else np.arange(2)
    far = abs((np.rint(rest * 1024) / 1024 if is_cubic else rest) - taps)
    values = 1 - far
    if is_cubic:
        inner = (1.25 * far - 2.25) * far**2 + 1
        outer = -0.75 * (((far - 5) * far + 8) * far - 4)
        values = np.where(far <= 1, inner, outer)
    weights = np.zeros((resized, size))
    lines = np.arange(resized)[:, np.newaxis]
    np.add.at(weights, (lines, np.clip(first + taps, 0, size - 1)), values)
    return weights


def main(model: str, *photos: str) -> None:
    """Prints the five likeliest classes of each photo."""
    predict = open_network(model)
    settings = json.loads((HERE / "preparation.json").read_text())
    names = (HERE / "labels.txt").read_text(encoding="utf-8").splitlines()
    for photo in photos:
        probabilities = predict(prepare(photo, settings))[0]
        print(photo)
        for output in np.argsort(-probabilities)[:5]:
            print(f"{probabilities[output]:8.2%}  {names[output]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
