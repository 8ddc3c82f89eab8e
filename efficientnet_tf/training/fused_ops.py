"""Operations whose gradients read fewer bytes than automatic gradients.

On a TPU, a step takes as long as its activations take to move. XLA fuses elementwise
operations and sums into convolutions; what is left to save is the number of times that
a gradient reads an activation. Results differ from those of the plain operations only
by rounding. All operations need channels last and static shapes.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

_IMAGE = (1, 2)  # axes of height and width
_PIXELS = (0, 1, 2)


def moments(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes mean and variance of each channel in one pass.

    Args:
        x: float [batch, height, width, channels].

    Returns:
        Two float32 tensors [channels].
    """
    x = tf.cast(x, tf.float32)
    mean = tf.reduce_mean(x, _PIXELS)
    return mean, tf.maximum(tf.reduce_mean(x * x, _PIXELS) - mean * mean, 0)


def _under_its_name(gradient: Callable) -> Callable:
    """Names a gradient's operations after the layer that calls it, for profiles."""
    scope = tf.get_current_name_scope()

    @functools.wraps(gradient)
    def named(*args: Any, **kwargs: Any) -> Any:
        with tf.name_scope(f"gradient_tape/{scope}/"):
            return gradient(*args, **kwargs)

    return named


@tf.custom_gradient
def pointwise_moments(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes mean and variance of each channel of a 1x1 convolution's output.

    With y = x K, the variance's gradient is linear in y, and so in x. It is computed
    without y, which is 6 times as large as x in an expansion.

    Args:
        x: bfloat16 or float32 [batch, height, width, in].
        kernel: [1, 1, in, out], of x's dtype.

    Returns:
        Two float32 tensors [out].
    """
    y = tf.nn.conv2d(x, kernel, 1, "VALID")
    result = moments(y)

    @_under_its_name
    def gradient(d_mean: Any, d_variance: Any) -> Any:
        weights = tf.cast(kernel[0, 0], tf.float32)
        pixels = x.shape[0] * x.shape[1] * x.shape[2]
        # d_y = d_mean / pixels + slope (y - mean), and y - mean = (x - x_mean) K.
        slope = 2 / pixels * d_variance
        x_mean = tf.reduce_mean(tf.cast(x, tf.float32), _PIXELS)
        centred = x - tf.cast(x_mean, x.dtype)
        back = tf.matmul(weights * slope, weights, transpose_b=True)
        d_x = tf.nn.conv2d(centred, tf.cast(back, x.dtype)[None, None], 1, "VALID")
        d_x += tf.cast(tf.linalg.matvec(weights, d_mean / pixels), x.dtype)
        covariance = tf.raw_ops.Conv2DBackpropFilter(
            input=centred,
            filter_sizes=(1, 1, x.shape[-1], x.shape[-1]),
            out_backprop=centred,
            strides=(1, 1, 1, 1),
            padding="VALID",
        )[0, 0]
        d_kernel = x_mean[:, None] * d_mean + slope * tf.matmul(
            tf.cast(covariance, tf.float32), weights
        )
        return d_x, tf.cast(d_kernel, kernel.dtype)[None, None]

    return result, gradient


class Recomputation:
    """Calls functions and keeps only their inputs for the gradient.

    `tf.recompute_grad` does the same. But it stops the tapes that the functions here
    use, and its recomputation waits for a gradient as large as the memory it saves,
    which XLA then has to store. Here the first gradient waits for the end of the
    forward pass, and each later one for a small result of the one before.
    """

    def __init__(self) -> None:
        self._zero = None

    def begin_after(self, x: tf.Tensor) -> None:
        """Makes the first gradient wait for x; call it once, before any gradient."""
        self._zero = _zero_after(x)

    def __call__(self, function: Callable, *inputs: tf.Tensor) -> Any:
        """Returns function(*inputs).

        Args:
            function: a function from tensors to tensors; it may use variables.
            *inputs: the function's tensors; the first one is float.

        Returns:
            The function's result.
        """

        @tf.custom_gradient
        def operation(*inputs: Any) -> Any:
            def gradient(*d_outputs: Any, variables: Any = ()) -> Any:
                return self._gradient(function, inputs, d_outputs, list(variables))

            return function(*inputs), gradient

        return operation(*inputs)

    def _gradient(
        self, function: Any, inputs: Any, d_outputs: Any, variables: Any
    ) -> Any:
        # Without the zero, XLA merges both computations into one.
        first = inputs[0] + tf.cast(self._zero, inputs[0].dtype)
        again = [first, *inputs[1:]]
        with tf.GradientTape() as tape:
            tape.watch(again)
            outputs = tf.nest.flatten(function(*again))
        found = tape.gradient(outputs, [*again, *variables], d_outputs)
        smallest = min(
            (g for g in found if g is not None), key=lambda g: g.shape.num_elements()
        )
        self._zero = _zero_after(smallest)
        return found[: len(again)], found[len(again) :]


def _zero_after(x: tf.Tensor) -> tf.Tensor:
    """Returns a zero that depends on x, or NaN if x's first element is NaN."""
    first = tf.cast(tf.reshape(x, [-1])[0], tf.float32)
    return tf.where(tf.math.is_nan(first), first, 0.0)


def activated_mean(
    x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor, activation: Callable
) -> tf.Tensor:
    """Averages activation(scale * x + shift) over each image's pixels.

    Args:
        x: float [batch, height, width, channels].
        scale: float32 [channels].
        shift: float32 [channels].
        activation: elementwise function of a tensor.

    Returns:
        float32 [batch, channels].
    """

    @tf.custom_gradient
    def operation(x: Any, scale: Any, shift: Any) -> Any:
        value, slope = _activate(x, scale, shift, activation)
        # Averaged here, where x is read for the mean; the gradient would read x again.
        slope_mean = tf.reduce_mean(slope, _IMAGE)
        slope_x_mean = tf.reduce_mean(slope * tf.cast(x, tf.float32), _IMAGE)

        @_under_its_name
        def gradient(d_mean: Any) -> Any:
            _, slope = _activate(x, scale, shift, activation)
            pixels = x.shape[1] * x.shape[2]
            d_x = slope * (d_mean * scale / pixels)[:, None, None, :]
            d_scale = tf.reduce_sum(d_mean * slope_x_mean, 0)
            d_shift = tf.reduce_sum(d_mean * slope_mean, 0)
            return tf.cast(d_x, x.dtype), d_scale, d_shift

        return tf.reduce_mean(value, _IMAGE), gradient

    return operation(x, scale, shift)


def gated(
    x: tf.Tensor,
    scale: tf.Tensor,
    shift: tf.Tensor,
    gate: tf.Tensor,
    activation: Callable,
) -> tf.Tensor:
    """Gates channels: gate * activation(scale * x + shift).

    The gradient first sums over each image's pixels, so that one pass computes all
    sums. The automatic gradient needs the gate's sums before it has the scale's.

    Args:
        x: float [batch, height, width, channels].
        scale: float32 [channels].
        shift: float32 [channels].
        gate: float32 [batch, channels].
        activation: elementwise function of a tensor.

    Returns:
        A tensor of x's shape and dtype.
    """

    @tf.custom_gradient
    def operation(x: Any, scale: Any, shift: Any, gate: Any) -> Any:
        value, _ = _activate(x, scale, shift, activation)

        @_under_its_name
        def gradient(d_y: Any) -> Any:
            value, slope = _activate(x, scale, shift, activation)
            d_y = tf.cast(d_y, tf.float32)
            d_slope = d_y * slope
            d_gate = tf.reduce_sum(d_y * value, _IMAGE)
            d_scale = tf.reduce_sum(d_slope * tf.cast(x, tf.float32), _IMAGE)
            d_shift = tf.reduce_sum(d_slope, _IMAGE)
            d_x = d_slope * (gate * scale)[:, None, None, :]
            return (
                tf.cast(d_x, x.dtype),
                tf.reduce_sum(gate * d_scale, 0),
                tf.reduce_sum(gate * d_shift, 0),
                d_gate,
            )

        return tf.cast(value * gate[:, None, None, :], x.dtype), gradient

    return operation(x, scale, shift, gate)


def _activate(x: Any, scale: Any, shift: Any, activation: Any) -> tf.Tensor:
    """Computes activation(scale * x + shift) and the activation's slope, in float32."""
    normalised = tf.cast(x, tf.float32) * scale + shift
    with tf.GradientTape() as tape:
        tape.watch(normalised)
        value = activation(normalised)
    return value, tape.gradient(value, normalised)
