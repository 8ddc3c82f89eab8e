"""Names and axes of keras.applications' weights, by this package's paths."""

import itertools
from collections.abc import Collection

import numpy as np

from efficientnet_tf.weights import keras_groups, model_layout, numeric

# A name that only this family's networks have.
MARKS = {
    "stem_conv/kernel": "efficientnet",
    "conv_dw_1/kernel": "mobilenet-v1",
    "Conv1/kernel": "mobilenet-v2",
    "conv1_conv/kernel": "resnet",
}


def detect(names: Collection[str]) -> str:
    """Returns the family of keras.applications' networks that has these names."""
    return next((f for mark, f in MARKS.items() if mark in names), "efficientnet")


def names(
    model: model_layout.Layout, family: str, known: Collection[str] = ()
) -> dict[str, str]:
    """Returns a file's name for each path.

    EfficientNetV2 calls its depthwise layers dwconv2; qubvel's files call the
    classifier probs.

    Args:
        model: the model's tensors.
        family: the family that `detect` returned.
        known: the names in the file; empty for a file to be written.
    """
    layers = {
        "mobilenet-v1": _mobilenet_v1,
        "mobilenet-v2": _mobilenet_v2,
        "resnet": _resnet,
    }.get(family, lambda model: {})(model)
    names = {}
    for tensor in model.tensors:
        name = f"{layers.get(tensor.layer, tensor.layer)}/{tensor.variable}"
        aliases = {
            name.replace("_dwconv/", "_dwconv2/"),
            name.replace("predictions/", "probs/"),
        }
        other = next((alias for alias in aliases - {name} if alias in known), None)
        names[tensor.path] = other if other and name not in known else name
    return names | _others(model, known)


def _others(model: model_layout.Layout, known: Collection[str]) -> dict[str, str]:
    """Returns the names of variables of other layers, which a file may only number."""
    names = {}
    layers = itertools.groupby(model.others, lambda tensor: _layer(tensor.path))
    for layer, group in layers:
        tensors = list(group)
        numbered = keras_groups.variable_names(len(tensors))
        for tensor, variable in zip(tensors, numbered, strict=True):
            names[tensor.path] = _found(tensor, f"{layer}/{variable}", known)
    return names


def _layer(path: str) -> str:
    return path.rpartition("/")[0]


def _found(tensor: model_layout.Tensor, numbered: str, known: Collection[str]) -> str:
    """Returns the name of a tensor in a file, or else its path."""
    for name in map(keras_groups.stored_name, (tensor.path, numbered)):
        if name in known:
            return name
    # A legacy file leaves out models in a model, or has scopes of their building.
    inner = "/".join(tensor.path.split("/")[-2:])
    short = f"{tensor.layer}/{tensor.variable}"
    found = [
        name
        for name in known
        if name == short
        or (name.startswith(f"{tensor.layer}/") and name.endswith(f"/{inner}"))
    ]
    return found[0] if len(found) == 1 else tensor.path


def encode(tensor: model_layout.Tensor, value: np.ndarray, family: str) -> np.ndarray:
    """Converts a value of this package to keras.applications' axes.

    Args:
        tensor: the tensor's path, kind and shape.
        value: the value in this package's axes.
        family: the family that `detect` returned.
    """
    if family == "resnet" and tensor.path == "stem_conv/kernel":
        return value[:, :, ::-1]  # keras.applications' ResNets take BGR images
    if family == "mobilenet-v1" and tensor.path == "predictions/kernel":
        return value[np.newaxis, np.newaxis]  # its classifier is a 1x1 convolution
    return value


def decode(tensor: model_layout.Tensor, value: np.ndarray, family: str) -> np.ndarray:
    """Converts a value of keras.applications to this package's axes.

    Args:
        tensor: the tensor's path, kind and shape.
        value: the value in the file's axes.
        family: the family that `detect` returned.
    """
    if family == "resnet" and tensor.path == "stem_conv/kernel":
        return value[:, :, ::-1]
    if family == "mobilenet-v1" and tensor.path == "predictions/kernel":
        return value[0, 0] if value.ndim == 4 else value
    return value


def fold_biases(
    tensors: dict[str, np.ndarray], model: model_layout.Layout, names: dict[str, str]
) -> list[str]:
    """Subtracts each bias in front of a batch norm from the moving mean.

    keras.applications' ResNets have such biases; the network computes the same without.

    Args:
        tensors: the file's weights by its names; changed in place.
        model: the model's tensors.
        names: the file's name for each path.

    Returns:
        The names of the biases, which are removed from `tensors`.
    """
    folded = []
    for tensor in model.tensors:
        bias = names[tensor.path].replace("/kernel", "/bias")
        mean = f"{tensor.layer.removesuffix('conv')}bn/moving_mean"
        if tensor.kind == "conv" and bias in tensors and mean in names:
            if tensor.path.replace("/kernel", "/bias") in names:
                continue
            if not _can_fold(tensors[bias], tensors.get(names[mean])):
                continue  # `WeightsFile.assign` reports it
            tensors[names[mean]] = tensors[names[mean]] - tensors.pop(bias)
            folded.append(bias)
    return folded


def _can_fold(bias: np.ndarray, mean: np.ndarray | None) -> bool:
    if mean is None or bias.shape != mean.shape:
        return False
    return numeric.is_float(bias) and numeric.is_float(mean)


def _mobilenet_v1(model: model_layout.Layout) -> dict[str, str]:
    layers = {"stem_conv": "conv1", "stem_bn": "conv1_bn", "predictions": "conv_preds"}
    for block in model.blocks:
        number = block.index + 1
        layers |= {
            block.layer("dwconv"): f"conv_dw_{number}",
            block.layer("bn"): f"conv_dw_{number}_bn",
            block.layer("project_conv"): f"conv_pw_{number}",
            block.layer("project_bn"): f"conv_pw_{number}_bn",
        }
    return layers


def _mobilenet_v2(model: model_layout.Layout) -> dict[str, str]:
    layers = {"stem_conv": "Conv1", "stem_bn": "bn_Conv1"}
    layers |= {"top_conv": "Conv_1", "top_bn": "Conv_1_bn"}
    roles = {"expand": "expand", "dw": "depthwise", "project": "project"}
    for block in model.blocks:
        prefix = f"block_{block.index}" if block.index else "expanded_conv"
        for role, name in roles.items():
            norm = "bn" if role == "dw" else f"{role}_bn"
            conv = "dwconv" if role == "dw" else f"{role}_conv"
            layers[block.layer(conv)] = f"{prefix}_{name}"
            layers[block.layer(norm)] = f"{prefix}_{name}_BN"
    return layers


def _resnet(model: model_layout.Layout) -> dict[str, str]:
    layers = {"stem_conv": "conv1_conv", "stem_bn": "conv1_bn"}
    numbers = {"shortcut_": 0, "reduce_": 1, "": 2, "project_": 3}
    for block in model.blocks:
        prefix = f"conv{block.stage + 2}_block{block.repeat + 1}"
        for role, number in numbers.items():
            layers[block.layer(f"{role}conv")] = f"{prefix}_{number}_conv"
            layers[block.layer(f"{role}bn")] = f"{prefix}_{number}_bn"
    return layers
