"""Parameters and multiply-accumulates of any Keras model, layer by layer.

The conventions are those of `counting`, which needs no model but knows only variants.
"""

import inspect
import math
import numbers
from collections.abc import Callable
from typing import Any

import keras

from efficientnet_tf import counting
from efficientnet_tf.models import condconv

# Layers with weights and without multiply-accumulates: the paper does not count what
# they do to each value.
_FREE = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    keras.layers.RMSNormalization,
    keras.layers.Normalization,
    keras.layers.PReLU,
    keras.layers.Embedding,
)
# Layers and operations that multiply without a weight of their own.
_PRODUCTS = {
    *("Conv", "ConvTranspose", "DepthwiseConv", "SeparableConv"),
    *("Attention", "DotProductAttention"),
    *("Dot", "Einsum", "Inner", "Matmul", "Tensordot", "Vdot"),
}


def count_model(
    model: keras.Model, *, image_size: int | tuple[int, int] | None = None
) -> counting.Count:
    """Counts a functional or sequential model, and the models nested in it.

    The count covers convolutions of every kind, `Dense`, `EinsumDense`,
    `MultiHeadAttention` and the conditional convolutions of `models.condconv`. A
    transposed convolution counts its whole kernel at every input pixel, also what
    padding crops. Biases, normalisation, activation, pooling, `Lambda` and other layers
    without weights count nothing. A layer that is called several times counts its
    multiply-accumulates for each call and its parameters once.

    Args:
        model: a built model, which has its weights.
        image_size: height and width in pixels, or one number for both, if the model
            leaves them open.

    Returns:
        `.params`, `.trainable_params` and `.macs` (for one image).

    Raises:
        ValueError: naming a layer whose weights or products are not known here (a
            recurrent one, for example), an input whose size is open, or an `image_size`
            that the model does not take.
    """
    known: Any = keras.Sequential | _functional_class()
    if not isinstance(model, known):
        raise ValueError(
            f"model {model.name} is a {type(model).__name__}: allowed are functional "
            "and sequential models, whose layers can be listed"
        )
    if not model.built:
        raise ValueError(
            f"model {model.name} is not built; call it or give it an Input"
        )
    inputs = [_sized(tensor, image_size) for tensor in model.inputs]
    macs: list[int] = []
    _walk(model, inputs, macs.append)
    return counting.Count(
        trainable_params=_size(model.trainable_weights),
        non_trainable_params=_size(model.non_trainable_weights),
        macs=sum(macs),
    )


def _functional_class() -> type:
    """The class of functional models, which Keras does not export."""
    tensor = keras.Input(())
    return type(keras.Model(tensor, tensor))


def _size(weights: Any) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _sized(tensor: Any, image_size: Any) -> keras.KerasTensor:
    """Returns an input of the model, with a size."""
    shape = tuple(tensor.shape)
    if image_size is not None and len(shape) == 4:
        channels_last = keras.config.image_data_format() == "channels_last"
        shape = _with_size(shape, image_size, first=1 if channels_last else 2)
    if None in shape[1:]:
        raise ValueError(
            f"input {tensor.name} of shape {tuple(tensor.shape)} has an open size; "
            "image_size gives one to images, other inputs need it in their Input"
        )
    return keras.KerasTensor(shape, dtype=tensor.dtype)


def _with_size(shape: Any, image_size: Any, *, first: int) -> tuple:
    is_one = isinstance(image_size, numbers.Integral)
    size = (image_size,) * 2 if is_one else tuple(image_size)
    open_or_same = all(
        own in (None, given)
        for own, given in zip(shape[first : first + 2], size, strict=False)
    )
    if len(size) != 2 or min(size) < 1 or not open_or_same:
        raise ValueError(
            f"image_size={image_size}: the model takes {shape[first : first + 2]} "
            "pixels (None: any number from 1)"
        )
    return (*shape[:first], *size, *shape[first + 2 :])


def _walk(model: keras.Model, inputs: list, add: Callable[[int], None]) -> Any:
    """Follows shapes through a model and adds up each call; returns its outputs."""
    if not isinstance(model, keras.Sequential):
        # Keras's own walk from node to node, with a counter in each layer's place.
        return model._run_through_graph(
            inputs, operation_fn=lambda operation: _counter(operation, add)
        )
    (x,) = inputs
    for layer in model.layers:
        x = _counter(layer, add)(x)
    return x


