"""Makes the tf.distribute strategy, and sets the device's numerics."""

import signal

import tensorflow as tf

from efficientnet_tf.hardware import agreement, failures, gpu, hosts, machine
from efficientnet_tf.hardware import tpu as tpu_lib

_FIRST_WITH_TF32 = (8, 0)  # compute capability: Ampere, such as the A100


def make_strategy(
    device: str = "auto",
    *,
    tpu: str | None = None,
    zone: str | None = None,
    project: str | None = None,
    num_cpu_devices: int = 1,
    cluster: hosts.Cluster | None = None,
) -> tf.distribute.Strategy:
    """Connects to the hardware. Call before anything else touches a device.

    `preflight.prepare` has to come first, before TensorFlow is imported: it checks what
    can be checked then, and a TPU of v5e and later needs what it sets.

    Args:
        device: "tpu", "gpu" (all of them, mirrored), "cpu", or "auto": a TPU if `tpu`
            is given, else GPUs if there are any, else the CPU.
        tpu: name of a Cloud TPU, "local" on a TPU VM, or a grpc:// address.
        zone: the zone of a TPU that is named; None takes this machine's.
        project: the project of a TPU that is named; None takes this machine's.
        num_cpu_devices: int; above 1, splits the CPU into virtual devices, to try a
            distributed run on one machine.
        cluster: the hosts that TF_CONFIG names, which make one run, each with all its
            GPUs or its CPU. The call returns once the others are there.

    Raises:
        ValueError: if the device asked for is not there.
        hosts.HostLostError: if another host fails meanwhile.
    """
    if device == "auto":
        device = "tpu" if tpu else _local_kind(num_cpu_devices)
    if device == "tpu":
        return _tpu_strategy(tpu or tpu_lib.LOCAL, zone, project)
    if cluster:
        return _strategy_of_hosts(device)
    if device == "gpu":
        return _gpu_strategy()
    tf.config.set_visible_devices([], "GPU")
    return _cpu_strategy(num_cpu_devices)


def _strategy_of_hosts(device: str) -> tf.distribute.Strategy:
    # Lists physical devices: no device may be started before the strategy is made.
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif not tf.config.list_physical_devices("GPU"):
        raise ValueError(f"device=gpu: {gpu.reason()}")
    # Ctrl-C ends the wait: Python would handle it only when all hosts are there.
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with agreement.lost_in_one_line():
            return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.DeadlineExceededError as error:
        raise hosts.HostLostError(
            "TF_CONFIG: an hour has passed, and not all hosts are there; start the "
            "same command on each, and see that each reaches the others' ports"
        ) from error
    finally:
        signal.signal(signal.SIGINT, previous)


def _local_kind(num_cpu_devices: int) -> str:
    # Lists physical devices: to list logical ones would start them as they are.
    if num_cpu_devices == 1 and tf.config.list_physical_devices("GPU"):
        return "gpu"
    return "cpu"


def unused_card(strategy: tf.distribute.Strategy) -> str | None:
    """Says why a run on the CPU does not use this machine's NVIDIA card, if any."""
    if not machine.nvidia_cards() or kind(strategy) != "cpu":
        return None
    return f"this run is on the CPU: {gpu.reason()}"


def kind(strategy: tf.distribute.Strategy) -> str:
    """Returns the kind of device a strategy runs on: "tpu", "gpu" or "cpu"."""
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return "tpu"
    device = strategy.extended.worker_devices[0]
    return "gpu" if "GPU" in device.upper() else "cpu"


def is_one_cpu(strategy: tf.distribute.Strategy) -> bool:
    """Whether a strategy's only replica is this machine's CPU."""
    is_one = isinstance(strategy, tf.distribute.OneDeviceStrategy)
    return is_one and kind(strategy) == "cpu"


def configure_numerics(strategy: tf.distribute.Strategy, precision: str) -> str:
    """Sets what the device needs to be fast and, on CPU, bit-reproducible.

    XLA stays off on a CPU, where it was measured to be 9 times slower at inference and
    12 times in training. A TPU always uses XLA; on a GPU, XLA clusters operations.

    Args:
        strategy: the strategy that `make_strategy` made.
        precision: value of the setting `precision`.

    Returns:
        The name of the Keras dtype policy to build the model under.
    """
    device = kind(strategy)
    if device == "cpu":
        tf.config.experimental.enable_op_determinism()
    elif device == "gpu":
        tf.config.optimizer.set_jit("autoclustering")
        tf.config.experimental.enable_tensor_float_32_execution(
            precision != "float32_no_tf32"
        )
    return dtype_policy(precision, device)


def precision_note(strategy: tf.distribute.Strategy, precision: str) -> str | None:
    """Says that a GPU computes float32 in TF32; None where it does not.

    Args:
        strategy: the strategy that `make_strategy` made.
        precision: value of the setting `precision`.
    """
    if kind(strategy) != "gpu" or precision not in ("auto", "float32"):
        return None
    (card, *_) = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(card)
    if details.get("compute_capability", (0, 0)) < _FIRST_WITH_TF32:
        return None
    return (
        "float32 products on this GPU are TF32 (10 bits of mantissa, not 23); "
        "--precision=float32_no_tf32 computes all of them, bfloat16 is faster"
    )


def dtype_policy(precision: str, device: str) -> str:
    """Returns the Keras dtype policy of the setting `precision` on a kind of device.

    Args:
        precision: value of the setting `precision`.
        device: "tpu", "gpu" or "cpu".
    """
    if precision == "auto":
        precision = "bfloat16" if device == "tpu" else "float32"
    return "mixed_bfloat16" if precision == "bfloat16" else "float32"


def _tpu_strategy(
    tpu: str, zone: str | None, project: str | None
) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=tpu, zone=zone, project=project
        )
        if tpu_lib.is_remote(tpu):
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except Exception as error:  # from TensorFlow, urllib, google.auth, googleapiclient
        raise ValueError(failures.of_tpu(error, tpu)) from error
    return tf.distribute.TPUStrategy(resolver)


def _gpu_strategy() -> tf.distribute.Strategy:
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if not gpus:
        raise ValueError(f"device=gpu: {gpu.reason()}")
    return _mirrored(gpus)


def _cpu_strategy(num_cpu_devices: int) -> tf.distribute.Strategy:
    if num_cpu_devices > 1:
        (cpu,) = tf.config.list_physical_devices("CPU")
        virtual = [tf.config.LogicalDeviceConfiguration()] * num_cpu_devices
        tf.config.set_logical_device_configuration(cpu, virtual)
    names = [device.name for device in tf.config.list_logical_devices("CPU")]
    return _mirrored(names[:num_cpu_devices])


def _mirrored(names: list[str]) -> tf.distribute.Strategy:
    if len(names) == 1:
        return tf.distribute.OneDeviceStrategy(names[0])
    return tf.distribute.MirroredStrategy(names)
