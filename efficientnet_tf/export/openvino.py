"""OpenVINO's files: an .xml with a .bin of weights beside it.

With 8 bits and in bfloat16, what the first convolution computes stays in float32: where
a photo is smooth, its neighbouring outputs are rounded alike, and their errors add up.
"""

import logging
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from typing import Any

import numpy as np

from efficientnet_tf.export import bfloat16, frozen_graph, signal_stack
from efficientnet_tf.export.network import OUTPUTS, Network
from efficientnet_tf.hardware import freed_memory, machine


def write(
    network: Network, path: str, *, precision: str, photos: Sequence[np.ndarray] = ()
) -> None:
    """Writes a network with the input "images" and outputs as OUTPUTS names them.

    It takes one image: with an open batch, B0 takes a tenth longer. `reshape` of the
    model that openvino reads makes it take another batch, or any.

    Args:
        network: the network to write.
        path: the local file, "*.xml".
        precision: "float32"; "bfloat16", for the runtime's INFERENCE_PRECISION_HINT
            "bf16", with weights in 16 bits; or "int8": NNCF quantises weights and
            activations, and corrects the biases.
        photos: uint8 [image_size, image_size, 3] each, of which the ranges of
            activations are found for "int8". Without any, weights of "bfloat16" are
            left in float32, and the runtime rounds each to the nearest number.
    """
    if precision == "bfloat16" and len(photos):
        network = bfloat16.rounded(network, photos)
    made = _converted(network)
    freed_memory.give_back()
    if precision == "int8":
        made = _quantised(made, photos)
    if precision != "bfloat16":
        save(made, path)
        return
    _, kept = _first_features(made)
    _shorten(made)
    save(made, path)
    _keep(path, kept)


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


def _converted(network: Network) -> Any:
    frozen = network.freeze(None)
    freed_memory.give_back()  # copies of the graph, 2 GB for B7
    return convert(frozen, OUTPUTS)


def _quantised(made: Any, photos: Sequence[np.ndarray]) -> Any:
    import nncf

    calibration = nncf.Dataset(
        photos, lambda photo: photo[np.newaxis].astype("float32")
    )
    computing, reading = _first_features(made)
    nncf.set_log_level(logging.WARNING)
    with signal_stack.kept():
        return nncf.quantize(
            made,
            calibration,
            # Ranges of activations need not lie around 0; swish's do not.
            preset=nncf.QuantizationPreset.MIXED,
            fast_bias_correction=False,
            subset_size=len(photos),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=_overflow_fix()
            ),
            ignored_scope=nncf.IgnoredScope(names=computing + reading),
        )


def _overflow_fix() -> Any:
    """Halves the range of weights where the processor adds products in 16 bits.

    Without VNNI, products of whole bytes overflow there: Lite0's ImageNet classes of
    500 photos agreed on 82.6%, and agree on 91.8% with half the range (AMD Zen 3).
    With VNNI the whole range agrees on 96.0% (Zen 5).
    """
    import nncf

    overflows = machine.has_avx2() and not machine.has_vnni()
    return nncf.OverflowFix.ENABLE if overflows else None  # None is NNCF's choice


def _first_features(made: Any) -> tuple[list[str], list[str]]:
    """Names the operations that compute the first convolution, and those that read it.

    The latter end with convolutions, whose outputs belong to what follows.
    """
    nodes = [node for node in made.get_ordered_ops() if node.inputs()]
    names = [node.get_friendly_name() for node in nodes]
    convolutions = [
        name
        for name, node in zip(names, nodes, strict=True)
        if node.get_type_name() in ("Convolution", "GroupConvolution", "MatMul")
    ]
    start = names.index(convolutions[0]) + 1
    reading: list[str] = []
    for name, node in zip(names[start:], nodes[start:], strict=True):
        sources = {convolutions[0], *reading} - {*convolutions[1:]}
        inputs = [value.get_node() for value in node.input_values()]
        read = {one.get_friendly_name() for one in inputs if one.inputs()}
        if read and read <= sources:
            reading.append(name)
    return names[:start], reading


def _shorten(made: Any) -> None:
    """Stores constants in 16 bits where bfloat16 holds them exactly."""
    import openvino
    from openvino import opset13

    for node in made.get_ordered_ops():
        if node.get_type_name() != "Constant":
            continue
        if node.get_element_type() == openvino.Type.f32:
            exact = np.array(node.data)
            if not (exact.view("uint32") & 0xFFFF).any():
                short = opset13.constant(exact, openvino.Type.bf16)
                node.output(0).replace(opset13.convert(short, "f32").output(0))


def _keep(path: str, names: Sequence[str]) -> None:
    """Marks operations of a file that the runtime computes in float32 all the same.

    OpenVINO's Python does not set this attribute; files hold it. A release that does
    not know it computes them in bfloat16.
    """
    file = ElementTree.parse(path)
    for layer in file.iterfind("layers/layer"):
        if layer.get("name") in names:
            marks = ElementTree.SubElement(layer, "rt_info")
            kind = {"name": "DisablePrecisionConversion", "version": "0"}
            ElementTree.SubElement(marks, "attribute", kind | {"value": "dynamic:f16"})
    file.write(path, encoding="utf-8", xml_declaration=True)
