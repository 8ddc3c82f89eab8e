"""The interface through which a block's layers are built or applied.

`Layers` adds Keras layers to a graph; `training.fused.FusedLayers` applies the layers
of a built model to tensors. A value is a [batch, height, width, channels] feature map
that one method returns and another takes: symbolic in `Layers`, real in the other.
"""

from typing import Any, Protocol

Value = Any
Strides = tuple[int, int]


class LayerBuilder(Protocol):
    """The layers of a block; each method returns the output of one.

    Arguments of one name mean the same in every method:
        x: feature map [batch, height, width, channels].
        shortcut: feature map of x's shape.
        filters: int, channels of the output.
        reduced: int, outputs of the first of two dense layers.
        size: int, height and width of the kernel in pixels.
        strides: two ints, rows and columns.
        experts: int, kernels that are mixed to one for each image.
        routing: float [batch, experts] from 0 to 1, each kernel's share.
        activation: name of a Keras activation.
        drop_rate: float in [0, 1), probability that an image loses its x.
        name: the layer's name.
    """

    def conv(
        self, x: Value, filters: int, size: int, *, name: str, strides: Strides = (1, 1)
    ) -> Value:
        """A convolution to `filters` channels, without a bias."""

    def depthwise(self, x: Value, size: int, *, strides: Strides, name: str) -> Value:
        """A convolution of each channel by itself, without a bias."""

    def routing(self, x: Value, experts: int, *, name: str) -> Value:
        """Each kernel's share in an image's kernel, [batch, experts]."""

    def conditional_conv(
        self, x: Value, routing: Value, filters: int, *, name: str
    ) -> Value:
        """A 1x1 convolution with kernels that `routing` mixes for each image."""

    def conditional_depthwise(
        self, x: Value, routing: Value, size: int, *, strides: Strides, name: str
    ) -> Value:
        """A depthwise convolution with kernels that `routing` mixes for each image."""

    def norm(self, x: Value, name: str) -> Value:
        """Batch normalisation over all axes but the channels'."""

    def activation(self, x: Value, activation: str, name: str) -> Value:
        """The activation that Keras knows by this name."""

    def max_pool(self, x: Value, name: str, *, activation: str) -> Value:
        """A 3x3 max pooling of stride 2, of the outputs of `activation`."""

    def squeeze_excite(
        self, x: Value, filters: int, reduced: int, *, activation: str, name: str
    ) -> Value:
        """Scales each of `filters` channels by a gate in [0, 1].

        Two dense layers, of `reduced` and of `filters` outputs, compute the gates from
        the means of all channels.
        """

    def add(self, x: Value, shortcut: Value, *, drop_rate: float, name: str) -> Value:
        """Adds a shortcut of x's shape.

        In training, stochastic depth drops an image's x with probability `drop_rate`.
        """
