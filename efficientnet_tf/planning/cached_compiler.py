"""The TPU compiler's reports on HLO modules, cached by the modules' content."""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import Any

from efficientnet_tf import files
from efficientnet_tf.planning import chips, hlo, peak_memory, tpu_compiler

EFFORT = -1.0  # compiling B0 takes 1 minute; at 0 it takes 4 to 8
_INSTALL = (
    "install them with: pip install -e '.[plan]' (Linux on x86-64, Python 3.11 or "
    "later)"
)
_FLAGS = ("LIBTPU_INIT_ARGS", "XLA_FLAGS")  # variables that the compiler reads
PACKAGES = ("jax", "jaxlib", "libtpu")
_TEXT = "optimized.hlo.txt"
_FORMAT = 3  # version of the cached reports


def compile_for(
    chip: chips.Chip,
    module: bytes,
    *,
    topology: str,
    replicas: int,
    effort: float = EFFORT,
    dump: str | None = None,
) -> dict[str, Any]:
    """Compiles a module, or reads its report from the cache.

    Args:
        chip: the chip, to name it in errors.
        module: serialised HLO, returned by `lowering.lower`.
        topology: the topology that `chips.slice_of` returned.
        replicas: int, devices that run the module together.
        effort: float from -1 to 1, the compiler's optimisation effort. Reports at
            different efforts are not comparable.
        dump: folder to write the optimised module to, which compiles even if a report
            is cached; None writes nothing.

    Returns:
        The reports of `tpu_compiler.answer`, `hlo.summary` and `peak_memory.summary` in
        one. If the module does not fit: "error" ("memory") and "message".

    Raises:
        ValueError: if libtpu is missing or does not know the topology, if the cache
            cannot be written, or if the compiler fails for another reason than memory.
    """
    check_ready()
    path = _cached(module, topology, replicas, effort)
    if dump is None and (kept := _recall(path)):
        return kept | {"cached": True}
    with tempfile.TemporaryDirectory() as directory:
        result = run_compiler(module, directory, topology, replicas, effort)
        _check(result, chip, topology)
        if "error" not in result:
            optimized = pathlib.Path(directory, "optimized.hlo.pb").read_bytes()
            module_after = hlo.parse(optimized)
            result |= hlo.summary(module_after) | peak_memory.summary(module_after)
            if dump is not None:
                shutil.copy(f"{directory}/{_TEXT}", f"{dump}/{_TEXT}")
    files.write_whole(str(path), json.dumps(result))
    return result | {"cached": False}


def check_ready() -> None:
    """Raises ValueError if a package is missing or the cache cannot be written."""
    try:
        for name in PACKAGES:
            importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError as error:
        raise ValueError(f"{error.name} is missing; {_INSTALL}") from None
    files.check_cache("plans")


def _cached(module: bytes, *parts: Any) -> pathlib.Path:
    versions = [importlib.metadata.version(name) for name in PACKAGES]
    set_flags = [os.environ.get(name, "") for name in _FLAGS]
    facts = [_FORMAT, set_flags, hlo.fingerprint(hlo.parse(module)), *parts, *versions]
    key = hashlib.sha256(json.dumps(facts).encode())
    return pathlib.Path(files.cache_dir("plans"), f"{key.hexdigest()}.json")


def _recall(path: pathlib.Path) -> dict | None:
    """Reads a cached report; returns None if it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def run_compiler(
    module: bytes, directory: str, topology: str, replicas: int, effort: float
) -> dict:
    """Runs the compiler in a process of its own and returns its answer.

    Args:
        module: serialised `HloModuleProto`.
        directory: folder for the module and the compiler's output.
        topology: name of the slice, such as "v5e:2x2".
        replicas: int, devices of the slice to compile for.
        effort: float from -1 to 1, the compiler's `exec_time_optimization_effort`.
    """
    pathlib.Path(directory, "step.hlo.pb").write_bytes(module)
    request = {
        "hlo": f"{directory}/step.hlo.pb",
        "directory": directory,
        "topology": topology,
        "replicas": replicas,
        "effort": effort,
    }
    pathlib.Path(directory, "request.json").write_text(json.dumps(request))
    done = subprocess.run(
        # -P: the script must not import this folder's modules.
        [sys.executable, "-P", tpu_compiler.__file__, f"{directory}/request.json"],
        capture_output=True,
        text=True,
    )
    answer = pathlib.Path(directory, "result.json")
    if not answer.exists():
        *_, last = [f"exit code {done.returncode}", *done.stderr.strip().splitlines()]
        raise ValueError(
            f"the TPU compiler's process died ({last}); exit code -9 usually means "
            "that this machine ran out of memory"
        )
    return json.loads(answer.read_text())


def _check(result: dict, chip: chips.Chip, topology: str) -> None:
    """Raises ValueError for every error of the compiler but a lack of memory."""
    message = (result.get("message") or "").strip().splitlines()[:1]
    match result.get("error"):
        case "missing":
            raise ValueError(f"{message[0]}; {_INSTALL}")
        case "topology":
            shape = topology.partition(":")[2]
            raise ValueError(
                f"slice={shape}: the compiler knows no such {chip.name} "
                f"({message[0]}); {chip.topology.partition(':')[2]} exists"
            )
        case "compiler":
            raise ValueError(f"the TPU compiler failed: {message[0]}")
