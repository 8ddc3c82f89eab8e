"""Finds out why TensorFlow finds no GPU: card, driver, driver's age, or libraries."""

import ctypes.util
import glob
import os
import sysconfig

from efficientnet_tf.hardware import machine, packages

INSTALL = "pip install -e '.[gpu]'"

# TensorFlow 2.20 is built with CUDA 12.5 (tf.sysconfig.get_build_info), and CUDA 12
# runs on drivers from this one on. Source: CUDA 12.5 release notes, table 2.
OLDEST_DRIVER = "525.60.13"
# Libraries that TensorFlow opens and its extra "and-cuda" installs, by the names
# that CUDA 12 and cuDNN 9 give them.
_LIBRARIES = {
    "cudart": "12",
    "cublas": "12",
    "cudnn": "9",
    "cufft": "11",
    "cusolver": "11",
    "cusparse": "12",
}


def reason() -> str:
    """Says why TensorFlow finds no GPU on this machine, and what to do about it."""
    if not machine.nvidia_cards():
        return (
            "this machine has no NVIDIA card (none on the PCI bus, no /dev/nvidia* "
            "or /dev/dxg)"
        )
    fault = driver_fault()
    if fault:
        return fault
    missing = missing_libraries()
    if missing:
        return (
            f"TensorFlow does not find CUDA's libraries ({', '.join(missing)}); "
            f"install them with {INSTALL}"
        )
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        return f"CUDA_VISIBLE_DEVICES={hidden} hides the cards; unset it"
    return (
        "card, driver and libraries are there and TensorFlow does not say why it "
        "refuses them; TF_CPP_MIN_LOG_LEVEL=0 makes it log the reason"
    )


def driver_fault() -> str | None:
    """Says what is wrong with the driver of a card; None if nothing is."""
    driver = machine.nvidia_driver()
    if driver is None and not os.path.exists(os.path.join(machine.ROOT, "dev/dxg")):
        return (
            "this machine has an NVIDIA card and no NVIDIA driver is loaded; install "
            f"driver {OLDEST_DRIVER} or a newer one, until nvidia-smi shows the card"
        )
    if driver and packages.numbers(driver) < packages.numbers(OLDEST_DRIVER):
        return (
            f"the NVIDIA driver {driver} is too old for CUDA 12; install driver "
            f"{OLDEST_DRIVER} or a newer one"
        )
    return None


def missing_libraries() -> list[str]:
    """Lists the CUDA libraries that are neither in a wheel nor on this system."""
    return [
        f"lib{name}.so.{version}"
        for name, version in _LIBRARIES.items()
        if not _is_there(name, version)
    ]


def _is_there(name: str, version: str) -> bool:
    file = f"lib{name}.so.{version}"
    wheels = os.path.join(sysconfig.get_path("purelib"), "nvidia", "*", "lib")
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    on_path = any(os.path.exists(os.path.join(f, file)) for f in folders if f)
    on_system = (ctypes.util.find_library(name) or "").endswith(f".so.{version}")
    return bool(glob.glob(os.path.join(wheels, file))) or on_path or on_system
