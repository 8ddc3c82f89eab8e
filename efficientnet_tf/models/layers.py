"""The layers that every network repeats, with the settings that all of them share."""

from typing import Any

import keras

from efficientnet_tf.models import condconv, normalization
from efficientnet_tf.models.layer_builder import Strides, Value

BATCH_NORMS = ("local", "sync", "grouped", "frozen")


def full_precision() -> str | None:
    """Returns float32 where half precision would harm; None keeps the policy."""
    policy = keras.config.dtype_policy()
    return "float32" if policy.compute_dtype in ("float16", "bfloat16") else None


class Layers:
    """Adds layers to a functional graph.

    Args:
        padding: "same", or "symmetric" for as many pixels on both sides.
        batch_norm: one of BATCH_NORMS: statistics of each replica, of all, of groups of
            replicas, or the moving ones, which are then never updated.
        momentum: float in [0, 1), momentum of batch norm's moving statistics.
        epsilon: float above 0, added to batch norm's variance.
        distribution: distribution of initial kernels, of variance 2 / (kernel area *
            output filters). The original's is normal and not truncated
            (keras.applications truncates).
    """

    def __init__(
        self,
        *,
        padding: str,
        batch_norm: str,
        momentum: float,
        epsilon: float,
        distribution: str,
    ):
        self._padding = padding
        self._batch_norm = batch_norm
        self._norm: dict[str, Any] = {"momentum": momentum, "epsilon": epsilon}
        # A config: each layer makes an initializer of it, with a seed of its own.
        self._initializer = {
            "class_name": "VarianceScaling",
            "config": {"scale": 2.0, "mode": "fan_out", "distribution": distribution},
        }
        self._channels_first = keras.config.image_data_format() == "channels_first"

    def conv(
        self, x: Value, filters: int, size: int, *, name: str, strides: Strides = (1, 1)
    ) -> Value:
        """A convolution, without a bias."""
        x, padding = self._padded(x, size, strides, name)
        return keras.layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding=padding,
            use_bias=False,
            kernel_initializer=self._initializer,
            name=name,
        )(x)

    def depthwise(self, x: Value, size: int, *, strides: Strides, name: str) -> Value:
        """A depthwise convolution."""
        x, padding = self._padded(x, size, strides, name)
        return keras.layers.DepthwiseConv2D(
            size,
            strides=strides,
            padding=padding,
            use_bias=False,
            depthwise_initializer=self._initializer,
            name=name,
        )(x)

    def routing(self, x: Value, experts: int, *, name: str) -> Value:
        """Each expert's share in an image's kernel, [batch, experts]."""
        pooled = keras.layers.GlobalAveragePooling2D(name=f"{name}_pool")(x)
        return keras.layers.Dense(experts, activation="sigmoid", name=name)(pooled)

    def conditional_conv(
        self, x: Value, routing: Value, filters: int, *, name: str
    ) -> Value:
        """A 1x1 convolution with kernels of each image's own."""
        self._refuse_channels_first()
        return condconv.CondConv2D(
            filters,
            experts=routing.shape[-1],
            kernel_initializer=self._initializer,
            name=name,
        )([x, routing])

    def conditional_depthwise(
        self, x: Value, routing: Value, size: int, *, strides: Strides, name: str
    ) -> Value:
        """A depthwise convolution with kernels of each image's own."""
        self._refuse_channels_first()
        x, padding = self._padded(x, size, strides, name)
        return condconv.DepthwiseCondConv2D(
            size,
            experts=routing.shape[-1],
            strides=strides,
            padding=padding,
            kernel_initializer=self._initializer,
            name=name,
        )([x, routing])

    def norm(self, x: Value, name: str) -> Value:
        """Batch normalisation."""
        axis = 1 if self._channels_first else -1
        if self._batch_norm == "grouped":
            layer = normalization.GroupedBatchNormalization
            return layer(axis=axis, name=name, **self._norm)(x)
        return keras.layers.BatchNormalization(
            axis=axis,
            synchronized=self._batch_norm == "sync",
            trainable=self._batch_norm != "frozen",
            name=name,
            **self._norm,
        )(x)

    def activation(self, x: Value, activation: str, name: str) -> Value:
        """The named activation."""
        return keras.layers.Activation(activation, name=name)(x)

    def max_pool(self, x: Value, name: str, *, activation: str) -> Value:
        """A 3x3 max pooling of stride 2.

        Padding must never be the maximum: zeros would be, among negative values.
        """
        if self._padding == "symmetric" and activation not in ("relu", "relu6"):
            pool = keras.layers.MaxPooling2D
            x = pool(3, strides=1, padding="same", name=f"{name}_window")(x)
            return pool(1, strides=2, name=name)(x)
        x, padding = self._padded(x, 3, (2, 2), name)
        return keras.layers.MaxPooling2D(3, strides=2, padding=padding, name=name)(x)

    def squeeze_excite(
        self, x: Value, filters: int, reduced: int, *, activation: str, name: str
    ) -> Value:
        """Scales each channel by a gate computed from all channels' means."""
        gate = keras.layers.GlobalAveragePooling2D(name=f"{name}_squeeze")(x)
        shape = (filters, 1, 1) if self._channels_first else (1, 1, filters)
        gate = keras.layers.Reshape(shape, name=f"{name}_reshape")(gate)
        dense = {"reduce": (reduced, activation), "expand": (filters, "sigmoid")}
        for role, (outputs, function) in dense.items():
            gate = keras.layers.Conv2D(
                outputs,
                1,
                padding="same",
                activation=function,
                kernel_initializer=self._initializer,
                name=f"{name}_{role}",
            )(gate)
        return keras.layers.Multiply(name=f"{name}_excite")([x, gate])

    def add(self, x: Value, shortcut: Value, *, drop_rate: float, name: str) -> Value:
        """Adds a shortcut; stochastic depth drops whole images' x in training."""
        if drop_rate > 0:
            x = keras.layers.Dropout(
                drop_rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop"
            )(x)
        return keras.layers.Add(name=f"{name}_add")([x, shortcut])

    def _padded(
        self, x: Value, size: int, strides: Strides, name: str
    ) -> tuple[Value, str]:
        """Pads the input where the layer cannot; returns it and the layer's padding.

        At stride 1 both paddings are the same.
        """
        if self._padding == "same" or max(strides) == 1 or size == 1:
            return x, "same"
        pixels = (size - 1) // 2
        return keras.layers.ZeroPadding2D(pixels, name=f"{name}_pad")(x), "valid"

    def _refuse_channels_first(self) -> None:
        if self._channels_first:
            raise ValueError(
                "image_data_format=channels_first: conditional convolutions take "
                "channels_last only"
            )
