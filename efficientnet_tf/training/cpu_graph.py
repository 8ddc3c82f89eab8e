"""A model's layers with the kernels that are fastest on a CPU, and the same variables.

TensorFlow has two CPU kernels for most operations, oneDNN's and Eigen's, and Keras
composes batch norm of ten operations. Which are fast was measured on an AMD EPYC
(Zen 3): oneDNN's gradients of all depthwise kernels took 2.1 times as long as Eigen's
in Lite0 at 160 pixels, and 8 times in B0 at 48; its gradients of 1x1 kernels 1.3 times
as long as the same matrix products.
"""

from typing import Any

import keras
import tensorflow as tf

from efficientnet_tf.models import efficientnet

_LEAST_EPSILON = 1.001e-5  # `fused_batch_norm` silently takes it for less


def for_training(model: keras.Model) -> keras.Model:
    """Returns a model whose call with `training=True` equals another's, but faster.

    Outputs, gradients and moving statistics differ by float32's rounding.

    Args:
        model: a functional model. It is not changed.

    Returns:
        A model of the same variables, for one replica. Its layers are the other's,
        but for convolutions and batch norms.
    """
    return _rewritten(model, is_training=True)


def for_prediction(model: keras.Model) -> keras.Model:
    """Returns a model whose call with `training=False` equals another's, but faster.

    Args:
        model: a functional model. It is not changed.

    Returns:
        A model of the same variables; see `for_training`.
    """
    return _rewritten(model, is_training=False)


def _rewritten(model: keras.Model, *, is_training: bool) -> keras.Model:
    with efficientnet.deep_graphs():
        return keras.models.clone_model(
            model,
            clone_function=lambda layer: layer,  # the new graph calls the same layers
            call_function=_Rewriter(is_training=is_training),
        )