def _counter(operation: Any, add: Callable[[int], None]) -> Callable:
    """Returns a function that stands in for a layer or operation, and counts it."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, keras.Model):
            return _walk(operation, keras.tree.flatten(args), add)
        outputs = operation.compute_output_spec(*args, **kwargs)
        add(_macs(operation, args, kwargs, outputs))
        return outputs

    return call


def _macs(operation: Any, args: Any, kwargs: Any, outputs: Any) -> int:
    """Counts the multiply-accumulates of one call, for one image."""
    for kinds, macs in _COUNTERS:
        if isinstance(operation, kinds):
            call = inspect.signature(operation.call).bind(*args, **kwargs)
            return macs(operation, call.arguments, tuple(outputs.shape))
    kind = type(operation).__name__
    if getattr(operation, "weights", None) or kind in _PRODUCTS:
        raise ValueError(
            f"layer {operation.name} ({kind}): its multiply-accumulates are not known; "
            "allowed are convolutions, Dense, EinsumDense, MultiHeadAttention and "
            "layers without weights"
        )
    return 0


def _product(layer: Any, sizes: Any) -> int:
    if None in sizes:
        raise ValueError(
            f"layer {layer.name} ({type(layer).__name__}): gets or gives a shape with "
            f"an open size, {tuple(sizes)}; give the model an Input with all sizes"
        )
    return math.prod(sizes)


def _pixels(layer: Any, shape: Any) -> int:
    """Multiplies all axes of a feature map but batch and channels."""
    channels_first = layer.data_format == "channels_first"
    return _product(layer, shape[2:] if channels_first else shape[1:-1])


def _conv(layer: Any, _: Any, output: Any) -> int:
    return _size([layer.kernel]) * _pixels(layer, output)


def _transposed(layer: Any, inputs: Any, _: Any) -> int:
    return _size([layer.kernel]) * _pixels(layer, inputs["inputs"].shape)


def _separable(layer: Any, _: Any, output: Any) -> int:
    kernels = [layer.depthwise_kernel, layer.pointwise_kernel]
    return _size(kernels) * _pixels(layer, output)


def _conditional(layer: Any, _: Any, output: Any) -> int:
    """Counts the mixing of the experts' kernels, and the convolution."""
    mixing = _size([layer.kernel])
    return mixing + mixing // layer.experts * _product(layer, output[1:-1])


def _dense(layer: Any, inputs: Any, _: Any) -> int:
    return _product(layer, inputs["inputs"].shape[1:]) * layer.units


def _einsum(layer: Any, inputs: Any, _: Any) -> int:
    """Counts an einsum: an input value is multiplied along the kernel's other axes."""
    own, kernel = layer.equation.split("->")[0].split(",")
    sizes = zip(kernel, layer.kernel.shape, strict=True)
    others = [size for label, size in sizes if label not in own]
    return _product(layer, inputs["inputs"].shape[1:]) * math.prod(others)


def _attention(layer: Any, inputs: Any, output: Any) -> int:
    """Counts the projections to and from the heads, and both products of the heads."""
    query, value = inputs["query"].shape[1:], inputs["value"].shape[1:]
    key = value if inputs.get("key") is None else inputs["key"].shape[1:]
    if len(query) != 2:
        raise ValueError(
            f"layer {layer.name} (MultiHeadAttention): its query has {len(query)} "
            "axes besides batch; counted is [batch, positions, channels]"
        )
    wide, deep = layer.num_heads * layer.key_dim, layer.num_heads * layer.value_dim
    projections = _product(layer, query) * wide + _product(layer, key) * wide
    projections += _product(layer, value) * deep + query[0] * deep * output[-1]
    return projections + query[0] * value[0] * (wide + deep)


_COUNTERS = (
    ((keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D), _conv),
    ((keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D), _conv),
    ((keras.layers.SeparableConv1D, keras.layers.SeparableConv2D), _separable),
    (
        (
            keras.layers.Conv1DTranspose,
            keras.layers.Conv2DTranspose,
            keras.layers.Conv3DTranspose,
        ),
        _transposed,
    ),
    ((condconv.CondConv2D, condconv.DepthwiseCondConv2D), _conditional),
    (keras.layers.Dense, _dense),
    (keras.layers.EinsumDense, _einsum),
    (keras.layers.MultiHeadAttention, _attention),
    (_FREE, lambda *_: 0),
)
