"""Reads from this machine's files which TPU chips and NVIDIA cards it has.

Nothing here needs TensorFlow: some of it decides how TensorFlow may be imported.
"""

import dataclasses
import glob
import os
import re
import urllib.request

# The root of the file system that is read; a test lays out a machine elsewhere.
ROOT = "/"

_GOOGLE, _NVIDIA = "0x1ae0", "0x10de"  # PCI vendors
# Google also makes network cards and disks, so the vendor alone does not make a TPU. A
# v2 has the number of a v3. Source: jax/_src/hardware_utils.py of JAX 0.10.2.
_TPU_DEVICES = {
    "0x0027": "v3",
    "0x005e": "v4",
    "0x0062": "v5p",
    "0x0063": "v5e",
    "0x006f": "v6e",
    "0x0076": "v7x",
}
_DISPLAY = "0x03"  # the PCI class of graphics cards and of accelerators like them
_METADATA_SECONDS = 1.0  # to connect, and again to answer


@dataclasses.dataclass(frozen=True)
class Process:
    """A process of this machine: its number and its command line."""

    pid: int
    command: str


def tpu_chips() -> list[str]:
    """Lists the generation of each TPU chip on the PCI bus, such as "v4".

    A chip of a generation that is not known here counts as "unknown"; it is seen by its
    device file.
    """
    devices = [device for vendor, device, _ in _pci_devices() if vendor == _GOOGLE]
    chips = [_TPU_DEVICES[device] for device in devices if device in _TPU_DEVICES]
    return chips or ["unknown"] * len(_matching("dev/accel[0-9]*"))


def cores() -> int:
    """Returns the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # macOS and Windows have none
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_avx2() -> bool:
    """Whether the processor has the AVX2 instructions of x86-64."""
    return "avx2" in _read("proc/cpuinfo").split()


def has_vnni() -> bool:
    """Whether the processor has x86-64's instructions for products of 8 bits."""
    return not {"avx512_vnni", "avx_vnni"}.isdisjoint(_read("proc/cpuinfo").split())


def tpu_users() -> list[Process]:
    """Lists other processes that hold a TPU chip open, as far as this user sees."""
    found = {}
    for link in _matching("proc/[0-9]*/fd/*"):
        pid = int(link.split("/")[-3])
        if pid not in found and pid != os.getpid() and _is_tpu_file(_target(link)):
            command = _read(f"proc/{pid}/cmdline").replace("\0", " ").strip()
            found[pid] = Process(pid, command or "unknown command")
    return [found[pid] for pid in sorted(found)]


def accelerator_type() -> str | None:
    """Returns the accelerator type that a TPU VM states, such as "v5litepod-4".

    It comes from the environment or, on Google's machines, from the metadata server,
    which gets two seconds at most.
    """
    for name in ("TPU_ACCELERATOR_TYPE", "ACCELERATOR_TYPE"):
        if os.environ.get(name):
            return os.environ[name]
    if not is_google_vm() or os.environ.get("TPU_SKIP_MDS_QUERY"):
        return None
    return _metadata("instance/attributes/accelerator-type")


def is_google_vm() -> bool:
    """Whether this is a virtual machine of Google's cloud."""
    return "Google" in _read("sys/class/dmi/id/product_name")


def nvidia_cards() -> int:
    """Counts this machine's NVIDIA cards; under WSL all cards count as one."""
    on_bus = [
        device
        for vendor, device, kind in _pci_devices()
        if vendor == _NVIDIA and kind.startswith(_DISPLAY)
    ]
    # Containers may hide the bus, and WSL has one device for all cards.
    return len(on_bus or _matching("dev/nvidia[0-9]*") or _matching("dev/dxg"))


def nvidia_driver() -> str | None:
    """Returns the version of the loaded NVIDIA driver, such as "550.54.14"."""
    text = _read("proc/driver/nvidia/version")
    match = re.search(r"NVIDIA.*?\s(\d+\.\d+(?:\.\d+)?)\s", text)
    return match[1] if match else None


def _pci_devices() -> list[tuple[str, ...]]:
    """Lists vendor, device and class of each PCI device, such as "0x1ae0"."""
    names = ("vendor", "device", "class")
    return [
        tuple(_read(f"{path}/{name}").strip() for name in names)
        for path in _matching("sys/bus/pci/devices/*")
    ]


def _is_tpu_file(path: str) -> bool:
    # Chips of v2 to v4 are accel files, later chips are VFIO groups. A machine may lend
    # other devices by VFIO, but no machine with TPU chips is known to do so.
    return bool(re.fullmatch(r"/dev/(accel\d+|vfio/\d+)", path))


def _metadata(key: str) -> str | None:
    host = os.environ.get("GCE_METADATA_HOST", "169.254.169.254")
    request = urllib.request.Request(
        f"http://{host}/computeMetadata/v1/{key}", headers={"Metadata-Flavor": "Google"}
    )
    # Without a proxy: the address is the machine's own.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_METADATA_SECONDS) as response:
            return response.read().decode().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _matching(pattern: str) -> list[str]:
    """Lists the absolute paths below the root that match, sorted."""
    return sorted(glob.glob(os.path.join(ROOT, pattern)))


def _read(path: str) -> str:
    """Returns a file's text; empty where it is missing or may not be read."""
    try:
        with open(os.path.join(ROOT, path), errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
