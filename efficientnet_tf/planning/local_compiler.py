"""Compiles a step for the GPU or CPU of this machine."""

import os
import time
from typing import Any

import tensorflow as tf
from tensorflow.compiler.xla.service import hlo_pb2
from tensorflow.python.client import device_lib

from efficientnet_tf import files
from efficientnet_tf.planning import hlo, lowering, peak_memory


def memory_bytes(device: str) -> int:
    """Returns the bytes of memory that a device offers to a program.

    Args:
        device: one of `chips.LOCAL_DEVICES`.

    Raises:
        ValueError: if this machine has no such device.
    """
    if device == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = [d for d in device_lib.list_local_devices() if d.device_type == "GPU"]
    if not found:
        raise ValueError(
            "chip=gpu: this machine has no GPU; allowed are cpu and the TPU chips"
        )
    return found[0].memory_limit


def compile_here(step: lowering.Step, device: str, *, dump: str | None = None) -> dict:
    """Compiles a step with TensorFlow's own XLA, without running it.

    Args:
        step: the step that `lowering.prepare` returned.
        device: one of `chips.LOCAL_DEVICES`.
        dump: folder to write the optimised module to; None writes nothing.

    Returns:
        A report with the keys of `cached_compiler.compile_for`. `hlo.costs` counts the
        FLOPs and bytes.
    """
    began = time.monotonic()
    function = tf.function(step.function, jit_compile=True, autograph=False)
    compiled = hlo_pb2.HloProto()
    compiled.ParseFromString(
        function.experimental_get_compiler_ir(*step.inputs)(
            stage="optimized_hlo_proto_serialized", platform_name=device.upper()
        )
    )
    seconds = time.monotonic() - began
    if dump is not None:
        optimized = compiled.hlo_module.SerializeToString()
        files.write_whole(f"{dump}/optimized.hlo.pb", optimized)
    rows = hlo.costs(compiled.hlo_module)
    return {
        "compile_s": seconds,
        "code_bytes": 0,
        "peak_bytes": None,
        "flops": sum(row.flops for row in rows),
        "bytes_accessed": sum(row.bytes for row in rows),
        "cached": False,
        **_memory(compiled.buffer_assignment.buffer_allocations),
        **hlo.summary(compiled.hlo_module),
        **peak_memory.summary(compiled.hlo_module),
    }


def _memory(allocations: Any) -> dict[str, int]:
    """Sums sizes by kind; a variable counts as argument, output and alias at once."""
    sizes = dict.fromkeys(("argument", "output", "alias", "temp"), 0)
    for allocation in allocations:
        is_input = allocation.is_entry_computation_parameter
        is_output = allocation.maybe_live_out
        sizes["argument"] += allocation.size * is_input
        sizes["output"] += allocation.size * is_output
        sizes["alias"] += allocation.size * (is_input and is_output)
        sizes["temp"] += allocation.size * (not is_input and not is_output)
    return {f"{kind}_bytes": size for kind, size in sizes.items()}
