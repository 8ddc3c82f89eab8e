"""Convolutions whose kernel is a mixture of experts, made for each image.

CondConv, arXiv 1904.04971. The original convolves image by image, which fixes the batch
size; here the batch size stays free.
"""

from typing import Any

import keras
from keras import ops


class _Conditional(keras.layers.Layer):
    """The experts of both layers, and their initial weights."""

    def __init__(self, *, experts: int, kernel_initializer: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.experts = experts
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def _add_kernel(self, shape: tuple[int, ...]) -> None:
        """Adds `kernel`, [experts, *shape]; each expert is initialised by itself."""

        def initialize(full_shape: Any, dtype: Any = None) -> Any:
            del full_shape
            config = keras.initializers.serialize(self.kernel_initializer)
            initializers = [
                keras.initializers.deserialize(config) for _ in range(self.experts)
            ]
            return ops.stack([make(shape, dtype=dtype) for make in initializers])

        self.kernel = self.add_weight(
            shape=(self.experts, *shape), initializer=initialize, name="kernel"
        )

    def _mixed(self, routing: Any) -> Any:
        """Mixes the experts by [batch, experts] into kernels [batch, *shape]."""
        return ops.tensordot(routing, self.kernel, axes=1)

    def get_config(self) -> dict[str, Any]:
        """See `keras.layers.Layer`."""
        return super().get_config() | {
            "experts": self.experts,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="efficientnet_tf")
class CondConv2D(_Conditional):
    """A 1x1 convolution of [batch, rows, columns, inputs], routing [batch, experts].

    Args:
        filters: int, output channels.
        experts: int, kernels to mix; `kernel` is [experts, 1, 1, inputs, filters].
        kernel_initializer: initializer of one expert's kernel.
        **kwargs: keyword arguments of `keras.layers.Layer`.
    """

    def __init__(
        self, filters: int, *, experts: int, kernel_initializer: Any, **kwargs: Any
    ):
        super().__init__(
            experts=experts, kernel_initializer=kernel_initializer, **kwargs
        )
        self.filters = filters

    def build(self, input_shape: Any) -> None:
        """See `keras.layers.Layer`."""
        self._add_kernel((1, 1, input_shape[0][-1], self.filters))

    def call(self, inputs: Any) -> Any:
        """Multiplies each image's pixels by its own matrix."""
        x, routing = inputs
        kernels = self._mixed(routing)[:, 0]
        return ops.matmul(x, kernels)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """See `keras.layers.Layer`."""
        return (*input_shape[0][:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        """See `keras.layers.Layer`."""
        return super().get_config() | {"filters": self.filters}


@keras.saving.register_keras_serializable(package="efficientnet_tf")
class DepthwiseCondConv2D(_Conditional):
    """A depthwise convolution of [batch, rows, columns, inputs], routing as above.

    Args:
        kernel_size: int, rows and columns of the kernel.
        experts: int, kernels to mix; `kernel` is [experts, size, size, inputs, 1].
        strides: (int, int), strides of rows and columns.
        padding: "same" or "valid".
        kernel_initializer: initializer of one expert's kernel.
        **kwargs: keyword arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        kernel_size: int,
        *,
        experts: int,
        strides: tuple[int, int],
        padding: str,
        kernel_initializer: Any,
        **kwargs: Any,
    ):
        super().__init__(
            experts=experts, kernel_initializer=kernel_initializer, **kwargs
        )
        self.kernel_size = kernel_size
        self.strides = tuple(strides)
        self.padding = padding

    def build(self, input_shape: Any) -> None:
        """See `keras.layers.Layer`."""
        self._add_kernel((self.kernel_size, self.kernel_size, input_shape[0][-1], 1))

    def call(self, inputs: Any) -> Any:
        """Convolves once, with the images laid side by side as channels.

        Mixing the outputs of all experts instead takes 7 times as long on a CPU.
        """
        x, routing = inputs
        batch, rows, columns, channels = ops.shape(x)
        kernels = ops.transpose(self._mixed(routing), (1, 2, 0, 3, 4))
        size = self.kernel_size
        outputs = ops.depthwise_conv(
            ops.reshape(
                ops.transpose(x, (1, 2, 0, 3)), (1, rows, columns, batch * channels)
            ),
            ops.reshape(kernels, (size, size, batch * channels, 1)),
            strides=self.strides,
            padding=self.padding,
        )
        _, rows, columns, _ = ops.shape(outputs)
        outputs = ops.reshape(outputs, (rows, columns, batch, channels))
        return ops.transpose(outputs, (2, 0, 1, 3))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """See `keras.layers.Layer`."""
        x_shape = input_shape[0]
        lost = self.kernel_size - 1 if self.padding == "valid" else 0
        sizes = [
            None if size is None else -(-(size - lost) // stride)
            for size, stride in zip(x_shape[1:3], self.strides, strict=True)
        ]
        return (x_shape[0], *sizes, x_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """See `keras.layers.Layer`."""
        return super().get_config() | {
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
        }
