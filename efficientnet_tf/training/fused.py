"""A model's forward pass in training whose gradient reads fewer bytes.

It applies the model's layers; results differ from Keras's only by rounding. A batch
norm is not computed at once: a convolution's output is passed on with the batch norm's
scale and shift until an operation needs the value; `fused_ops` takes all three.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any

import keras
import tensorflow as tf

from efficientnet_tf import expansion
from efficientnet_tf.models import blocks as block_builders
from efficientnet_tf.models import efficientnet, normalization
from efficientnet_tf.models.layer_builder import Strides, Value
from efficientnet_tf.training import fused_ops


def forward(
    model: keras.Model, network: expansion.Expansion, *, recompute: Collection[str] = ()
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function equivalent to `model(images, training=True)`.

    Its gradient reads fewer bytes.

    Args:
        model: a model that `models.EfficientNet` built from `network`, with
            preprocessing, a classifier and channels last.
        network: the model's blocks.
        recompute: names of blocks whose largest activations are computed again for the
            gradient rather than kept: those of the expansion, or all activations of a
            block without one.

    Returns:
        A function from uint8 or float pixels [batch, height, width, 3] to float32
        logits.
    """

    def call(images: tf.Tensor) -> tf.Tensor:
        layers = FusedLayers(model, recompute=recompute)
        x = layers.apply(images, "preprocessing")
        x = tf.cast(x, model.compute_dtype)
        maps = efficientnet.feature_maps(layers, x, network, build=FusedLayers.build)
        x = maps["features"]
        x = layers.pool(x, "avg_pool")
        for name in ("top_dropout", "predictions"):
            x = layers.apply(x, name) if name in layers else x
        layers.move_statistics()
        layers.recomputed.begin_after(x)
        return x

    return call


@dataclasses.dataclass(frozen=True)
class Pending:
    """The value activation(scale * x + shift), not yet computed."""

    x: tf.Tensor
    scale: tf.Tensor  # float32 [channels]
    shift: tf.Tensor  # float32 [channels]
    activation: Callable = tf.identity
    source: tuple[tf.Tensor, tf.Tensor] | None = None  # input and kernel, if x is 1x1

    def value(self) -> tf.Tensor:
        """Computes the value in x's dtype."""
        return _normalise(self.x, self.scale, self.shift, self.activation)


def _normalise(
    x: Value, scale: tf.Tensor, shift: tf.Tensor, activation: Any
) -> tf.Tensor:
    # Cast before the activation, as Keras does: XLA then stores the gradient in half
    # precision. Cast after it, XLA would compute the gradient from x for each use (B0
    # moves 15.6 GB this way, 19.1 GB the other).
    return activation(tf.cast(tf.cast(x, tf.float32) * scale + shift, x.dtype))


@dataclasses.dataclass(frozen=True)
class _Pointwise:
    """A 1x1 convolution, not yet computed; its moments' gradient needs no output."""

    x: tf.Tensor
    kernel: tf.Tensor
    name: str


def _named(method: Callable) -> Callable:
    """Names a method's operations after its argument `name`, as Keras's layers do."""

    @functools.wraps(method)
    def named(self: Any, *args: Any, **kwargs: Any) -> Any:
        name = inspect.signature(method).bind(self, *args, **kwargs).arguments["name"]
        with tf.name_scope(name):
            return method(self, *args, **kwargs)

    return named


