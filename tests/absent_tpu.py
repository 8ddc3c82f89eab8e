"""TensorFlow's own TPUStrategy without a TPU: it builds and traces, and runs nothing.

Variables are placed on the CPU, so building, assigning and saving work. A traced
function holds the operations it would hold for a TPU; no device here has their kernels.
"""

import tensorflow as tf
from tensorflow.python.client import session

HOST = "/job:localhost/replica:0/task:0/device"


class _Resolver(tf.distribute.cluster_resolver.TPUClusterResolver):
    """States the given number of cores of one host, without asking a TPU."""

    def __init__(self, cores: int):
        super().__init__(tpu="local")
        self._cores = cores

    def get_tpu_system_metadata(self):
        # Of TensorFlow 2.20: the public class of such devices has no constructor.
        devices = tuple(
            session._DeviceAttributes(name, "TPU", 0, i)
            for i, name in enumerate(tpu_devices(self._cores))
        )
        return tf.tpu.experimental.TPUSystemMetadata(
            num_cores=self._cores,
            num_hosts=1,
            num_of_cores_per_host=self._cores,
            topology=None,
            devices=devices,
        )


def tpu_devices(cores: int) -> list[str]:
    """The names of a host's TPU cores."""
    return [f"{HOST}:TPU:{i}" for i in range(cores)]


def strategy(cores: int) -> tf.distribute.TPUStrategy:
    """Makes the strategy of one host with `cores` cores, none of which exists."""
    return tf.distribute.TPUStrategy(_Resolver(cores))
