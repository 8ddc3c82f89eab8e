"""LiteRT files: float32, float16 weights, 8-bit weights, or 8 bits throughout."""

import contextlib
import csv
import io
import pathlib
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.export import dynamic_range, frozen_graph
from efficientnet_tf.export.network import OUTPUTS, Network
from efficientnet_tf.hardware import freed_memory

Outputs = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]


def write(
    network: Network, path: str, *, precision: str, photos: Sequence[np.ndarray] = ()
) -> None:
    """Writes a file that takes one image, with the signature "serving_default".

    Args:
        network: the network to write.
        path: the local file.
        precision: "float32"; "float16", weights of 16 bits; "dynamic", see
            `dynamic_range`; "int8", weights and activations of 8 bits, with a range for
            each channel of weights. Images and outputs are float32 with each of them.
        photos: uint8 [image_size, image_size, 3] each, of which the ranges of
            activations are found for "int8".
    """
    is_dynamic = precision == "dynamic"
    converted = "float32" if is_dynamic else precision
    with _converter(*_traced(network), converted, photos) as converter:
        content = converter.convert()
    if is_dynamic:
        content = dynamic_range.quantize(content)
    pathlib.Path(path).write_bytes(content)


def convert(outputs: Outputs, images: tf.TensorSpec) -> bytes:
    """Converts a function as `write` does, in float32; returns the file's bytes.

    Args:
        outputs: maps a batch of images to tensors by name. Its weights are constants.
        images: what it takes, with a fixed batch of 1.
    """
    with _converter(outputs, images, [], "float32", []) as converter:
        return converter.convert()


def layer_errors(
    network: Network, photos: Sequence[np.ndarray]
) -> list[dict[str, Any]]:
    """Finds the layers that 8 bits change most.

    Each layer computes in 8 bits what the layers before it give in 8 bits, and is
    compared with the same computation in float32.

    Args:
        network: the network, as `write` takes it.
        photos: uint8 [image_size, image_size, 3] each, to calibrate and compare with.

    Returns:
        For each layer its name, "layer", and "noise", largest first: the error of a
        channel's outputs over their standard deviation, for the median channel.
    """
    with _converter(*_traced(network), "int8", photos) as converter:
        options = tf.lite.experimental.QuantizationDebugOptions(
            layer_direct_compare_metrics={"noise": _noise}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its interpreter's age
            debugger = tf.lite.experimental.QuantizationDebugger(
                converter=converter,
                debug_dataset=lambda: _batches(photos),
                debug_options=options,
            )
        freed_memory.give_back()  # what the conversion took; outputs follow
        debugger.run()
        file = io.StringIO()
        debugger.layer_statistics_dump(file)
    found = [
        {"layer": _layer(row["tensor_name"]), "noise": float(row["noise"])}
        for row in csv.DictReader(io.StringIO(file.getvalue()))
    ]
    return sorted(found, key=lambda one: -one["noise"])


def _noise(exact: np.ndarray, rounded: np.ndarray, scale: float, zero: int) -> float:
    """Returns the noise of one layer's 8-bit outputs, see `layer_errors`.

    Args:
        exact: float32 [..., channels].
        rounded: int8 [..., channels].
        scale: float, what a step of `rounded` is worth.
        zero: int, the `rounded` of 0.
    """
    values = exact.reshape(-1, exact.shape[-1])
    errors = (rounded.reshape(values.shape) - np.float32(zero)) * scale - values
    rounding = np.sqrt(np.mean(errors**2, 0))
    spread = values.std(0)
    # A layer of a single pixel, or a channel that is always 0, has no spread.
    ratios = rounding[spread > 0] / spread[spread > 0]
    return float(np.median(ratios)) if len(ratios) else 0.0


def _layer(tensor: str) -> str:
    """Returns a layer's name from a tensor's: MODEL/LAYER_1/OPERATION;..."""
    scope = re.match(r"[^/;]+/([^/;]+?)(_\d+)?/", tensor)
    return scope[1] if scope else tensor


def _traced(
    network: Network,
) -> tuple[Outputs, tf.TensorSpec, Sequence[tf.Variable]]:
    """Returns what a converter takes of a network.

    The converter makes constants of its variables. Constants in its SavedModel would
    be copied many times: B7 took 8.7 GB.
    """
    network.check_size()

    def outputs(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(OUTPUTS, network.predict(images), strict=True))

    return outputs, network.images(1), frozen_graph.variables(network.model)


@contextlib.contextmanager
def _converter(
    outputs: Outputs,
    images: tf.TensorSpec,
    variables: Sequence[tf.Variable],
    precision: str,
    photos: Sequence[np.ndarray],
) -> Iterator[Any]:
    """Gives a converter, whose SavedModel is there within the `with` block."""
    with tempfile.TemporaryDirectory() as folder:
        frozen_graph.save(outputs, images, folder, variables=variables)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.representative_dataset = lambda: _batches(photos)
            kernels = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.target_spec.supported_ops = kernels
        yield converter


def _batches(photos: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    for photo in photos:
        yield [photo[np.newaxis].astype("float32")]