class FusedLayers:
    """A `LayerBuilder` that applies the layers of a built model to tensors.

    Values between layers are tensors or `Pending`.

    Args:
        model: the built model.
        recompute: names of blocks to compute again, as in `forward`.
    """

    def __init__(self, model: keras.Model, *, recompute: Collection[str] = ()):
        self._layers = {layer.name: layer for layer in model.layers}
        self._recompute = frozenset(recompute)
        self.recomputed = fused_ops.Recomputation()
        self._keep: dict[str, tf.Tensor] = {}  # stochastic depth's factors, by block
        # (layer, mean, variance) of each batch norm, for its moving statistics.
        self._moments: list[tuple] = []

    def __contains__(self, name: str) -> bool:
        return name in self._layers

    def apply(self, x: Value, name: str) -> tf.Tensor:
        """Applies the model's own layer.

        Args:
            x: a tensor or `Pending`.
            name: name of the layer.
        """
        return self._layers[name](_value(x), training=True)

    def build(self, x: Value, block: expansion.Block) -> Value:
        """Applies a block; a recomputed one without expansion becomes one function.

        Args:
            x: a tensor or `Pending`.
            block: description of the block.
        """
        if block.expand_ratio != 1 or block.name not in self._recompute:
            return block_builders.build(self, x, block)
        # The mask is drawn, and statistics move, outside the recomputed function: its
        # second call would do both again.
        if block.skip and block.drop_rate > 0:
            self._kept(block.name, _value(x))
        outer = self._moments
        layers: list[keras.Layer] = []

        def whole(x: Value) -> tuple[tf.Tensor, list]:
            self._moments = []
            y = _value(block_builders.build(self, x, block))
            layers[:] = [layer for layer, *_ in self._moments]
            return y, [moments for _, *moments in self._moments]

        y, moments = self.recomputed(whole, _value(x))
        self._moments = outer + [(n, *m) for n, m in zip(layers, moments, strict=True)]
        return y

    def conv(
        self, x: Value, filters: int, size: int, *, name: str, strides: Strides = (1, 1)
    ) -> Value:
        """A convolution; a 1x1 one that widens is computed by the next batch norm."""
        x = _value(x)
        plain = size == 1 and tuple(strides) == (1, 1)
        if plain and 2 * x.shape[-1] <= filters:
            kernel = tf.cast(self._layers[name].kernel.value, x.dtype)
            return _Pointwise(x, kernel, name)
        return self.apply(self._padded(x, name), name)

    @_named
    def depthwise(self, x: Value, size: int, *, strides: Strides, name: str) -> Value:
        """A depthwise convolution; if recomputed, with the expansion before it."""
        del size  # the layer holds it
        expanded = isinstance(x, Pending) and x.source
        if not (expanded and name.removesuffix("_dwconv") in self._recompute):
            return self.apply(self._padded(_value(x), name), name)
        layer, activation = self._layers[name], x.activation

        def expand(
            source: tf.Tensor,
            weights: tf.Tensor,
            scale: tf.Tensor,
            shift: tf.Tensor,
            kernel: tf.Tensor,
        ) -> tf.Tensor:
            y = tf.nn.conv2d(source, weights, 1, "VALID")
            y = self._padded(_normalise(y, scale, shift, activation), name)
            padding = layer.padding.upper()
            return tf.nn.depthwise_conv2d(y, kernel, (1, *strides, 1), padding)

        kernel = tf.cast(layer.kernel.value, x.x.dtype)
        return self.recomputed(expand, *x.source, x.scale, x.shift, kernel)

    @_named
    def norm(self, x: Value, name: str) -> Value:
        """Batch normalisation: returns scale and shift, and collects the moments."""
        layer, source = self._layers[name], None
        if isinstance(x, _Pointwise):
            source = (x.x, x.kernel)
            with tf.name_scope(x.name):
                mean, variance = fused_ops.pointwise_moments(*source)
                x = tf.nn.conv2d(*source, 1, "VALID")
        else:
            mean, variance = fused_ops.moments(x)
        if layer.trainable:
            mean, variance = _across_replicas(layer, mean, variance)
            self._moments.append((layer, mean, variance))
        else:
            mean, variance = layer.moving_mean.value, layer.moving_variance.value
        scale = layer.gamma.value * tf.math.rsqrt(variance + layer.epsilon)
        return Pending(x, scale, layer.beta.value - mean * scale, source=source)

    def activation(self, x: Value, activation: Any, name: str) -> Value:
        """The named activation; it stays pending if its batch norm is pending."""
        if isinstance(x, Pending):
            return dataclasses.replace(x, activation=keras.activations.get(activation))
        return self.apply(x, name)

    def max_pool(self, x: Value, name: str, *, activation: Any) -> Value:
        """Max pooling over 3x3 pixels with stride 2."""
        del activation
        window = f"{name}_window"
        x = self.apply(x, window) if window in self else self._padded(_value(x), name)
        return self.apply(x, name)

    @_named
    def pool(self, x: Value, name: str) -> Value:
        """Averages over each image's pixels; returns [batch, channels]."""
        if not isinstance(x, Pending):
            return self.apply(x, name)
        mean = fused_ops.activated_mean(x.x, x.scale, x.shift, x.activation)
        return tf.cast(mean, x.x.dtype)

    @_named
    def squeeze_excite(
        self, x: Value, filters: int, reduced: int, *, activation: Any, name: str
    ) -> Value:
        """Scales each channel by a gate computed from all channels' means."""
        del reduced, activation
        if not isinstance(x, Pending):
            x = Pending(x, tf.ones([filters]), tf.zeros([filters]))
        gate = self.pool(x, f"{name}_squeeze")[:, None, None, :]
        for part in ("reduce", "expand"):
            gate = self.apply(gate, f"{name}_{part}")
        gate = tf.cast(gate[:, 0, 0, :], tf.float32)
        return fused_ops.gated(x.x, x.scale, x.shift, gate, x.activation)

    def add(self, x: Value, shortcut: Value, *, drop_rate: float, name: str) -> Value:
        """Adds a shortcut; stochastic depth drops x for whole images."""
        x = _value(x)
        if drop_rate > 0:
            x *= self._kept(name, x)
        return x + _value(shortcut)

    def routing(self, x: Value, experts: int, *, name: str) -> Value:
        """Each expert's share in an image's kernels, [batch, experts]."""
        del experts
        return self.apply(self.pool(x, f"{name}_pool"), name)

    def conditional_conv(
        self, x: Value, routing: Value, filters: int, *, name: str
    ) -> Value:
        """A 1x1 convolution with a kernel for each image."""
        del filters
        return self._layers[name]([_value(x), routing])

    def conditional_depthwise(
        self, x: Value, routing: Value, size: int, *, strides: Strides, name: str
    ) -> Value:
        """A depthwise convolution with a kernel for each image."""
        del size, strides
        return self._layers[name]([self._padded(_value(x), name), routing])

    def move_statistics(self) -> None:
        """Updates all batch norms' moving statistics with the collected moments."""
        for layer, mean, variance in self._moments:
            _move(layer.moving_mean, mean, layer.momentum)
            _move(layer.moving_variance, variance, layer.momentum)

    def _kept(self, name: str, x: tf.Tensor) -> tf.Tensor:
        """Returns stochastic depth's factor for each image, drawn once a block."""
        if name not in self._keep:
            ones = tf.ones([x.shape[0], 1, 1, 1], x.dtype)
            self._keep[name] = self.apply(ones, f"{name}_drop")
        return self._keep[name]

    def _padded(self, x: Value, name: str) -> Value:
        pad = f"{name}_pad"
        return self.apply(x, pad) if pad in self else x


def _value(x: Value) -> tf.Tensor:
    return x.value() if isinstance(x, Pending) else x


def _across_replicas(
    layer: keras.Layer, mean: tf.Tensor, variance: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the moments that a batch norm uses, from one replica's moments."""
    if isinstance(layer, normalization.GroupedBatchNormalization):
        return layer.over_group(mean, variance)
    replica = tf.distribute.get_replica_context()
    if not layer.synchronized or replica is None or replica.num_replicas_in_sync == 1:
        return mean, variance
    mean, square = replica.all_reduce(
        tf.distribute.ReduceOp.MEAN, [mean, variance + mean * mean]
    )
    return mean, tf.maximum(square - mean * mean, 0)


def _move(average: keras.Variable, value: tf.Tensor, momentum: float) -> None:
    average.assign(average.value * momentum + value * (1 - momentum))
