"""LiteRT's dynamic range: weights in 8 bits, each image's activations as they come.

Where weights have 8 bits, a kernel finds the range of an image's activations, rounds
them to 8 bits too and multiplies integers. All that lies between stays in float32.
"""

import re

from efficientnet_tf import terminal

# The least products for each number that is read, and for each that is written. With
# fewer, rounding takes the time that it saves: B0 takes 8.5 ms with this bound, and 9.0
# with all its full convolutions in 8 bits (one core of an AMD EPYC, Zen 4).
_LEAST = 32


def quantize(content: bytes) -> bytes:
    """Rounds the weights of dense layers and of wide convolutions to 8 bits.

    Each output of a layer has a scale of its own. Depthwise convolutions stay as they
    are: LiteRT has no fast kernel for them, and Lite0 with theirs in 8 bits takes twice
    as long.

    Args:
        content: a LiteRT file in float32.

    Returns:
        The file with these weights in int8. Images and outputs are float32.
    """
    from ai_edge_quantizer import qtyping, quantizer

    kinds = qtyping.TFLOperationName
    made = quantizer.Quantizer(bytearray(content))
    made.add_dynamic_config(_others(_narrow(content)), kinds.CONV_2D, 8)
    made.add_dynamic_config(".*", kinds.FULLY_CONNECTED, 8)
    with terminal.quiet():
        found = made.quantize(enable_progress_bar=False, enable_progress_report=False)
    return bytes(found.quantized_model)


def _narrow(content: bytes) -> list[str]:
    """Returns the names of the outputs of convolutions that take few products."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    codes = [code.builtinCode for code in model.operatorCodes]
    found = []
    for graph in model.subgraphs:
        for operation in graph.operators:
            if codes[operation.opcodeIndex] != schema.BuiltinOperator.CONV_2D:
                continue
            kernel = graph.tensors[operation.inputs[1]]
            outputs, height, width, inputs = kernel.shape
            if height * width * min(outputs, inputs) < _LEAST:
                found.append(graph.tensors[operation.outputs[0]].name.decode())
    return found


def _others(names: list[str]) -> str:
    """Returns a pattern for what operations other than some are known by.

    ai_edge_quantizer knows an operation by its outputs' names, each with a semicolon.
    """
    named = "|".join(map(re.escape, names))
    return f"^(?!({named});$)"
