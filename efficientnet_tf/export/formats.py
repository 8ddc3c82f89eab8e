"""The formats of exported networks: their files, packages and bounds; no TensorFlow."""

import dataclasses
from collections.abc import Sequence

from efficientnet_tf.hardware import packages
from efficientnet_tf.spelling import did_you_mean


@dataclasses.dataclass(frozen=True)
class Format:
    """One of the names that `--export_formats` takes.

    Args:
        name: str, the format's name.
        file: str, what a runtime opens in the export's folder; "" is the folder.
        module: str, the module of this package that writes it, with `write`.
        precision: str, "float32", "float16" (weights), "bfloat16" (weights and
            activations), "dynamic" (8-bit weights) or "int8" (weights and activations).
        packages: modules that have to be installed to write and open it.
        agreement: float from 0 to 1, the least share of images whose likeliest class
            is the Keras model's.
        difference: float from 0 to 1, the most that the largest difference of an
            image's probabilities from the Keras model's may be, averaged over images.
    """

    name: str
    file: str
    module: str
    precision: str
    packages: tuple[str, ...]
    agreement: float
    difference: float

    @property
    def is_calibrated(self) -> bool:
        """Whether photos help to write it."""
        return self.precision in ("bfloat16", "int8")

    @property
    def needs_photos(self) -> bool:
        """Whether it cannot be written without photos: ranges of activations."""
        return self.precision == "int8"

    @property
    def runtime(self) -> str:
        """The key of `runtimes.OPEN` that opens it."""
        return self.name if self.precision == "bfloat16" else self.module


_LITERT = ("ai_edge_litert",)
_ONNX = ("onnx", "onnxruntime", "tf2onnx")
_OPENVINO = ("openvino",)
# Agreement and difference. Of float32 only the order of sums is another: probabilities
# that are nearly equal may change places.
_EXACT = (0.99, 1e-4)
_8_BITS = (0.98, 0.05)
_ALL = (
    Format("saved_model", "", "saved_model", "float32", (), *_EXACT),
    Format("litert", "model.tflite", "litert", "float32", _LITERT, *_EXACT),
    Format(
        "litert_float16",
        "model_float16.tflite",
        "litert",
        "float16",
        _LITERT,
        0.98,
        0.01,
    ),
    Format(
        "litert_dynamic",
        "model_dynamic.tflite",
        "litert",
        "dynamic",
        (*_LITERT, "ai_edge_quantizer"),
        0.95,
        0.05,
    ),
    Format("litert_int8", "model_int8.tflite", "litert", "int8", _LITERT, *_8_BITS),
    Format("onnx", "model.onnx", "onnx", "float32", _ONNX, *_EXACT),
    Format("openvino", "model.xml", "openvino", "float32", _OPENVINO, *_EXACT),
    Format(
        "openvino_bf16",
        "model_bfloat16.xml",
        "openvino",
        "bfloat16",
        _OPENVINO,
        0.98,
        0.02,
    ),
    Format(
        "openvino_int8",
        "model_int8.xml",
        "openvino",
        "int8",
        (*_OPENVINO, "nncf"),
        *_8_BITS,
    ),
)
FORMATS = {one.name: one for one in _ALL}


def find(names: Sequence[str], *, photos: Sequence[str] = ()) -> list[Format]:
    """Finds formats by name, and checks that they can be written here.

    Args:
        names: names of formats.
        photos: what was given to calibrate with.

    Raises:
        ValueError: naming a format that is unknown, lacks a package or lacks photos.
    """
    for name in names:
        if name not in FORMATS:
            raise ValueError(
                f"export_formats={name}: allowed are {', '.join(FORMATS)}"
                f"{did_you_mean(name, FORMATS)}"
            )
    found = [FORMATS[name] for name in dict.fromkeys(names)]
    for one in found:
        of = f"export_formats={one.name}"
        packages.check_modules(one.packages, extra="export", of=of)
        if one.needs_photos and not photos:
            raise ValueError(
                f"{of}: name photos to find the ranges of 8 bits with, after the "
                "flags: files, folders or patterns"
            )
    return found
