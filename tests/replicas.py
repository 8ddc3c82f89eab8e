"""Two virtual CPU devices, which every process of tests has, and training on them."""

import functools

import tensorflow as tf


class StandIn(tf.distribute.MirroredStrategy):
    """Replicas that refuse what TPUStrategy refuses."""

    def run(self, fn, args=(), kwargs=None, options=None):
        if tf.executing_eagerly():
            raise RuntimeError("a TPU runs nothing eagerly")
        for value in tf.nest.flatten([args, kwargs], expand_composites=True):
            if tf.is_tensor(value) and not value.shape.is_fully_defined():
                raise RuntimeError(f"a TPU's shapes are static, not {value.shape}")
        return super().run(fn, args=args, kwargs=kwargs, options=options)


@functools.cache
def two() -> StandIn:
    """The process's one strategy of two devices.

    A second strategy would give its collectives the numbers of the first one's.
    """
    return StandIn([device.name for device in tf.config.list_logical_devices("CPU")])
