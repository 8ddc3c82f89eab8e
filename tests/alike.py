"""Makes each test begin alike: random numbers, names of layers, dtype policy."""

import contextlib
import os
import random
import sys
import threading
from collections.abc import Iterator


def begin_alike():
    """Undoes changes that earlier tests may have made in this process."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    # Most test modules need no TensorFlow, which takes seconds to import.
    if "tensorflow" in sys.modules:
        _begin_tensorflow_alike()


@contextlib.contextmanager
def environment_kept() -> Iterator[None]:
    """Undoes what changes in the environment within a `with` block.

    It writes only what differs: a thread of TensorFlow that reads a variable while
    another is written may end the process, so no test rewrites the whole environment.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


def split_cpu(count: int):
    """Gives this process virtual CPU devices.

    Their number cannot change once TensorFlow has started, so no module of tests makes
    a tensor where it is imported.
    """
    if "tensorflow" in sys.modules:
        config = sys.modules["tensorflow"].config
        (cpu,) = config.list_physical_devices("CPU")
        virtual = [config.LogicalDeviceConfiguration()] * count
        config.set_logical_device_configuration(cpu, virtual)


def forget_graphs():
    """Lets TensorFlow forget what it has made of graphs that ran in this process.

    Before each test it would cost a quarter of the suite's time: every graph that the
    tests of a file share would be optimised again. With the graphs go the states of
    random operations, so no test draws with one that has a state.
    """
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session(free_memory=False)


def passing_graphs() -> contextlib.AbstractContextManager[None]:
    """Frees the graphs that the tests of a file differentiate."""
    if "tensorflow" not in sys.modules:
        return contextlib.nullcontext()
    from efficientnet_tf.hardware import freed_memory

    return freed_memory.passing_graphs()


def _begin_tensorflow_alike():
    import keras
    import tensorflow as tf
    from keras.src.backend.common import global_state
    from keras.src.utils import rng_utils
    from tensorflow.python.eager import context
    from tensorflow.python.framework import config

    config.disable_op_determinism()  # nothing public does; a run in-process enables it
    # As `keras.utils.clear_session`, which also forgets graphs: names of layers begin
    # at 0, and the dtype policy is float32.
    global_state.GLOBAL_STATE_TRACKER = threading.local()
    global_state.GLOBAL_SETTINGS_TRACKER = threading.local()
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    global_state.set_global_attribute(rng_utils.GLOBAL_RANDOM_SEED, 0)
    if context.global_seed() != 0:  # to set it forgets graphs too
        tf.random.set_seed(0)
