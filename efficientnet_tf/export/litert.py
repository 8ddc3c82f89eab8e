"""LiteRT files: float32, float16 weights, 8-bit weights, or 8 bits throughout."""

import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from efficientnet_tf.export import frozen_graph
from efficientnet_tf.export.network import OUTPUTS, Network


def write(
    network: Network, path: str, *, precision: str, photos: Sequence[np.ndarray] = ()
) -> None:
    """Writes a file that takes one image, with the signature "serving_default".

    Args:
        network: the network to write.
        path: the local file.
        precision: "float32"; "float16" or "dynamic", weights of 16 or 8 bits; "int8",
            weights and activations of 8 bits, with a range for each channel of weights.
            Images and outputs are float32 with each of them.
        photos: uint8 [image_size, image_size, 3] each, of which the ranges of
            activations are found for "int8".
    """
    predict, images = network.freeze(1), network.images(1)

    def outputs(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(OUTPUTS, predict(images), strict=True))

    written = convert(outputs, images, precision=precision, photos=photos)
    pathlib.Path(path).write_bytes(written)


def convert(
    outputs: Callable[[tf.Tensor], Mapping[str, tf.Tensor]],
    images: tf.TensorSpec,
    *,
    precision: str = "float32",
    photos: Sequence[np.ndarray] = (),
) -> bytes:
    """Converts a function, as `write` does; returns the file's bytes.

    Args:
        outputs: maps a batch of images to tensors by name. Its weights are constants:
            the converter makes variables without values of Keras's.
        images: what it takes, with a fixed batch of 1.
        precision: as in `write`.
        photos: as in `write`.
    """
    with tempfile.TemporaryDirectory() as folder:
        frozen_graph.save(outputs, images, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.representative_dataset = lambda: _batches(photos)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return converter.convert()


def _batches(photos: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    for photo in photos:
        yield [photo[np.newaxis].astype("float32")]
