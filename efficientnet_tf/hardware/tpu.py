"""Checks and sets what TensorFlow needs to reach a TPU, before it is imported.

TensorFlow drives a TPU by one of two runtimes. v5e, v5p, v6e and later ones run through
PJRT, which environment variables switch on; v2 to v4 run through the older stream
executor, which these variables would break (cloud.google.com/tpu/docs/runtimes). The
variables crash TensorFlow on a machine without a TPU, so the chips are checked first.
"""

import fcntl
import os
import re
import socket

from efficientnet_tf.hardware import machine, packages

RUNTIMES = ("auto", "pjrt", "stream_executor")
LOCAL = "local"

_STREAM_EXECUTOR = ("v2", "v3", "v4")
_LOCK_FILE = "tmp/libtpu_lockfile"  # libtpu holds it while it has the TPU
_CONNECT_SECONDS = 5.0
# As the TensorFlow tutorial of Keras RS sets them.
_BRIDGE = (
    "--tf_mlir_enable_mlir_bridge=true "
    "--tf_mlir_enable_convert_control_to_data_outputs_pass=true "
    "--tf_mlir_enable_merge_control_flow_pass=true"
)
# What a TPU may be named, and what an address looks like.
_NAME = re.compile(r"(?!local$)[a-z]([a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
_ADDRESS = re.compile(r"grpc://([^:/,]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5})")
_FIND_USERS = "sudo lsof -w /dev/accel* /dev/vfio/*"


def is_remote(tpu: str | None) -> bool:
    """Whether `--tpu` names a TPU that another machine drives."""
    return tpu not in (None, LOCAL)


def is_name(tpu: str | None) -> bool:
    """Whether `--tpu` is a name that the Cloud TPU API knows, not an address."""
    return tpu not in (None, LOCAL) and not str(tpu).startswith("grpc://")


def check_spelling(tpu: str) -> None:
    """Raises ValueError unless `--tpu` is "local", a name, or addresses."""
    if tpu == LOCAL or _NAME.fullmatch(tpu):
        return
    if not all(_is_address(address) for address in tpu.split(",")):
        raise ValueError(
            f"tpu={tpu}: is no TPU's name and no address; allowed are local, a name of "
            "letters, digits and hyphens, and grpc://HOST:PORT, such as "
            "grpc://10.0.0.2:8470"
        )


def _is_address(text: str) -> bool:
    match = _ADDRESS.fullmatch(text)
    return match is not None and 0 < int(match[2]) < 65536


def generation(accelerator: str) -> str | None:
    """Returns the generation of an accelerator type: "v5e" of "v5litepod-16".

    Args:
        accelerator: the cloud's name of an accelerator type, or a generation.

    Returns:
        The generation; None if the text names none.
    """
    match = re.match(r"(?:tpu-?)?(v?\d+)-?(litepod|lite|e|p|x)?(?![a-z])", accelerator)
    if match is None:
        return None
    number, kind = match[1].removeprefix("v"), match[2] or ""
    return f"v{number}{'e' if kind.startswith('lite') else kind}"


def choose_runtime(runtime: str = "auto") -> tuple[str, str]:
    """Chooses the runtime for this machine's chips; says what decided it.

    Args:
        runtime: one of RUNTIMES; "auto" goes by the accelerator type that the machine
            states, else by the chips on its PCI bus.

    Raises:
        ValueError: if neither tells the generation.
    """
    if runtime != "auto":
        return runtime, "--tpu_runtime"
    stated = machine.accelerator_type()
    chips = machine.tpu_chips()
    found = (stated and generation(stated)) or (chips[0] if chips else "unknown")
    if found == "unknown":
        raise ValueError(
            "tpu_runtime=auto: this machine does not state its accelerator type "
            f"({stated or 'no TPU_ACCELERATOR_TYPE, no metadata'}); allowed are pjrt "
            "(v5e, v5p, v6e and later) and stream_executor (v2 to v4)"
        )
    by = "stream_executor" if found in _STREAM_EXECUTOR else "pjrt"
    return by, stated or f"{len(chips)} chips of {found}"


def variables(runtime: str) -> dict[str, str]:
    """Returns a runtime's environment variables, to be set before the import."""
    if runtime != "pjrt":
        return {}
    return {
        "PJRT_DEVICE": "TPU",
        "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
        "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": packages.libtpu_path(),
        "TF_XLA_FLAGS": _BRIDGE,
    }


def prepare(tpu: str | None, *, runtime: str = "auto") -> list[str]:
    """Checks that a TPU can be reached and sets its runtime's variables.

    A variable that is set already is left as it is.

    Args:
        tpu: `--tpu`: None or "local" for this machine's chips, else a name or an
            address.
        runtime: one of RUNTIMES, for this machine's chips.

    Returns:
        Lines that tell the user what was set.

    Raises:
        ValueError: naming what is missing, and what to do.
    """
    packages.check_tpu_build(tpu or LOCAL)
    if is_remote(tpu):
        # The TPU's own hosts load libtpu; this process must not.
        return _set({"TPU_LOAD_LIBRARY": "0"}, f"{tpu} has its own")
    check_local_chips()
    chosen, why = choose_runtime(runtime)
    return _set(variables(chosen), f"{chosen}, by {why}")


def check_local_chips() -> None:
    """Raises ValueError unless this machine has TPU chips that no other process has."""
    if not machine.tpu_chips():
        raise ValueError(
            "tpu=local: this machine has no TPU chip (none on the PCI bus, no "
            "/dev/accel*); run this on a TPU VM, or give --tpu the name of a TPU, or "
            "train with --device=cpu"
        )
    if _may_share():
        return
    users = machine.tpu_users()
    if users:
        raise ValueError(
            f"tpu=local: process {users[0].pid} ({users[0].command}) is using the TPU; "
            "wait for it or stop it"
        )
    if _is_locked():
        raise ValueError(
            f"tpu=local: another process is using the TPU (it holds /{_LOCK_FILE}); "
            f"find it with {_FIND_USERS}; if there is none, sudo rm /{_LOCK_FILE}"
        )


def check_address(tpu: str) -> None:
    """Raises ValueError unless a TPU's host answers at grpc://HOST:PORT."""
    check_spelling(tpu)
    host, _, port = tpu.removeprefix("grpc://").rpartition(":")
    check_answers(host.strip("[]"), int(port), label=f"tpu={tpu}")


def check_answers(host: str, port: int, *, label: str) -> None:
    """Raises ValueError unless something answers at an address within 5 seconds.

    Args:
        host: name or number of the host.
        port: TCP port.
        label: the words that the error begins with, such as "tpu=NAME".
    """
    try:
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"{label}: nothing answers at {host}:{port} ({error}); run this in the "
            "TPU's own network, and check that the TPU is ready and its firewall open"
        ) from None


def _set(wanted: dict[str, str], why: str) -> list[str]:
    """Sets the variables that are not set, and returns lines that say so."""
    lines = [f"TPU runtime   {why}"]
    for name, value in wanted.items():
        theirs = "" if name not in os.environ else " (set by you)"
        lines.append(f"  {name}={os.environ.setdefault(name, value)}{theirs}")
    return lines


def _may_share() -> bool:
    """Whether the user lets several processes divide the chips among them.

    The rule is that of libtpu's loader (tpu_initializer_helper.cc of TensorFlow).
    """
    bounds = os.environ.get("TPU_CHIPS_PER_PROCESS_BOUNDS", "2,2,1")
    allowed = os.environ.get("ALLOW_MULTIPLE_LIBTPU_LOAD", "").lower() in ("1", "true")
    return allowed or bounds != "2,2,1" or os.environ.get("TPU_LOAD_LIBRARY") == "1"


def _is_locked() -> bool:
    """Whether another process holds libtpu's lock; a file alone is no lock."""
    try:
        with open(os.path.join(machine.ROOT, _LOCK_FILE), "r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except OSError:  # held, or another user's, which libtpu takes for held
        return True
