"""OpenVINO's files: an .xml with a .bin of weights beside it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from efficientnet_tf.export import frozen_graph, signal_stack
from efficientnet_tf.export.network import OUTPUTS, Network
from efficientnet_tf.hardware import freed_memory


def write(
    network: Network, path: str, *, precision: str, photos: Sequence[np.ndarray] = ()
) -> None:
    """Writes a network with the input "images" and outputs as OUTPUTS names them.

    It takes one image: with an open batch, B0 takes a tenth longer. `reshape` of the
    model that openvino reads makes it take another batch, or any.

    Args:
        network: the network to write.
        path: the local file, "*.xml".
        precision: "float32" or "bfloat16", which are the same file: the runtime's
            INFERENCE_PRECISION_HINT chooses. "int8": NNCF quantises weights and
            activations, and corrects the biases.
        photos: uint8 [image_size, image_size, 3] each, of which the ranges of
            activations are found for "int8".
    """
    made = convert(network.freeze(None), OUTPUTS)
    if precision == "int8":
        freed_memory.give_back()
        made = _quantised(made, photos)
    save(made, path)


def save(made: Any, path: str) -> None:
    """Writes an openvino.Model to an .xml file and its .bin."""
    import openvino

    openvino.save_model(made, path, compress_to_fp16=False)


def convert(frozen: Any, names: Sequence[str]) -> Any:
    """Converts a function; returns an openvino.Model that takes one image.

    Args:
        frozen: what `frozen_graph.freeze` returned.
        names: names of its outputs.
    """
    import openvino

    graph = frozen_graph.named(frozen, names)
    made = openvino.convert_model(graph, output=[f"{name}:0" for name in names])
    made.reshape([1, *frozen.inputs[0].shape[1:]])
    made.input().tensor.set_names({"images"})
    for output, name in zip(made.outputs, names, strict=True):
        output.tensor.set_names({name})
    return made


def _quantised(made: Any, photos: Sequence[np.ndarray]) -> Any:
    import nncf

    calibration = nncf.Dataset(
        photos, lambda photo: photo[np.newaxis].astype("float32")
    )
    with signal_stack.kept():
        return nncf.quantize(
            made,
            calibration,
            # Ranges of activations need not lie around 0; swish's do not.
            preset=nncf.QuantizationPreset.MIXED,
            fast_bias_correction=False,
            subset_size=len(photos),
        )
