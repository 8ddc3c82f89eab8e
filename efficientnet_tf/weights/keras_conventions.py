"""What the layers of a Keras model say of its network, beside the shapes of weights."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from efficientnet_tf.weights.keras_config import (
    NORMALISING,
    Layer,
    Network,
    named_damage,
)

# Layers of a network, by this package's names and by those of keras.applications'
# MobileNets and ResNets; a user's layers behind the network have others.
_OWN = re.compile(r"(stem|top|block\d+[a-z]+)_(?!dropout)")
_ANY = re.compile(
    rf"{_OWN.pattern}|(block_\d+|expanded_conv|conv_(dw|pw|pad)|conv1|Conv_?1|bn_Conv1"
    r"|out|pool1|conv\d_block\d+)(_|$)"
)
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "CondConv2D", "DepthwiseCondConv2D")
_POOLS = ("MaxPooling2D", "AveragePooling2D")
# Layers that change no image in inference.
_WITHOUT_EFFECT = re.compile(
    "InputLayer|Identity|Random.*|Gaussian(Noise|Dropout)|.*Dropout.*|AugMix|CutMix"
    "|MixUp|AutoContrast|RandAugment|ZeroPadding2D"
)


def read(network: Network, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Reads the conventions that a network's layers state.

    Args:
        network: the layers.
        tensors: the file's weights by "layer/variable".

    Returns:
        What is stated of "padding", "batch_norm_epsilon", "activation", "pixels" (mean
        and standard deviation in units of [0, 255]), "include_preprocessing" and
        "strides" (replacements in block strings). What is not stated is left out.

    Raises:
        ValueError: naming a layer that does what no network of this package does.
    """
    layers = [layer for name, layer in network.layers.items() if _ANY.match(name)]
    told = {
        "padding": _padding(layers, network),
        "batch_norm_epsilon": _epsilon(layers),
        "activation": _activation(layers),
        "strides": _strides(layers),
    }
    stated = {name: value for name, value in told.items() if value is not None}
    return stated | _pixels(network, tensors)