class _Rewriter:
    """Calls each layer of a model anew, or what takes its place."""

    def __init__(self, *, is_training: bool) -> None:
        self._is_training = is_training
        self._seen: set[keras.layers.Layer] = set()
        # By the outputs of convolutions: their layers and inputs.
        self._convolutions: dict[keras.KerasTensor, tuple[Any, Any]] = {}

    def __call__(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns the output of what takes a layer's place."""
        # What was called with an argument, such as training=False, stays as it is; and
        # so do further calls of a layer, because names are unique.
        if layer in self._seen or set(kwargs.values()) - {None}:
            return layer(*args, **kwargs)
        self._seen.add(layer)
        if _is_known_convolution(layer, args[0]):
            return self._convolved(layer, args[0])
        if _is_known_norm(layer, args[0]):
            return self._normalised(layer, args[0])
        return layer(*args, **kwargs)

    def _convolved(self, layer: Any, x: Any) -> Any:
        y = _Convolution(layer, learns=self._is_training and layer.trainable)(x)
        if layer.activation is keras.activations.linear:
            self._convolutions[y] = (layer, x)
        return y

    def _normalised(self, norm: keras.layers.BatchNormalization, x: Any) -> Any:
        if self._is_training and norm.trainable:
            return _Normalization(norm)(x)
        if x not in self._convolutions:
            return norm(x)
        layer, x = self._convolutions[x]
        learns = self._is_training and layer.trainable
        return _Convolution(layer, learns=learns, norm=norm)(x)


def _is_known_convolution(layer: Any, x: Any) -> bool:
    return (
        type(layer) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        and layer.compute_dtype == "float32"
        and layer.data_format == "channels_last"
        and set(layer.dilation_rate) == {1}
        and len(set(layer.strides)) == 1
        and getattr(layer, "groups", 1) == 1
        and getattr(layer, "depth_multiplier", 1) == 1
        and None not in x.shape[1:]
    )


def _is_known_norm(norm: Any, x: Any) -> bool:
    return (
        type(norm) is keras.layers.BatchNormalization
        and norm.compute_dtype == "float32"
        and len(x.shape) == 4
        and norm.axis % 4 == 3
        and norm.epsilon >= _LEAST_EPSILON
        and norm.center
        and norm.scale
    )


class _Convolution(keras.layers.Layer):
    """A convolution, and a batch norm of moving statistics as part of it.

    Args:
        layer: the convolution.
        learns: whether its kernel is trained.
        norm: the batch norm behind it; None for none.
    """

    def __init__(
        self,
        layer: keras.layers.Conv2D | keras.layers.DepthwiseConv2D,
        *,
        learns: bool,
        norm: keras.layers.BatchNormalization | None = None,
    ):
        super().__init__(name=_name(norm or layer), dtype=layer.dtype_policy)
        self._layer = layer
        self._norm = norm
        self._learns = learns
        self._is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """See `keras.layers.Layer`."""
        kernel, bias = self._kernel_and_bias()
        (stride, _), padding = self._layer.strides, self._layer.padding.upper()
        if self._is_depthwise:
            convolve = _depthwise if self._learns else tf.nn.depthwise_conv2d
            y = convolve(x, kernel, (1, stride, stride, 1), padding)
        elif self._learns and self._layer.kernel_size == (1, 1) and stride == 1:
            y = tf.tensordot(x, tf.squeeze(kernel, [0, 1]), 1)
        else:
            y = tf.nn.conv2d(x, kernel, stride, padding)
        if bias is not None:
            y = tf.nn.bias_add(y, bias)
        return self._layer.activation(y)

    def _kernel_and_bias(self) -> tuple[tf.Tensor, tf.Tensor | None]:
        layer, norm = self._layer, self._norm
        kernel = tf.convert_to_tensor(layer.kernel)
        bias = tf.convert_to_tensor(layer.bias) if layer.use_bias else None
        if norm is None:
            return kernel, bias
        scale = norm.gamma * tf.math.rsqrt(norm.moving_variance + norm.epsilon)
        mean = norm.moving_mean if bias is None else norm.moving_mean - bias
        # Depthwise kernels are [height, width, channels, 1].
        factor = scale[:, tf.newaxis] if self._is_depthwise else scale
        return kernel * factor, norm.beta - mean * scale


def _depthwise(
    x: tf.Tensor, kernel: tf.Tensor, strides: tuple[int, ...], padding: str
) -> tf.Tensor:
    """A depthwise convolution whose kernel's gradient is Eigen's."""
    # oneDNN has no kernel for padding in numbers.
    in_numbers = _padding(x.shape, kernel.shape, strides, padding)

    @tf.custom_gradient
    def convolve(x: tf.Tensor, kernel: tf.Tensor) -> Any:
        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return (
                tf.nn.depthwise_conv2d_backprop_input(
                    tf.shape(x), kernel, dy, strides, padding
                ),
                tf.nn.depthwise_conv2d_backprop_filter(
                    x, kernel.shape, dy, strides, in_numbers
                ),
            )

        return tf.nn.depthwise_conv2d(x, kernel, strides, padding), gradient

    return convolve(x, kernel)


def _padding(
    shape: tf.TensorShape,
    kernel: tf.TensorShape,
    strides: tuple[int, ...],
    padding: str,
) -> list[list[int]]:
    """Returns the pixels before and after each axis."""
    pixels = [[0, 0] for _ in shape]
    if padding == "SAME":
        for axis in (1, 2):
            last = (-(-shape[axis] // strides[axis]) - 1) * strides[axis]
            missing = max(last + kernel[axis - 1] - shape[axis], 0)
            pixels[axis] = [missing // 2, missing - missing // 2]
    return pixels


class _Normalization(keras.layers.Layer):
    """A batch norm of the batch's statistics, in one operation.

    Args:
        norm: the batch norm.
    """

    def __init__(self, norm: keras.layers.BatchNormalization):
        super().__init__(name=_name(norm), dtype=norm.dtype_policy)
        self._norm = norm
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """See `keras.layers.Layer`."""
        norm = self._norm
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            x,
            tf.convert_to_tensor(norm.gamma),
            tf.convert_to_tensor(norm.beta),
            epsilon=norm.epsilon,
        )
        # The operation divides by one value less than there are; Keras does not.
        values = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
        variance *= (values - 1) / values
        moved = ((norm.moving_mean, mean), (norm.moving_variance, variance))
        for moving, value in moved:
            rest = 1.0 - norm.momentum
            moving.assign(moving * norm.momentum + tf.stop_gradient(value) * rest)
        return y


def _name(layer: keras.layers.Layer) -> str:
    return f"{layer.name}_on_cpu"
