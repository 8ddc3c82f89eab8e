"""Rounds a network's weights to bfloat16 so that the errors of a sum cancel.

A runtime that computes in bfloat16 rounds every weight and bias to 8 binary digits, and
so in the same way for every image. Here the weights of an output are rounded one after
the other, and those that follow make up for the error on photos: GPTQ (Frantar et al.,
arXiv 2210.17323, algorithm 1), onto bfloat16's numbers in place of integers, and with
the bias as the first weight.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf.export import inference_graph
from efficientnet_tf.export.network import Network
from efficientnet_tf.hardware import freed_memory
from efficientnet_tf.models import efficientnet

Layer: TypeAlias = (
    keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.Dense
)
# Lite0 gains nothing by 128 photos of 224x224 pixels in place of 32, nor by 8 less.
_PIXELS, _LEAST = 32 * 224 * 224, 8
# Outputs of a photo that are taken, about: so many for each input, but no more.
_OUTPUTS, _MOST_OUTPUTS = 2, 1024
# Bytes of float32 that are collected in one pass over the photos: B7 takes 20.
PASS_BYTES = 2**27
# Both as in the paper's section 3.3: columns between two corrections of all that
# follow, and what is added to the diagonal, as a part of its mean.
_BLOCK, _DAMPING = 128, 0.01


def rounded(network: Network, photos: Sequence[np.ndarray]) -> Network:
    """Returns a copy of a network whose kernels and biases bfloat16 holds exactly.

    Args:
        network: the network. Its dense layers and its convolutions with channels in
            the last axis are rounded.
        photos: uint8 [image_size, image_size, 3] each, one or more. As many are used as
            have the pixels of 32 photos of 224x224, but 8 if there are.

    Raises:
        ValueError: naming a layer with weights or inputs that are not finite.
    """
    model = inference_graph.build(network.model)
    chosen = photos[: max(_LEAST, _PIXELS // network.image_size**2)]
    for layers in _passes(model):
        with freed_memory.passing_graphs():
            products = _collect(model, layers, chosen)
        freed_memory.give_back()
        for layer in layers:
            of_layer = products.pop(0)
            numbers = (of_layer, *layer.get_weights())
            if not all(np.isfinite(one).all() for one in numbers):
                raise ValueError(
                    f"model {model.name}: weights or inputs of layer {layer.name} are "
                    "not finite; the weights have to be trained anew"
                )
            _round(layer, of_layer)
    return Network(model, network.image_size)


def round_weights(weights: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Rounds the weights of sums so that the sums change little.

    Args:
        weights: float [groups, outputs, inputs].
        products: float [groups, inputs, inputs], the mean or sum, over examples, of the
            products of each two inputs.

    Returns:
        float64 [groups, outputs, inputs], numbers that bfloat16 has.
    """
    size = weights.shape[-1]
    products = products.astype("float64")
    damping = _DAMPING * np.einsum("gii->g", products) / size
    products += damping[:, np.newaxis, np.newaxis] * np.eye(size)
    # How an error in one weight is spread over those that follow (its section 3.3).
    factors = np.linalg.cholesky(np.linalg.inv(products)).swapaxes(1, 2)
    result = weights.astype("float64")
    for start in range(0, size, _BLOCK):
        end = min(start + _BLOCK, size)
        block = result[..., start:end]
        errors = _round_block(block, factors[:, start:end, start:end])
        result[..., end:] -= errors @ factors[:, start:end, end:]
    return result