def read_all(
    network: Network | None, tensors: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Reads what a file's config states, see `read`; {} if it has no network.

    Args:
        network: the layers in the file's config.
        tensors: the file's weights by "layer/variable".

    Raises:
        ValueError: naming a layer that is not known or not described.
    """
    with named_damage():
        return read(network, tensors) if network else {}


def ends_in_sigmoids(network: Network) -> bool:
    """Whether the outputs of the network's classifier are independent sigmoids."""
    classifiers = (network.layers.get(name) for name in ("predictions", "probs"))
    return any(layer and _function(layer) == "sigmoid" for layer in classifiers)


def differences(
    file: Network, model: Network, theirs: Mapping[str, str], *, part: bool
) -> dict[str, str]:
    """Finds the layers that compute something else in a file's network and in a model.

    Args:
        file: the network of the file, with this package's or keras.applications' names.
        model: a network of this package.
        theirs: the file's name of a model's layer, where it is another one.
        part: whether the model may lack layers of the file.

    Returns:
        A sentence for each layer. Paddings and preprocessing are left out.

    Raises:
        ValueError: if the file's layers are not described as Keras does it.
    """
    is_ours = "stem_conv" in file.layers
    ours = [name for name in model.layers if _OWN.match(name)]
    pairs = {name: theirs.get(name, name) for name in ours}
    if is_ours and not part:
        known = set(pairs.values())
        more = (name for name in file.layers if _OWN.match(name) and name not in known)
        pairs |= {name: name for name in more}
    problems = {}
    for name, their_name in pairs.items():
        with named_damage():
            has = _computes(file.layers.get(their_name))
        does = _computes(model.layers.get(name))
        # Layers without weights have other names in MobileNets and ResNets.
        if has != does and (is_ours or has is not None):
            told = f"{has or 'nothing'} in the file, {does or 'nothing'} in the model"
            problems[name] = f"{name}: {told}"
    return problems


def _computes(layer: Layer | None) -> str | None:
    """Says what a layer does; None if nothing that counts in inference."""
    if layer is None:
        return None
    if layer.kind in _CONVOLUTIONS:
        strides, dilation = (_pair(layer, key) for key in ("strides", "dilation_rate"))
        return f"strides {strides}, dilation {dilation}, activation {_function(layer)}"
    if layer.kind.endswith("BatchNormalization"):
        return f"epsilon {layer.config['epsilon']:.6g}"
    if layer.kind in _POOLS:
        size, strides = (_pair(layer, key) for key in ("pool_size", "strides"))
        return f"{layer.kind} of {size}, strides {strides}"
    if layer.kind in ("Activation", "ReLU", "Dense"):
        return _function(layer)
    is_known = layer.kind in ("Add", "Multiply", "GlobalAveragePooling2D")
    return layer.kind if is_known else None


def _pair(layer: Layer, key: str) -> tuple[int, ...]:
    return tuple(np.broadcast_to(layer.config.get(key) or 1, 2).tolist())


def _function(layer: Layer) -> str:
    """Returns Keras's name of a layer's activation; swish is silu."""
    if layer.kind == "ReLU":
        config = layer.config
        if config.get("negative_slope") or config.get("threshold"):
            raise ValueError(f"layer {layer.name} is a leaky ReLU")
        return {None: "relu", 6: "relu6"}.get(config.get("max_value"), "another ReLU")
    named = layer.config.get("activation", "linear")
    if not isinstance(named, str | None):
        return str(named)  # Keras would build the layer that a dictionary describes
    try:
        return keras.activations.get(named).__name__
    except (ValueError, TypeError, AttributeError):
        return str(named)


def _padding(layers: list[Layer], network: Network) -> str | None:
    """Returns how strided windows are padded; None if there are none."""
    found = set()
    for layer in layers:
        size = _first(layer.config.get("kernel_size", layer.config.get("pool_size", 1)))
        if layer.kind not in _CONVOLUTIONS + _POOLS or size == 1:
            continue
        strides = _first(layer.config.get("strides") or size)
        if layer.config["padding"] == "same":
            found |= {"same"} if strides > 1 else set()
            continue
        pads = [network.layers[name] for name in layer.inputs if name in network.layers]
        found.add(_pads(layer, size, pads[0] if pads else None))
    if "uneven" in found:
        return "same"  # keras.applications pads odd sizes evenly, as SAME does
    if len(found) > 1:
        raise ValueError("its strided layers are padded in different ways")
    return found.pop() if found else None


def _pads(layer: Layer, size: int, before: Layer | None) -> str:
    """Says how the layer before one without padding pads for it."""
    half = (size - 1) // 2
    if before and before.kind == "ZeroPadding2D":
        pads = np.array(before.config["padding"]).tolist()
        if pads == [[half, half]] * 2:
            return "symmetric"
        if all(pair in ([half - 1, half], [half, half]) for pair in pads):
            return "uneven"
    raise ValueError(f"layer {layer.name} is padded as in no network of this package")


def _first(value: Any) -> int:
    return value if isinstance(value, int) else value[0]


def _epsilon(layers: list[Layer]) -> float | None:
    found = {
        float(_numbers(layer, "epsilon").item()): layer.name
        for layer in layers
        if layer.kind.endswith("BatchNormalization")
    }
    if len(found) > 1:
        told = ", ".join(f"{name} {value:g}" for value, name in found.items())
        raise ValueError(f"its batch norms have different values of epsilon ({told})")
    return next(iter(found), None)


def _activation(layers: list[Layer]) -> str | None:
    """Returns the stem's activation, which is the network's."""
    names = (
        _function(layer) for layer in layers if layer.kind in ("Activation", "ReLU")
    )
    return next(names, None)


def _strides(layers: list[Layer]) -> tuple[tuple[str, str], ...] | None:
    """Returns replacements in block strings that put strides where the layers stride.

    Only bottlenecks (ResNet) and EdgeTPU's blocks leave a choice. A network with both
    choices states none: its blocks are the caller's own.
    """
    names = {layer.name for layer in layers}
    striding = [
        layer.name
        for layer in layers
        if layer.kind in _CONVOLUTIONS and _first(layer.config.get("strides", 1)) > 1
    ]
    depthwise = {name.removesuffix("dwconv") for name in names if "_dwconv" in name}
    found = {
        change
        for pattern, change in _STRIDING.items()
        for name in striding
        if (match := re.fullmatch(pattern, name)) and match[1] not in depthwise
    }
    return tuple(found) if len(found) == 1 else None


# Layers that stride in the kinds of blocks that leave a choice. Group 1 is the block.
_STRIDING = {
    r"(block\d+[a-z]+_)reduce_conv|conv[3-5]_block1_1_conv": ("_c3", "_c4"),
    r"(block\d+[a-z]+_)conv|conv[3-5]_block1_2_conv": ("_c4", "_c3"),
    r"(block\d+[a-z]+_)expand_conv": ("_c1", "_f1"),
}


def _pixels(network: Network, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Reads the normalisation in front of the stem."""
    scale, offset, found = np.ones(1), np.zeros(1), False
    for layer in _before_stem(network):
        if layer.kind in NORMALISING:
            found = True
            factor, summand = _affine(layer, tensors)
            scale, offset = scale * factor, offset * factor + summand
        elif not (_WITHOUT_EFFECT.fullmatch(layer.kind) or _is_linear(layer)):
            raise ValueError(
                f"layer {layer.name} ({layer.kind}) changes the images before the "
                "network; save the network alone"
            )
    if not found:
        # keras.applications' MobileNets and ResNets are always fed from outside.
        is_ours = "stem_conv" in network.layers
        return {"include_preprocessing": False} if is_ours else {}
    if not scale.all():
        raise ValueError("its preprocessing loses the pixels")
    values = zip(*np.broadcast_arrays(-offset / scale, 1 / scale), strict=True)
    mean, stddev = (tuple(map(float, column)) for column in zip(*values, strict=True))
    return {"include_preprocessing": True, "pixels": (mean, stddev)}


def _before_stem(network: Network) -> list[Layer]:
    """Lists the layers from the input to the stem."""
    found: list[Layer] = []
    layer = network.stem
    while layer and layer.inputs and len(found) < len(network.layers):
        if len(layer.inputs) > 1:
            raise ValueError(f"layer {layer.name} has several inputs before the stem")
        layer = network.layers.get(layer.inputs[0])
        found += [layer] if layer else []
    return found[::-1]


def _is_linear(layer: Layer) -> bool:
    return layer.kind == "Activation" and _function(layer) == "linear"


def _affine(
    layer: Layer, tensors: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the factor and the summand of a Rescaling or Normalization layer."""
    if layer.kind == "Rescaling":
        factor, summand = (_numbers(layer, key) for key in ("scale", "offset"))
        return factor, summand
    if layer.config.get("invert"):
        raise ValueError(f"layer {layer.name} inverts a normalisation")
    mean, variance = (_statistics(layer, key, tensors) for key in ("mean", "variance"))
    stddev = np.maximum(np.sqrt(variance), keras.config.epsilon())
    return 1 / stddev, -mean / stddev


def _statistics(layer: Layer, key: str, tensors: Mapping[str, Any]) -> np.ndarray:
    if layer.config.get(key) is not None:
        return _numbers(layer, key)
    name = f"normalization/{key}"
    if name not in tensors:
        raise ValueError(f"layer {layer.name} has no {key}")
    return np.asarray(tensors[name], np.float64).reshape(-1)


def _numbers(layer: Layer, key: str) -> np.ndarray:
    value = layer.config.get(key)
    if isinstance(value, dict):  # an array, as Keras writes one
        value = value["config"]["value"]
    try:
        numbers = np.asarray(value, np.float64).reshape(-1)
    except (ValueError, TypeError, OverflowError):
        numbers = np.full(1, np.nan)
    if not np.isfinite(numbers).all():
        raise ValueError(f"layer {layer.name} has {key}={value}, not numbers")
    return numbers


def same_activation(one: str, other: str) -> bool:
    """Whether two names mean the same activation, as swish and silu do."""
    layers = (Layer("", "Activation", {"activation": name}) for name in (one, other))
    return len(set(map(_function, layers))) == 1


def nearly(one: Any, other: Any) -> bool:
    """Whether numbers are equal but for the rounding of float32."""
    return all(math.isclose(a, b, rel_tol=1e-5) for a, b in _pairs(one, other))


def _pairs(one: Any, other: Any) -> Iterator[tuple[float, float]]:
    flat = (np.asarray(value, np.float64).reshape(-1) for value in (one, other))
    return zip(*flat, strict=True)
