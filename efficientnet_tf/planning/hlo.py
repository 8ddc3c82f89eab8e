"""Reads an HLO module: its costs by instruction and by layer, and its defects."""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tensorflow.compiler.xla import xla_data_pb2
from tensorflow.compiler.xla.service import hlo_pb2

_BYTES = {
    **dict.fromkeys(("PRED", "S8", "U8"), 1),
    **dict.fromkeys(("S16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("S32", "U32", "F32"), 4),
    **dict.fromkeys(("S64", "U64", "F64"), 8),
}
# Operations that only name a value, or a part of one; they move no bytes.
_FREE = {
    *("constant", "parameter", "tuple", "get-tuple-element"),
    *("after-all", "bitcast", "opt-barrier"),
}
_ON_HOST = {"custom-call", "infeed", "outfeed", "recv", "send"}
_VECTOR_MEMORY = 1  # number of the memory space that lies on the chip itself
_RESULT = -1
# Targets of cuBLAS's matrix products begin so; those of its solvers do not.
_CUBLAS = ("__cublas$gemm", "__cublas$lt$matmul")
# By the target of a cuDNN call: the operands (by index) or the result that are the
# convolution's images, kernel and output.
_CUDNN = {
    "__cudnn$convForward": (0, 1, _RESULT),
    "__cudnn$convBiasActivationForward": (0, 1, _RESULT),
    "__cudnn$convForwardGraph": (0, 1, _RESULT),
    "__cudnn$convBackwardInput": (_RESULT, 1, 0),
    "__cudnn$convBackwardFilter": (0, _RESULT, 1),
}
_LAYER = re.compile(
    r"(block\d+[a-z]+|stem|top|predictions|preprocessing|avg_pool)(_|$)"
)


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of one instruction of the entry computation; a fusion is one."""

    name: str
    opcode: str
    layer: str  # "" if the instruction does not name one
    flops: float
    bytes: int  # operands read and results written, each once
    rematerialised: bool


def parse(serialized: bytes) -> hlo_pb2.HloModuleProto:
    """Reads a module from its serialised form."""
    module = hlo_pb2.HloModuleProto()
    module.ParseFromString(serialized)
    return module


def fingerprint(module: hlo_pb2.HloModuleProto) -> str:
    """Hashes what a module computes; the names of its parts do not count."""
    nameless = hlo_pb2.HloModuleProto()
    nameless.CopyFrom(module)
    for part in ("id", "name", "entry_computation_name"):
        nameless.ClearField(part)
    for computation in nameless.computations:
        computation.ClearField("name")
        for instruction in computation.instructions:
            instruction.ClearField("name")
            instruction.ClearField("metadata")
    return hashlib.sha256(nameless.SerializeToString(deterministic=True)).hexdigest()


def costs(module: hlo_pb2.HloModuleProto) -> list[Cost]:
    """Lists the cost of each instruction of the entry computation, in order.

    FLOPs are those of convolutions and matrix products, also in calls of GPU libraries:
    a multiply-add counts as two, a product with padding as none. Bytes include the
    layout's padding.
    """
    computations = {c.id: c for c in module.computations}
    entry = computations[module.entry_computation_id]
    shapes = {i.id: i.shape for i in entry.instructions}
    return [
        Cost(
            name=i.name,
            opcode=i.opcode,
            layer=layer_of(i.metadata.op_name),
            flops=_flops(i, shapes, computations),
            bytes=_traffic(i, shapes),
            rematerialised="remat" in i.name,
        )
        for i in entry.instructions
        if i.opcode not in _FREE
    ]


def summary(module: hlo_pb2.HloModuleProto) -> dict:
    """Returns the parts of an optimised module that a plan reports, as plain data.

    Returns:
        "remat_ops" (a number) and "remat_flops", "all_reduce_bytes", "layers" as
        `by_layer` returns them, and "largest": the ten instructions that move most.
    """
    rows = costs(module)
    again = [row for row in rows if row.rematerialised]
    by_size = sorted(rows, key=lambda row: row.bytes, reverse=True)
    return {
        "remat_ops": len(again),
        "remat_flops": sum(row.flops for row in again),
        "all_reduce_bytes": all_reduce_bytes(module),
        "layers": by_layer(rows),
        "largest": [dataclasses.asdict(row) for row in by_size[:10]],
    }


def by_layer(rows: list[Cost]) -> dict[str, dict[str, float]]:
    """Sums FLOPs and bytes by layer; layers are in the order of first instructions."""
    layers: dict[str, dict[str, float]] = {}
    for row in rows:
        of = layers.setdefault(row.layer or "other", {"flops": 0.0, "bytes": 0})
        of["flops"] += row.flops
        of["bytes"] += row.bytes
    return layers


def layer_of(op_name: str) -> str:
    """Finds the last part of an operation's name that names a layer of a network."""
    names = [re.sub(r"_\d+$", "", part) for part in op_name.split("/")]
    return next((name for name in reversed(names) if _LAYER.match(name)), "")


def all_reduce_bytes(module: hlo_pb2.HloModuleProto) -> int:
    """Sums the bytes that one replica contributes to all-reduces."""
    return sum(
        size(i.shape)
        for computation in module.computations
        for i in computation.instructions
        if i.opcode in ("all-reduce", "all-reduce-start")
    )


def defects(module: hlo_pb2.HloModuleProto) -> list[str]:
    """Lists what keeps a step from running well, or at all, on a TPU; one line each."""
    found = set()
    for computation in module.computations:
        for i in computation.instructions:
            if i.opcode in _ON_HOST:
                found.add(f"{i.metadata.op_name or i.name}: {i.opcode} leaves the TPU")
            for shape in leaves(i.shape):
                if any(shape.is_dynamic_dimension):
                    found.add(f"{i.metadata.op_name or i.name}: its shape is dynamic")
                if _type(shape) == "F64":
                    found.add(f"{i.metadata.op_name or i.name}: computes in float64")
    return sorted(found)


def size(shape: xla_data_pb2.ShapeProto) -> int:
    """Sums the bytes of a shape, which may be a tuple, in the chip's main memory."""
    return sum(
        _BYTES.get(_type(leaf), 0) * math.prod(leaf.dimensions)
        for leaf in leaves(shape)
        if leaf.layout.memory_space != _VECTOR_MEMORY
    )


def padded_size(shape: xla_data_pb2.ShapeProto) -> int:
    """Returns a shape's bytes with its minor axes rounded up to the layout's tile.

    If channels are the minor axis, 32 channels take as many bytes as 128.
    """
    if shape.tuple_shapes or shape.layout.memory_space == _VECTOR_MEMORY:
        return sum(map(padded_size, shape.tuple_shapes))
    dimensions = list(shape.dimensions)
    tile = shape.layout.tiles[0].dimensions if shape.layout.tiles else ()
    minor = shape.layout.minor_to_major
    for axis, width in zip(minor, reversed(tile), strict=False):
        dimensions[axis] = math.ceil(dimensions[axis] / width) * width
    return _BYTES.get(_type(shape), 0) * math.prod(dimensions)


def leaves(shape: Any) -> Iterator[xla_data_pb2.ShapeProto]:
    """Yields the arrays in a shape, which may be a tuple of tuples."""
    if not shape.tuple_shapes:
        yield shape
    for part in shape.tuple_shapes:
        yield from leaves(part)


def _type(shape: Any) -> str:
    return xla_data_pb2.PrimitiveType.Name(shape.element_type)


def _traffic(instruction: Any, shapes: Mapping) -> int:
    if instruction.opcode.endswith(("-start", "-done")):
        return 0  # the instruction that reads the fetched value counts its bytes
    read = sum(padded_size(shapes[operand]) for operand in instruction.operand_ids)
    return read + padded_size(instruction.shape)


def _flops(instruction: Any, shapes: Mapping, computations: Mapping) -> float:
    target = instruction.custom_call_target
    if instruction.opcode == "convolution" or target in _CUDNN:
        return _convolution_flops(instruction, shapes)
    if instruction.opcode == "dot" or target.startswith(_CUBLAS):
        return _dot_flops(instruction, shapes)
    total = 0.0
    for number in instruction.called_computation_ids:
        inner = computations[number].instructions
        inner_shapes = {i.id: i.shape for i in inner}
        total += sum(_flops(i, inner_shapes, computations) for i in inner)
    return total


def _dot_flops(instruction: Any, shapes: Mapping) -> float:
    left = shapes[instruction.operand_ids[0]].dimensions
    contracted = instruction.dot_dimension_numbers.lhs_contracting_dimensions
    if instruction.custom_call_target:
        config = json.loads(instruction.backend_config)["gemm_backend_config"]
        contracted = config["dot_dimension_numbers"]["lhs_contracting_dimensions"]
    depth = math.prod(left[int(axis)] for axis in contracted)
    return 2.0 * math.prod(_result(instruction).dimensions) * depth


def _convolution_flops(instruction: Any, shapes: Mapping) -> float:
    numbers = instruction.convolution_dimension_numbers
    parts = [*(shapes[i] for i in instruction.operand_ids), _result(instruction)]
    places = _CUDNN.get(instruction.custom_call_target, (0, 1, _RESULT))
    images, kernel, output = (parts[place].dimensions for place in places)
    products = 1
    for axis, window in enumerate(instruction.window.dimensions):
        products *= _products(
            window,
            inputs=images[numbers.input_spatial_dimensions[axis]],
            outputs=output[numbers.output_spatial_dimensions[axis]],
        )
    batch = output[numbers.output_batch_dimension]
    features = output[numbers.output_feature_dimension]
    depth = kernel[numbers.kernel_input_feature_dimension]
    return 2.0 * products * batch * features * depth


def _result(instruction: Any) -> xla_data_pb2.ShapeProto:
    """Returns the shape of a result, without the workspace of a library's call."""
    return next(iter(instruction.shape.tuple_shapes), instruction.shape)


def _products(window: Any, *, inputs: int, outputs: int) -> int:
    """Counts the products along one axis, without those with padding.

    Args:
        window: the instruction's window along this axis.
        inputs: int, pixels of the input.
        outputs: int, pixels of the output.
    """
    dilation = window.base_dilation or 1
    reach = (inputs - 1) * dilation
    total = 0
    for k in range(window.size):
        first = k * (window.window_dilation or 1) - window.padding_low
        stride = window.stride or 1
        for place in range(outputs):
            at = first + place * stride
            total += 0 <= at <= reach and at % dilation == 0
    return total