def _round_block(block: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Rounds some columns in place; returns their errors as `factors` weigh them."""
    errors = np.empty_like(block)
    for column in range(block.shape[-1]):
        exact = block[..., column].copy()
        block[..., column] = exact.astype(tf.bfloat16.as_numpy_dtype)
        scale = factors[:, column, column, np.newaxis]
        errors[..., column] = (exact - block[..., column]) / scale
        rest = factors[:, np.newaxis, column, column + 1 :]
        block[..., column + 1 :] -= errors[..., column, np.newaxis] * rest
    return errors


def _round(layer: Layer, products: np.ndarray) -> None:
    kernel, *biases = layer.get_weights()
    places, inputs, groups, outputs = shape = _shape(layer)
    matrices = kernel.reshape(shape).transpose(2, 3, 0, 1)
    matrices = matrices.reshape(groups, outputs, places * inputs)
    bias = biases[0] if biases else np.zeros(groups * outputs)
    columns = [bias.reshape(groups, outputs, 1), matrices]
    found = round_weights(np.concatenate(columns, axis=-1), products)
    matrices = found[..., 1:].reshape(groups, outputs, places, inputs)
    kernel = matrices.transpose(2, 3, 0, 1).reshape(kernel.shape)
    layer.set_weights([kernel, found[..., 0].reshape(-1)][: 1 + len(biases)])


def _shape(layer: Layer) -> tuple[int, int, int, int]:
    """Returns the shape of a kernel as [places, inputs, groups, outputs of a group]."""
    if isinstance(layer, keras.layers.Dense):
        inputs, outputs = layer.kernel.shape
        return 1, inputs, 1, outputs
    *sides, inputs, outputs = layer.kernel.shape
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return math.prod(sides), 1, inputs, outputs
    return math.prod(sides), inputs, layer.groups, outputs // layer.groups


def _passes(model: keras.Model) -> Iterator[list[Layer]]:
    """Groups layers by the memory that the products of their inputs take."""
    group: list[Layer] = []
    taken = 0
    for layer in filter(_is_rounded, model.layers):
        places, inputs, groups, _ = _shape(layer)
        seen = math.prod(layer.input.shape[1:])
        size = 4 * (seen + groups * (1 + places * inputs) ** 2)
        if group and taken + size > PASS_BYTES:
            yield group
            group, taken = [], 0
        group.append(layer)
        taken += size
    if group:
        yield group


def _is_rounded(layer: keras.layers.Layer) -> bool:
    data_format = getattr(layer, "data_format", "channels_last")
    return isinstance(layer, Layer) and data_format == "channels_last"


def _collect(
    model: keras.Model, layers: Sequence[Layer], photos: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Sums the products of each two inputs of layers' outputs over photos.

    Returns:
        For each layer float32 [groups, inputs, inputs]; input 0 is 1, the bias's.
    """
    with efficientnet.deep_graphs():
        seen = keras.Model(model.inputs, [layer.input for layer in layers])

    def collect(photo: tf.Tensor) -> list[tf.Tensor]:
        inputs = tf.nest.flatten(seen(tf.cast(photo[tf.newaxis], tf.float32)))
        return [_products(layer, x) for layer, x in zip(layers, inputs, strict=True)]

    images = tf.TensorSpec(photos[0].shape, tf.uint8)
    traced = tf.function(collect, input_signature=[images], autograph=False)
    of_photo = traced.get_concrete_function()
    total = [one.numpy() for one in of_photo(tf.constant(photos[0]))]
    for photo in photos[1:]:
        for each, one in zip(total, of_photo(tf.constant(photo)), strict=True):
            each += one.numpy()
    return total


def _products(layer: Layer, x: tf.Tensor) -> tf.Tensor:
    """Returns float32 [groups, inputs, inputs] for what a layer sees of one photo."""
    places, inputs, groups, _ = _shape(layer)
    if not isinstance(layer, keras.layers.Dense):
        x = _patches(layer, x)
    x = tf.reshape(x, (-1, places, groups, inputs))
    x = tf.reshape(tf.transpose(x, (2, 0, 1, 3)), (groups, -1, places * inputs))
    x = tf.concat([tf.ones_like(x[..., :1]), x], axis=-1)
    return tf.matmul(x, x, transpose_a=True)


def _patches(layer: Any, x: tf.Tensor) -> tf.Tensor:
    """Returns what some of a convolution's outputs see, [1, rows, columns, inputs]."""
    pads, counts = [], []
    for axis, length in enumerate(x.shape[1:3]):
        stride = layer.strides[axis]
        reach = (layer.kernel_size[axis] - 1) * layer.dilation_rate[axis] + 1
        pad = 0
        if layer.padding == "same":
            pad = max(0, (-(-length // stride) - 1) * stride + reach - length)
        pads.append((pad // 2, pad - pad // 2))
        counts.append((length + pad - reach) // stride + 1)
    places, inputs, *_ = _shape(layer)
    wanted = min(_OUTPUTS * places * inputs, _MOST_OUTPUTS)
    step = max(1, int(math.sqrt(math.prod(counts) / wanted)))
    if any(map(any, pads)):
        x = tf.pad(x, [(0, 0), *pads, (0, 0)])
    return tf.image.extract_patches(
        x,
        sizes=[1, *layer.kernel_size, 1],
        strides=[1, *(step * stride for stride in layer.strides), 1],
        rates=[1, *layer.dilation_rate, 1],
        padding="VALID",
    )
