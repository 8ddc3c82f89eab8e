"""Machines that are not there: files as Linux and Google's cloud lay them out."""

import pathlib

GVNIC = ("0x1ae0", "0x0042", "0x020000")  # a network card of the vendor of TPUs
V4 = ("0x1ae0", "0x005e", "0x120000")
V5E = ("0x1ae0", "0x0063", "0x120000")
H100 = ("0x10de", "0x2330", "0x030200")
NVLINK_SWITCH = ("0x10de", "0x22a3", "0x068000")  # NVIDIA's, and no card

# Variables that tell TensorFlow of a TPU; a test begins without them.
VARIABLES = (
    *("PJRT_DEVICE", "NEXT_PLUGGABLE_DEVICE_USE_C_API", "TPU_LOAD_LIBRARY"),
    *("TF_PLUGGABLE_DEVICE_LIBRARY_PATH", "TF_XLA_FLAGS", "TPU_SKIP_MDS_QUERY"),
    *("TPU_ACCELERATOR_TYPE", "ACCELERATOR_TYPE", "ALLOW_MULTIPLE_LIBTPU_LOAD"),
    "TPU_CHIPS_PER_PROCESS_BOUNDS",
)


def lay_out(
    root: pathlib.Path,
    *devices: tuple[str, str, str],
    files: dict[str, str] | None = None,
    google: bool = False,
    driver: str | None = None,
) -> str:
    """Writes a file system for `machine.ROOT` and returns its path.

    Args:
        root: an empty folder.
        *devices: PCI vendor, device and class of each device.
        files: further files, by path.
        google: whether the firmware says that Google made the machine.
        driver: version of the NVIDIA driver that is loaded.
    """
    written = dict(files or {})
    for number, device in enumerate(devices):
        for name, value in zip(("vendor", "device", "class"), device, strict=True):
            written[f"sys/bus/pci/devices/0000:00:{number:02x}.0/{name}"] = f"{value}\n"
    if google:
        written["sys/class/dmi/id/product_name"] = "Google Compute Engine\n"
    if driver:
        written["proc/driver/nvidia/version"] = (
            f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {driver}  Thu Feb 22 "
            "01:44:30 UTC 2024\nGCC version:  gcc version 11.4.0 (Ubuntu)\n"
        )
    for path, text in written.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return str(root)
