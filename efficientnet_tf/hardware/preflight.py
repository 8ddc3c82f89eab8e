"""All that is decided, checked and set about the hardware before TensorFlow comes."""

import os
import sys

from efficientnet_tf.hardware import cloud, gpu, hosts, machine, packages
from efficientnet_tf.hardware import tpu as tpu_lib


def before_import() -> None:
    """What has to be so whenever TensorFlow is imported, on whatever device.

    Raises:
        ValueError: if the import would abort this process.
    """
    packages.check_import()
    if packages.is_tpu_build() and not (machine.tpu_chips() or machine.is_google_vm()):
        # Else libtpu asks for a metadata server: 4 minutes where there is none.
        os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")


def check(
    device: str = "auto",
    *,
    tpu: str | None = None,
    tpu_runtime: str = "auto",
    zone: str | None = None,
    project: str | None = None,
    num_cpu_devices: int = 1,
) -> None:
    """Checks that settings of the hardware agree; looks at no machine.

    Args:
        device: "auto", "tpu", "gpu" or "cpu".
        tpu: name of a Cloud TPU, "local", or grpc:// addresses, comma-separated.
        tpu_runtime: one of `tpu.RUNTIMES`.
        zone: the zone of a TPU that is named.
        project: the project of a TPU that is named.
        num_cpu_devices: virtual devices, 1 and more.

    Raises:
        ValueError: naming the setting, and what is allowed.
    """
    if tpu == "":
        raise ValueError("tpu=: is empty; give a TPU's name, or local on a TPU VM")
    if tpu:
        tpu_lib.check_spelling(tpu)
    if tpu and device not in ("auto", "tpu"):
        raise ValueError(f"tpu={tpu} contradicts --device={device}")
    if num_cpu_devices > 1 and (tpu or device not in ("auto", "cpu")):
        raise ValueError(
            f"num_cpu_devices={num_cpu_devices}: allowed is 1 except on the CPU"
        )
    for name, value in (("zone", zone), ("project", project)):
        if value and not tpu_lib.is_name(tpu):
            raise ValueError(
                f"{name}={value}: says where a TPU is that --tpu names; give its name, "
                "or leave it out"
            )
    if tpu_lib.is_remote(tpu) and tpu_runtime != "auto":
        raise ValueError(
            f"tpu_runtime={tpu_runtime}: is of this machine's TPU, and --tpu={tpu} is "
            "another's; leave it out"
        )


def check_paths(tpu: str | None, **paths: str | None) -> None:
    """Checks that a remote TPU's hosts can reach the folders of a run.

    They read the data and write the checkpoints themselves.

    Args:
        tpu: as in `check`.
        **paths: folders by the name of their setting; None is left out.

    Raises:
        ValueError: naming a folder that is not in a bucket.
    """
    if not tpu_lib.is_remote(tpu):
        return
    for name, path in paths.items():
        if path is not None and not path.startswith("gs://"):
            raise ValueError(
                f"{name}={path}: the hosts of --tpu={tpu} do not see this machine's "
                "disk; give a gs:// folder"
            )


def find_cluster(
    device: str, *, tpu: str | None, num_cpu_devices: int
) -> hosts.Cluster | None:
    """The hosts that TF_CONFIG names and this process can be one of; None of one.

    Args:
        device: as in `check`.
        tpu: as in `check`.
        num_cpu_devices: as in `check`.

    Raises:
        ValueError: naming TF_CONFIG and what contradicts it.
    """
    found = hosts.of_environment(os.environ)
    if found is None:
        return None
    if tpu or device == "tpu":
        raise ValueError(
            f"TF_CONFIG names {len(found.addresses)} hosts, and one process runs a TPU "
            f"slice of any size ({f'--tpu={tpu}' if tpu else '--device=tpu'}); unset "
            "TF_CONFIG"
        )
    if num_cpu_devices > 1:
        raise ValueError(
            "TF_CONFIG names several hosts, so allowed is --num_cpu_devices=1, not "
            f"{num_cpu_devices}"
        )
    hosts.check_port(found)
    return found


def prepare(
    device: str = "auto",
    *,
    tpu: str | None = None,
    tpu_runtime: str = "auto",
    zone: str | None = None,
    project: str | None = None,
) -> tuple[str, list[str]]:
    """Decides what to run on, checks that it is there, and sets its environment.

    Args:
        device: "auto", "tpu", "gpu" or "cpu".
        tpu: name of a Cloud TPU, "local", or grpc:// addresses, comma-separated.
        tpu_runtime: one of `tpu.RUNTIMES`.
        zone: the zone of a TPU that is named; None takes this machine's.
        project: the project of a TPU that is named; None takes this machine's.

    Returns:
        The device, "auto" where TensorFlow has to look for GPUs; and lines for the
        user: what was set, and a TPU that would not be used.

    Raises:
        ValueError: naming what is missing, and what to do.
    """
    if device == "auto" and tpu is None and machine.tpu_chips():
        return _take_chips(tpu_runtime)
    if device == "tpu" or (device == "auto" and tpu):
        return "tpu", _prepare_tpu(tpu or tpu_lib.LOCAL, tpu_runtime, zone, project)
    on_linux = sys.platform == "linux"  # elsewhere plugins bring other makers' cards
    if device == "gpu" and on_linux:
        gpu.check_card()
    return device, []


def _take_chips(tpu_runtime: str) -> tuple[str, list[str]]:
    """This machine's TPU where the installed TensorFlow can drive it, else a hint."""
    if packages.is_tpu_build():
        return "tpu", _prepare_tpu(tpu_lib.LOCAL, tpu_runtime, None, None)
    return "auto", [
        "this machine has a TPU that the installed TensorFlow cannot drive; to use it: "
        f"{packages.INSTALL}"
    ]


def _prepare_tpu(
    tpu: str, runtime: str, zone: str | None, project: str | None
) -> list[str]:
    lines = tpu_lib.prepare(tpu, runtime=runtime)
    if tpu_lib.is_name(tpu):
        cloud.check_node(tpu, zone=zone, project=project)
    elif tpu_lib.is_remote(tpu):
        for address in tpu.split(","):
            tpu_lib.check_address(address)
    return lines
