"""A trained network as a graph that only predicts: what is constant is computed once.

Batch norms become part of the convolutions before them, the scale of the pixels part of
the stem's, and 1x1 convolutions of single pixels, as in squeeze-excite, dense layers;
dropout and stochastic depth are gone. The outputs are those of
`model(images, training=False)` but for float32's rounding.
"""

import collections
import dataclasses
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from efficientnet_tf.models import efficientnet
from efficientnet_tf.weights import passport as passports

_IDLE = (keras.layers.Dropout, keras.layers.SpatialDropout2D)
_INITIALIZERS = ("kernel_initializer", "depthwise_initializer")


def build(model: keras.Model) -> keras.Model:
    """Builds a model that predicts what another predicts.

    Args:
        model: a functional or sequential model. It is not changed, and the new model
            shares no variable with it.

    Returns:
        A model of the same inputs and outputs, without loss and optimizer. A layer
        without a rule here is as it was. A layer has the name of the original layer
        whose output it computes: a convolution with its batch norm has the latter's.
    """
    functional = model
    if isinstance(model, keras.Sequential):
        functional = keras.Model(model.inputs, model.outputs, name=model.name)
    with efficientnet.deep_graphs():
        built = keras.models.clone_model(
            functional,
            clone_function=lambda layer: layer,  # the rewriter copies it
            call_function=_Rewriter(),
        )
    built.passport = passports.of(model)
    return built


@dataclasses.dataclass(frozen=True)
class _Convolution:
    """A convolution whose kernel and bias may still change.

    Args:
        layer: the original layer.
        name: the new layer's name.
        x: the new layer's input.
        kernel: float64, of the original kernel's shape.
        bias: float64 [channels].
    """

    layer: keras.layers.Conv2D | keras.layers.DepthwiseConv2D
    name: str
    x: Any
    kernel: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, layer: keras.Layer, name: str, x: Any) -> Self:
        """Returns a layer as it is."""
        kernel, *bias = map(_float64, layer.get_weights())
        channels = np.prod(kernel.shape[_first_of_channels(layer) :])
        return cls(layer, name, x, kernel, bias[0] if bias else np.zeros(channels))

    def of_unscaled(self, x: Any, scale: np.ndarray) -> Self:
        """Returns the same of an input that is yet to be multiplied, by [inputs]."""
        return dataclasses.replace(self, x=x, kernel=self.kernel * scale[:, np.newaxis])

    def normalised(self, norm: keras.layers.BatchNormalization, name: str) -> Self:
        """Returns the convolution with a batch norm behind it, by a new name."""
        scale = 1 / np.sqrt(_float64(norm.moving_variance) + norm.epsilon)
        if norm.scale:
            scale *= _float64(norm.gamma)
        bias = (self.bias - _float64(norm.moving_mean)) * scale
        if norm.center:
            bias += _float64(norm.beta)
        shape = self.kernel.shape[_first_of_channels(self.layer) :]
        kernel = self.kernel * scale.reshape(shape)
        return dataclasses.replace(self, name=name, kernel=kernel, bias=bias)

    def is_before(self, norm: keras.layers.BatchNormalization) -> bool:
        """Whether a batch norm of its output changes nothing but scale and bias."""
        channels = 1 if self.layer.data_format == "channels_first" else 3
        is_linear = self.layer.activation is keras.activations.linear
        return is_linear and norm.axis % 4 == channels

    def config(self) -> dict[str, Any]:
        """Returns the new layer's config, of an initializer that draws no numbers."""
        config = self.layer.get_config() | {"use_bias": True, "name": self.name}
        return config | {n: "zeros" for n in config if n in _INITIALIZERS}


