"""The layers that every network repeats, with what all of them share."""

import keras

from efficientnet_tf.models import condconv, normalization

BATCH_NORMS = ("local", "sync", "grouped", "frozen")


def full_precision() -> str | None:
    """A dtype for layers that half precision would harm, None to keep the policy's."""
    policy = keras.config.dtype_policy()
    return "float32" if policy.compute_dtype in ("float16", "bfloat16") else None


class Layers:
    """Adds layers to a functional graph.

    Args:
        padding: "same", or "symmetric" for as many pixels on both sides.
        batch_norm: one of BATCH_NORMS: statistics of each replica, of all, of groups of
            replicas, or none but the moving ones, never updated.
        momentum: of batch norm's moving statistics.
        epsilon: of batch norm.
        distribution: of initial kernels, with variance 2 / (kernel area * output
            filters). The original's is normal, not truncated (keras.applications
            truncates).
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
        self._norm = {"momentum": momentum, "epsilon": epsilon}
        # A config: each layer makes an initializer of it, with a seed of its own.
        self._initializer = {
            "class_name": "VarianceScaling",
            "config": {"scale": 2.0, "mode": "fan_out", "distribution": distribution},
        }
        self._channels_first = keras.config.image_data_format() == "channels_first"

    def conv(self, x, filters, kernel_size, *, name, strides=(1, 1), **kwargs):
        """A convolution, without a bias unless asked for one."""
        x, padding = self._padded(x, kernel_size, strides, name)
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            kernel_initializer=self._initializer,
            name=name,
            **{"use_bias": False, **kwargs},
        )(x)

    def depthwise(self, x, kernel_size, *, strides, name):
        """A depthwise convolution."""
        x, padding = self._padded(x, kernel_size, strides, name)
        return keras.layers.DepthwiseConv2D(
            kernel_size,
            strides=strides,
            padding=padding,
            use_bias=False,
            depthwise_initializer=self._initializer,
            name=name,
        )(x)

    def routing(self, x, experts, *, name):
        """How much of each expert an image's kernels get, [batch, experts]."""
        pooled = keras.layers.GlobalAveragePooling2D(name=f"{name}_pool")(x)
        return keras.layers.Dense(experts, activation="sigmoid", name=name)(pooled)

    def conditional_conv(self, x, routing, filters, *, experts, name):
        """A 1x1 convolution with kernels of each image's own."""
        self._refuse_channels_first()
        return condconv.CondConv2D(
            filters, experts=experts, kernel_initializer=self._initializer, name=name
        )([x, routing])

    def conditional_depthwise(self, x, routing, kernel_size, *, experts, strides, name):
        """A depthwise convolution with kernels of each image's own."""
        self._refuse_channels_first()
        x, padding = self._padded(x, kernel_size, strides, name)
        return condconv.DepthwiseCondConv2D(
            kernel_size,
            experts=experts,
            strides=strides,
            padding=padding,
            kernel_initializer=self._initializer,
            name=name,
        )([x, routing])

    def norm(self, x, name):
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

    def activation(self, x, activation, name):
        """The named activation."""
        return keras.layers.Activation(activation, name=name)(x)

    def max_pool(self, x, name, *, activation):
        """The largest of 3x3 pixels, at every second one.

        Padding is no pixel: zeros are, among an activation's negative values.
        """
        if self._padding == "symmetric" and activation not in ("relu", "relu6"):
            pool = keras.layers.MaxPooling2D
            x = pool(3, strides=1, padding="same", name=f"{name}_window")(x)
            return pool(1, strides=2, name=name)(x)
        x, padding = self._padded(x, 3, (2, 2), name)
        return keras.layers.MaxPooling2D(3, strides=2, padding=padding, name=name)(x)

    def squeeze_excite(self, x, filters, reduced, *, activation, name):
        """Scales each channel by a gate computed from all channels' means."""
        gate = keras.layers.GlobalAveragePooling2D(name=f"{name}_squeeze")(x)
        shape = (filters, 1, 1) if self._channels_first else (1, 1, filters)
        gate = keras.layers.Reshape(shape, name=f"{name}_reshape")(gate)
        gate = self.conv(
            gate,
            reduced,
            1,
            activation=activation,
            use_bias=True,
            name=f"{name}_reduce",
        )
        gate = self.conv(
            gate,
            filters,
            1,
            activation="sigmoid",
            use_bias=True,
            name=f"{name}_expand",
        )
        return keras.layers.Multiply(name=f"{name}_excite")([x, gate])

    def add(self, x, shortcut, *, drop_rate, name):
        """Adds a shortcut; stochastic depth drops whole images' x in training."""
        if drop_rate > 0:
            x = keras.layers.Dropout(
                drop_rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop"
            )(x)
        return keras.layers.Add(name=f"{name}_add")([x, shortcut])

    def _padded(self, x, kernel_size, strides, name):
        """The input, padded where the layer itself cannot, and the layer's padding.

        At stride 1 both paddings are one.
        """
        if self._padding == "same" or max(strides) == 1 or kernel_size == 1:
            return x, "same"
        pixels = (kernel_size - 1) // 2
        return keras.layers.ZeroPadding2D(pixels, name=f"{name}_pad")(x), "valid"

    def _refuse_channels_first(self):
        if self._channels_first:
            raise ValueError(
                "image_data_format=channels_first: conditional convolutions take "
                "channels_last only"
            )
