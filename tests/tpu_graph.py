"""What a traced step asks of a TPU: operations, types, shapes, the bridge's passes."""

import collections
import functools
import re
from collections.abc import Iterator

import absent_tpu
import tensorflow as tf
from tensorflow.python.framework import kernels

# Operations that tf.tpu.replicate puts around a computation, which the bridge removes,
# and the arguments of functions.
MARKERS = {
    *("TPUReplicateMetadata", "TPUReplicatedInput", "TPUReplicatedOutput"),
    *("TPUCompilationResult", "Placeholder"),
}
# Between TPU cores; only TensorFlow's TPU build has kernels of them.
COLLECTIVES = {"CrossReplicaSum", "AllToAll"}
# XLA can compile these for a TPU, and they stop it to talk to its host.
HOST_CALLS = {
    *("XlaHostCompute", "_XlaHostComputeMlir", "XlaSendToHost", "XlaRecvFromHost"),
    *("OutfeedEnqueue", "OutfeedEnqueueTuple", "InfeedDequeue", "InfeedDequeueTuple"),
}


def step_operations(function) -> list[tf.Operation]:
    """The operations of a traced function that each core runs, nested ones included."""
    return [
        operation
        for outer in _walk(function.graph)
        if "_tpu_replicate" in outer.node_def.attr
        for operation in (outer, *_nested(outer))
        if operation.type not in MARKERS
    ]


def host_operations(function) -> collections.Counter:
    """How many operations of each type the host runs between its TPU's steps."""
    return collections.Counter(
        operation.type
        for operation in _walk(function.graph)
        if "_tpu_replicate" not in operation.node_def.attr
    )


def problems(operations: list[tf.Operation], *, device: str) -> list[str]:
    """One line for each thing that a TPU would refuse or be slow at.

    Args:
        operations: the operations that `step_operations` returned.
        device: device of XLA's kernels: XLA_TPU_JIT in the TPU build, XLA_CPU_JIT in
            the plain build, which lacks COLLECTIVES.
    """
    register_kernels()
    exempt = COLLECTIVES if device != "XLA_TPU_JIT" else set()
    found = []
    for operation in operations:
        name = f"{operation.type} {operation.name}"
        if operation.type in HOST_CALLS or _is_outside(operation):
            found.append(f"{name}: calls the host")
        elif operation.type not in exempt and not _has_kernel(operation, device):
            found.append(f"{name}: no kernel for {device}")
        for tensor in operation.outputs:
            if not tensor.shape.is_fully_defined():
                found.append(f"{name}: shape {tensor.shape}")
            if tensor.dtype in (tf.float64, tf.complex128):
                found.append(f"{name}: {tensor.dtype.name}, which a TPU emulates")
    return found


def register_kernels() -> None:
    """Uses XLA once, which adds XLA's kernels to TensorFlow's list."""
    try:
        tf.function(lambda x: x + 1, jit_compile=True)(tf.constant(1.0))
    except tf.errors.NotFoundError as error:
        # The TPU build has no XLA for the CPU; it adds the kernels before this error.
        if "transfer manager for platform Host" not in str(error):
            raise


def bridge(function, *, cores: int) -> str:
    """A traced function after the TPU bridge's first half, as MLIR.

    It clusters each step, lifts variables out of it and checks the rest. Python cannot
    run the second half, which turns the clusters into TPU programs.
    """
    devices = [f"{absent_tpu.HOST}:{name}:0" for name in ("CPU", "TPU_SYSTEM")]
    devices += absent_tpu.tpu_devices(cores)
    listed = ", ".join(f'"{device}"' for device in devices)
    module = tf.mlir.experimental.convert_function(function).replace(
        "module attributes {", f"module attributes {{tf.devices = [{listed}], ", 1
    )
    return tf.mlir.experimental.run_pass_pipeline(
        module, "tf-replicated-clustering-bridge-v2"
    )


def counts(module: str) -> collections.Counter:
    """The number of each operation in the text of an MLIR module."""
    names = re.findall(r"\b(?:tf|tf_device)\.[A-Za-z]\w*", module)
    return collections.Counter(names)


def _walk(graph) -> Iterator[tf.Operation]:
    """A graph's operations, with those of its functions but without those of a step."""
    for operation in graph.get_operations():
        yield operation
        if "_tpu_replicate" not in operation.node_def.attr:
            yield from _nested(operation)


def _nested(operation) -> Iterator[tf.Operation]:
    """The operations of all functions that an operation calls."""
    for value in operation.node_def.attr.values():
        for called in (value.func, *value.list.func):
            if called.name:
                yield from _every(operation.graph._get_function(called.name).graph)


def _every(graph) -> Iterator[tf.Operation]:
    for operation in graph.get_operations():
        yield operation
        yield from _nested(operation)


def _is_outside(operation) -> bool:
    return "_xla_outside_compilation" in operation.node_def.attr


def _has_kernel(operation, device: str) -> bool:
    return any(
        all(_admits(constraint, operation) for constraint in kernel.constraint)
        for kernel in _kernels(operation.type, device)
    )


@functools.cache
def _kernels(operation_type: str, device: str) -> list:
    registered = kernels.get_registered_kernels_for_op(operation_type).kernel
    return [kernel for kernel in registered if kernel.device_type == device]


def _admits(constraint, operation) -> bool:
    value = operation.node_def.attr[constraint.name]
    types = value.list.type or [value.type]
    return set(types) <= set(constraint.allowed_values.list.type)