class _Rewriter:
    """Calls each layer of a model anew, or what takes its place.

    What a later layer replaces is left behind: a functional model has only the layers
    that its outputs need.
    """

    def __init__(self) -> None:
        self._copies: dict[int, keras.Layer] = {}  # by the original's id
        self._calls: collections.Counter[str] = collections.Counter()
        # By the id of a tensor of the new graph, which stands beside to be kept.
        self._convolutions: dict[int, tuple[Any, _Convolution]] = {}
        self._unscaled: dict[int, tuple[Any, Any, np.ndarray]] = {}
        self._flat: dict[int, tuple[Any, Any]] = {}

    def __call__(self, layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        """Returns the output of what takes a layer's place."""
        x = args[0]
        if not isinstance(layer, keras.Layer):
            return layer(*args, **kwargs)  # a function of keras.ops, without a state
        if isinstance(layer, _IDLE):
            return x
        if isinstance(layer, keras.layers.BatchNormalization):
            return self._normalised(layer, x)
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            return self._convolved(layer, x)
        if isinstance(layer, keras.layers.Rescaling):
            return self._rescaled(layer, x)
        if isinstance(layer, keras.layers.ZeroPadding2D):
            return self._padded(layer, x)
        y = self._copied(layer, *args, **kwargs)
        if isinstance(layer, keras.layers.Reshape) and len(x.shape) == 2:
            self._flat[id(y)] = (y, x)
        return y

    def _rescaled(self, layer: keras.layers.Rescaling, x: Any) -> Any:
        """Notes pixels without their mean beside those that are divided too."""
        y = self._copied(layer, x)
        if keras.config.image_data_format() == "channels_first":
            return y
        # As the layer has them; it makes float32 of Python's numbers.
        scale, offset = map(np.float32, (layer.scale, layer.offset))
        scale = np.broadcast_to(_float64(scale), x.shape[-1:])
        mean = -_float64(offset) / scale
        centred = ops.cast(x, layer.compute_dtype) - mean.astype(layer.compute_dtype)
        self._unscaled[id(y)] = (y, centred, scale)
        return y

    def _padded(self, layer: keras.layers.ZeroPadding2D, x: Any) -> Any:
        y = self._copied(layer, x)
        if id(x) in self._unscaled:
            _, centred, scale = self._unscaled[id(x)]
            self._unscaled[id(y)] = (y, self._copied(layer, centred), scale)
        return y

    def _convolved(self, layer: keras.Layer, x: Any) -> Any:
        convolution = _Convolution.of(layer, self._name(layer), x)
        if id(x) in self._unscaled and _is_plain(layer):
            _, centred, scale = self._unscaled[id(x)]
            convolution = convolution.of_unscaled(centred, scale)
        return self._emitted(convolution)

    def _normalised(self, norm: keras.layers.BatchNormalization, x: Any) -> Any:
        _, convolution = self._convolutions.get(id(x), (None, None))
        if convolution is None or not convolution.is_before(norm):
            return self._copied(norm, x)
        return self._emitted(convolution.normalised(norm, self._name(norm)))

    def _name(self, layer: keras.Layer) -> str:
        """Returns a name for one of a layer's calls, the layer's own for the first."""
        calls = self._calls[layer.name]
        self._calls[layer.name] += 1
        return f"{layer.name}_{calls}" if calls else layer.name

    def _emitted(self, convolution: _Convolution) -> Any:
        """Adds a convolution to the graph; that of one pixel is a dense layer."""
        x, layer = convolution.x, convolution.layer
        if _is_plain(layer) and x.shape[1:3] == (1, 1) and layer.kernel_size == (1, 1):
            y = self._dense(convolution)
        else:
            y = _with_values(
                type(layer).from_config(convolution.config()), x, convolution
            )
        self._convolutions[id(y)] = (y, convolution)
        return y

    def _dense(self, convolution: _Convolution) -> Any:
        x, layer = convolution.x, convolution.layer
        _, flat = self._flat.get(id(x), (None, None))
        if flat is None:
            flat = keras.layers.Reshape(x.shape[3:])(x)
        dense = keras.layers.Dense(
            layer.filters,
            activation=layer.activation,
            kernel_initializer="zeros",
            dtype=layer.dtype_policy,
            name=convolution.name,
        )
        kernel = convolution.kernel[0, 0]
        outputs = _with_values(
            dense, flat, dataclasses.replace(convolution, kernel=kernel)
        )
        y = keras.layers.Reshape((1, 1, layer.filters))(outputs)
        self._flat[id(y)] = (y, outputs)
        return y

    def _copied(self, layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        """Calls a new layer of the same config and values."""
        new = self._copies.get(id(layer))
        if new is None:
            config = layer.get_config() | {"name": self._name(layer)}
            new = self._copies[id(layer)] = type(layer).from_config(config)
        y = new(*args, **kwargs)
        new.set_weights(layer.get_weights())
        return y


def _with_values(new: keras.Layer, x: Any, convolution: _Convolution) -> Any:
    """Calls a new layer with a convolution's kernel and bias."""
    y = new(x)
    new.set_weights([convolution.kernel, convolution.bias])
    return y


def _is_plain(layer: keras.Layer) -> bool:
    """Whether each output of a convolution comes from all inputs, the last axis."""
    is_full = isinstance(layer, keras.layers.Conv2D) and layer.groups == 1
    return is_full and layer.data_format == "channels_last"


def _first_of_channels(layer: keras.Layer) -> int:
    """Returns the first axis of a kernel's output channels.

    Depthwise kernels are [height, width, inputs, outputs of each input].
    """
    return 2 if isinstance(layer, keras.layers.DepthwiseConv2D) else 3


def _float64(values: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(values), "float64")
