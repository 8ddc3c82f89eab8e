"""Decides, checks and sets the hardware, before TensorFlow is imported."""

import os
import sys

from efficientnet_tf.hardware import cloud, gpu, hosts, machine, packages
from efficientnet_tf.hardware import tpu as tpu_lib
from efficientnet_tf.hardware.settings import Hardware


def before_import() -> None:
    """Checks and sets what any import of TensorFlow needs, on any device.

    Raises:
        ValueError: if the import would abort this process.
    """
    packages.check_import()
    if packages.is_tpu_build() and not (machine.tpu_chips() or machine.is_google_vm()):
        # Else libtpu looks for a metadata server, for 4 minutes where there is none.
        os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    if machine.has_avx2():
        # TensorFlow's default is off on processors without AVX512-VNNI. Lite0 at 224
        # pixels evaluates 3.0 times and trains 1.3 times as fast with oneDNN on two
        # cores of such a processor (AMD Zen 3).
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def check_paths(tpu: str | None, **paths: str | None) -> None:
    """Raises ValueError unless a remote TPU's hosts can reach the folders of a run.

    These hosts read the data and write the checkpoints themselves.

    Args:
        tpu: value of the setting `tpu`, see `Hardware`.
        **paths: folders by the name of their setting; None is left out.
    """
    if not tpu_lib.is_remote(tpu):
        return
    for name, path in paths.items():
        if path is not None and not path.startswith("gs://"):
            raise ValueError(
                f"{name}={path}: the hosts of --tpu={tpu} do not see this machine's "
                "disk; give a gs:// folder"
            )


def find_cluster(hardware: Hardware) -> hosts.Cluster | None:
    """Finds the hosts that TF_CONFIG names; None where there is one host.

    Raises:
        ValueError: naming TF_CONFIG and what contradicts it.
    """
    found = hosts.of_environment(os.environ)
    if found is None:
        return None
    tpu = hardware.tpu
    if tpu or hardware.device == "tpu":
        raise ValueError(
            f"TF_CONFIG names {len(found.addresses)} hosts, and one process runs a TPU "
            f"slice of any size ({f'--tpu={tpu}' if tpu else '--device=tpu'}); unset "
            "TF_CONFIG"
        )
    if hardware.num_cpu_devices > 1:
        raise ValueError(
            "TF_CONFIG names several hosts, so allowed is --num_cpu_devices=1, not "
            f"{hardware.num_cpu_devices}"
        )
    hosts.check_port(found)
    return found


def check_reading(remote: str | None, **settings: str | None) -> None:
    """Raises ValueError where the data is not read by this program, but would have to.

    Args:
        remote: the value of `--tpu` where its hosts read the data, else None.
        **settings: `on_bad_record` and `cache`; None for a default.
    """
    plain = {"on_bad_record": "error", "cache": "none"}
    for name, value in settings.items():
        if tpu_lib.is_remote(remote) and value not in (None, plain[name]):
            raise ValueError(
                f"{name}={value}: allowed is {plain[name]} with --tpu={remote}, whose "
                "hosts read the data without this program; --tpu=local on a TPU VM "
                "allows it"
            )


def prepare(hardware: Hardware) -> tuple[str, list[str]]:
    """Decides what to run on, checks that it is there, and sets its environment.

    Returns:
        The device, "auto" where TensorFlow has to look for GPUs; and lines that tell
        the user what was set, or that a TPU will not be used.

    Raises:
        ValueError: naming what is missing, and what to do.
    """
    device, tpu = hardware.device, hardware.tpu
    if device == "auto" and tpu is None and machine.tpu_chips():
        if packages.is_tpu_build():
            return "tpu", _prepare_tpu(hardware)
        return "auto", [
            "this machine has a TPU that the installed TensorFlow cannot drive; to use "
            f"it: {packages.INSTALL}"
        ]
    if device == "tpu" or (device == "auto" and tpu):
        return "tpu", _prepare_tpu(hardware)
    on_linux = sys.platform == "linux"  # elsewhere plugins run other makers' cards
    if device == "gpu" and on_linux and not machine.nvidia_cards():
        raise ValueError(f"device=gpu: {gpu.reason()}; allowed are cpu and auto")
    return device, []


def _prepare_tpu(hardware: Hardware) -> list[str]:
    tpu = hardware.tpu or tpu_lib.LOCAL
    lines = tpu_lib.prepare(tpu, runtime=hardware.tpu_runtime)
    if tpu_lib.is_name(tpu):
        cloud.check_node(tpu, zone=hardware.zone, project=hardware.project)
    elif tpu_lib.is_remote(tpu):
        for address in tpu.split(","):
            tpu_lib.check_address(address)
    return lines
