"""From `--device` and `--tpu` to a tf.distribute strategy."""

import signal

import tensorflow as tf

from efficientnet_tf.hardware import agreement, hosts

_NO_GPU = "device=gpu: no GPU found; allowed are cpu and auto"


def make_strategy(
    device: str = "auto",
    *,
    tpu: str | None = None,
    num_cpu_devices: int = 1,
    cluster: hosts.Cluster | None = None,
) -> tf.distribute.Strategy:
    """Connects to the hardware. Call before anything else touches a device.

    Args:
        device: "tpu", "gpu" (all of them, mirrored), "cpu", or "auto": a TPU if `tpu`
            is given, else GPUs if there are any, else the CPU.
        tpu: name of a Cloud TPU, "local" on a TPU VM, or a grpc:// address.
        num_cpu_devices: above 1, splits the CPU into virtual devices, to try a
            distributed run on one machine.
        cluster: what TF_CONFIG says, to make one run of several hosts, each with all
            its GPUs or its CPU. Returns once the others are there.

    Raises:
        ValueError: if the device asked for is not there.
        hosts.HostLostError: if another host fails meanwhile.
    """
    if device == "auto":
        device = "tpu" if tpu else _local_kind(num_cpu_devices)
    if device == "tpu":
        return _tpu_strategy(tpu)
    if cluster:
        return _strategy_of_hosts(device)
    if device == "gpu":
        gpus = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
        return _mirrored(gpus, _NO_GPU)
    tf.config.set_visible_devices([], "GPU")
    return _cpu_strategy(num_cpu_devices)


def _strategy_of_hosts(device: str) -> tf.distribute.Strategy:
    # Physical devices: no device may be started before the strategy is made.
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif not tf.config.list_physical_devices("GPU"):
        raise ValueError(_NO_GPU)
    # Ctrl-C ends the wait: Python would hear of it only when all are there.
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
    # Physical devices: listing logical ones would start them as they are.
    if num_cpu_devices == 1 and tf.config.list_physical_devices("GPU"):
        return "gpu"
    return "cpu"


def kind(strategy: tf.distribute.Strategy) -> str:
    """What a strategy runs on: "tpu", "gpu" or "cpu"."""
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return "tpu"
    device = strategy.extended.worker_devices[0]
    return "gpu" if "GPU" in device.upper() else "cpu"


def configure_numerics(strategy: tf.distribute.Strategy, precision: str) -> str:
    """Sets what the device needs to be fast and, on CPU, bit-reproducible.

    XLA stays off on the CPU (9 times slower at inference, 12 in training when
    measured), is always on on TPU and clusters operations on GPU.

    Args:
        strategy: as made above.
        precision: "auto" (bfloat16 on TPU, else float32), "float32" or "bfloat16".

    Returns:
        The name of the Keras dtype policy to build the model under.
    """
    device = kind(strategy)
    if device == "cpu":
        tf.config.experimental.enable_op_determinism()
    elif device == "gpu":
        tf.config.optimizer.set_jit("autoclustering")
    return dtype_policy(precision, device)


def dtype_policy(precision: str, device: str) -> str:
    """The Keras dtype policy of `Config.precision` on a kind of device."""
    if precision == "auto":
        precision = "bfloat16" if device == "tpu" else "float32"
    return "mixed_bfloat16" if precision == "bfloat16" else "float32"


def _tpu_strategy(tpu: str | None) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu or "local")
        if tpu not in (None, "local"):
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except Exception as error:  # of TensorFlow, urllib, google.auth, googleapiclient
        raise ValueError(
            f"tpu={tpu or 'local'}: cannot reach a TPU ({error}); allowed is the name "
            "of a Cloud TPU, local on a TPU VM, or grpc://HOST:PORT"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def _cpu_strategy(num_cpu_devices: int) -> tf.distribute.Strategy:
    if num_cpu_devices > 1:
        (cpu,) = tf.config.list_physical_devices("CPU")
        virtual = [tf.config.LogicalDeviceConfiguration()] * num_cpu_devices
        tf.config.set_logical_device_configuration(cpu, virtual)
    names = [device.name for device in tf.config.list_logical_devices("CPU")]
    return _mirrored(names[:num_cpu_devices], "no CPU device found")


def _mirrored(names: list[str], none_found: str) -> tf.distribute.Strategy:
    if not names:
        raise ValueError(none_found)
    if len(names) == 1:
        return tf.distribute.OneDeviceStrategy(names[0])
    return tf.distribute.MirroredStrategy(names)
