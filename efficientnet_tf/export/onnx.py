"""ONNX files, for batches of any size."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.export import frozen_graph
from efficientnet_tf.export.network import OUTPUTS, Network

_OPSET = 18  # of ONNX 1.13, 2022; the newest that tf2onnx writes
_LARGE = 2**14  # bytes of a constant that tf2onnx does not see


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
    weights = _taken_out(graph)
    made, _ = tf2onnx.convert.from_graph_def(
        graph,
        input_names=[images, *weights],
        output_names=[f"{name}:0" for name in names],
        opset=_OPSET,
    )
    _put_back(made.graph, weights)
    _rename(made.graph, {images: "images"} | {f"{name}:0": name for name in names})
    return made.SerializeToString()


def _taken_out(graph: Any) -> dict[str, np.ndarray]:
    """Makes placeholders of a TensorFlow graph's large constants.

    tf2onnx copies constants with every pass over the graph: B7's took 10 to 18 GB.

    Returns:
        The constants by the name of their tensor.
    """
    found = {}
    for node in graph.node:
        if node.op == "Const" and node.attr["value"].tensor.ByteSize() > _LARGE:
            values = tf.make_ndarray(node.attr["value"].tensor)
            shape = tf.TensorShape(values.shape).as_proto()
            node.op = "Placeholder"
            del node.attr["value"]
            node.attr["shape"].shape.CopyFrom(shape)
            found[f"{node.name}:0"] = values
    return found


def _put_back(graph: Any, weights: dict[str, np.ndarray]) -> None:
    """Makes initializers of those inputs of an ONNX graph that are weights."""
    from onnx import numpy_helper

    known, nodes = _computed(graph, weights)
    used = [name for node in nodes for name in node.input]
    names = dict.fromkeys(name for name in used if name in known)
    inputs = [one for one in graph.input if one.name not in weights]
    initializers = [numpy_helper.from_array(known[name], name) for name in names]
    for field, values in (
        (graph.node, nodes),
        (graph.input, inputs),
        (graph.initializer, initializers),
    ):
        del field[:]
        field.extend(values)


def _computed(
    graph: Any, weights: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Computes what depends on weights alone, as kernels with their axes in order.

    Returns:
        The constants of the graph by name, and the nodes that are left.
    """
    from onnx import numpy_helper, reference

    known = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    known |= weights
    of_weights, left = set(weights), []
    for node in graph.node:
        if of_weights.isdisjoint(node.input) or not known.keys() >= set(node.input):
            left.append(node)
            continue
        feeds = {name: known[name] for name in node.input}
        made = reference.ReferenceEvaluator(node).run(None, feeds)
        known |= zip(node.output, made, strict=True)
        of_weights |= set(node.output)
    return known, left


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Renames tensors of an ONNX graph."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for tensor in (*graph.input, *graph.output):
        tensor.name = names.get(tensor.name, tensor.name)
