"""Compiles HLO for a TPU without a TPU; a script that runs in a process of its own.

libtpu and TensorFlow cannot share a process, so the script imports neither TensorFlow
nor this package. It uses private APIs of jaxlib: the extra `plan` pins the version.

    python tpu_compiler.py REQUEST.json

The request names the file of a serialised HLO module, as TensorFlow lowers it, and a
folder for the answer: `result.json` and, if the module compiled, `optimized.hlo.pb` and
`optimized.hlo.txt`.
"""

import json
import os
import re
import sys
import time
from typing import Any

# This machine may have no TPU: libtpu must neither look for one nor lock one.
_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
# The code of the error for a program larger than the memory.
_OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"
# A v3 takes at most 3,294 arguments and B7's train step has 3,556, so more arguments
# than this are passed as one tuple.
_MOST_ARGUMENTS = 3000


def main(path: str) -> None:
    """Answers the request in a file."""
    os.environ.update(_ENVIRONMENT)
    with open(path) as file:
        request = json.load(file)
    result = answer(request)
    with open(f"{request['directory']}/result.json", "w") as file:
        json.dump(result, file)


def answer(request: dict) -> dict:
    """Returns the compiler's report, or the kind of "error" and the "message"."""
    try:
        devices = _devices(request["topology"], request["replicas"])
    except ImportError as error:
        return {"error": "missing", "message": str(error)}
    except RuntimeError as error:
        return {"error": "topology", "message": str(error)}
    with open(request["hlo"], "rb") as file:
        module, context = _module(file.read())
    began = time.monotonic()
    try:
        with context:
            executable = _compile(module, devices, effort=request["effort"])
    except RuntimeError as error:
        kind = "memory" if _OUT_OF_MEMORY in str(error) else "compiler"
        return {"error": kind, "message": str(error)}
    seconds = time.monotonic() - began
    (optimized,) = executable.hlo_modules()
    directory = request["directory"]
    with open(f"{directory}/optimized.hlo.pb", "wb") as file:
        file.write(optimized.as_serialized_hlo_module_proto())
    with open(f"{directory}/optimized.hlo.txt", "w") as file:
        file.write(optimized.to_string())
    return {"compile_s": seconds} | _report(executable)


def _devices(topology: str, replicas: int) -> list:
    import libtpu  # noqa: F401, if it is missing, the error says so
    from jax.experimental import topologies

    found = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    return list(found.devices)[:replicas]


def _module(serialized: bytes) -> tuple[Any, Any]:
    """Turns HLO into StableHLO for the compiler; returns the module and its context."""
    from jax._src.interpreters import mlir
    from jaxlib import _jax
    from jaxlib.mlir import ir

    context = mlir.make_ir_context()
    with context, ir.Location.unknown():
        module = ir.Module.parse(_jax.mlir.hlo_to_stablehlo(serialized))
        main = _main(module)
        _drop_copies(main)
        _donate(module, main, ir)
    return module, context


def _main(module: Any) -> Any:
    """Finds the module's main function, which is the step."""
    (main,) = (
        operation
        for operation in module.body.operations
        if operation.operation.name == "func.func"
        and operation.attributes["sym_name"].value == "main"
    )
    return main


def _drop_copies(main: Any) -> None:
    """Removes the copies that TensorFlow makes of results; StableHLO has no copy."""
    for block in main.regions[0]:
        for operation in list(block.operations):
            copy = operation.operation
            if copy.name == "mhlo.copy":
                copy.results[0].replace_all_uses_with(copy.operands[0])
                copy.erase()


def _donate(module: Any, main: Any, ir: Any) -> None:
    """Marks each argument whose place an output takes, with StableHLO's attribute."""
    attributes = module.operation.attributes
    names = [a if isinstance(a, str) else a.name for a in attributes]
    if "mhlo.input_output_alias" in names:
        stated = str(attributes["mhlo.input_output_alias"])
        pairs = re.findall(
            r"parameter_number = (\d+) : i64\}, output_index = array<i64(?:: (\d+))?>",
            stated,
        )
        outputs = {int(argument): int(output or 0) for argument, output in pairs}
        integer = ir.IntegerType.get_signless(32)
        main.attributes["arg_attrs"] = ir.ArrayAttr.get(
            [
                ir.DictAttr.get(
                    {"tf.aliasing_output": ir.IntegerAttr.get(integer, outputs[number])}
                    if number in outputs
                    else {}
                )
                for number in range(len(main.arguments))
            ]
        )
    for name in names:
        if name.startswith("mhlo."):
            del attributes[name]


def _compile(module: Any, devices: list, *, effort: float) -> Any:
    import numpy as np
    from jaxlib import _jax

    options = _jax.CompileOptions()
    options.num_replicas = len(devices)
    options.num_partitions = 1
    options.parameter_is_tupled_arguments = (
        len(_main(module).arguments) > _MOST_ARGUMENTS
    )
    options.device_assignment = _jax.DeviceAssignment.create(
        np.array([[device.id] for device in devices])
    )
    build = options.executable_build_options
    build.num_replicas = len(devices)
    build.num_partitions = 1
    build.exec_time_optimization_effort = effort
    client = devices[0].client
    return client.compile(module, _jax.DeviceList(tuple(devices)), options)


def _report(executable: Any) -> dict:
    memory = executable.get_compiled_memory_stats()
    costs = executable.cost_analysis()
    costs = costs if isinstance(costs, dict) else costs[0]
    return {
        "argument_bytes": memory.argument_size_in_bytes,
        "output_bytes": memory.output_size_in_bytes,
        "alias_bytes": memory.alias_size_in_bytes,
        "temp_bytes": memory.temp_size_in_bytes,
        "code_bytes": memory.generated_code_size_in_bytes,
        "peak_bytes": memory.peak_memory_in_bytes,
        "flops": costs["flops"],
        "bytes_accessed": costs["bytes accessed"],
    }


if __name__ == "__main__":
    main(sys.argv[1])
