"""ONNX files, for batches of any size."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from efficientnet_tf.export import frozen_graph
from efficientnet_tf.export.network import OUTPUTS, Network

_OPSET = 18  # of ONNX 1.13, 2022; the newest that tf2onnx writes


def write(
    network: Network, path: str, *, precision: str, photos: Sequence[np.ndarray] = ()
) -> None:
    """Writes a network with the input "images" and outputs as OUTPUTS names them.

    Args:
        network: the network to write.
        path: the local file.
        precision: "float32".
        photos: not needed.
    """
    pathlib.Path(path).write_bytes(convert(network.freeze(None), OUTPUTS))


def convert(frozen: Any, names: Sequence[str]) -> bytes:
    """Converts a function; returns the file's bytes.

    Args:
        frozen: what `frozen_graph.freeze` returned.
        names: names of its outputs.
    """
    import tf2onnx

    graph = frozen_graph.named(frozen, names).as_graph_def()
    images = frozen.inputs[0].name
    made, _ = tf2onnx.convert.from_graph_def(
        graph,
        input_names=[images],
        output_names=[f"{name}:0" for name in names],
        opset=_OPSET,
    )
    _rename(made.graph, {images: "images"} | {f"{name}:0": name for name in names})
    return made.SerializeToString()


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Renames tensors of an ONNX graph."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for tensor in (*graph.input, *graph.output):
        tensor.name = names.get(tensor.name, tensor.name)
