"""The weights of a model by path, from which other projects' names are derived.

A path is "layer/variable", such as "block2a_bn/gamma", and "head/layer/variable" in a
head that is a model. Everything is read from the model's layers, so models that were
loaded from `.keras` files have a layout too.
"""

import dataclasses
import math
import re
import string
from collections.abc import Iterator

import keras
import numpy as np

BATCH_NORM_VARIABLES = ("gamma", "beta", "moving_mean", "moving_variance")


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One variable of a model.

    The kind gives the order of the axes: conv [rows, columns, in, out], depthwise
    [rows, columns, in, 1], both also with experts in front, dense [in, out] or vector.
    """

    path: str
    kind: str  # conv, depthwise, experts_conv, experts_depthwise, dense or vector
    shape: tuple[int, ...]
    is_float: bool = True  # False: a counter, such as a Normalization layer's

    @property
    def layer(self) -> str:
        """Name of the tensor's layer."""
        return self.path.split("/")[0]

    @property
    def variable(self) -> str:
        """Name of the variable in its layer."""
        return self.path.rpartition("/")[2]


@dataclasses.dataclass(frozen=True)
class Block:
    """One block's layers with weights, by role, such as "expand_conv"."""

    name: str
    index: int  # number of the block in the model, from 0
    stage: int  # number of its stage, from 0
    repeat: int  # number of the block in its stage, from 0
    roles: tuple[str, ...]  # in the order of the graph

    def layer(self, role: str) -> str:
        """The name of the layer in this role."""
        return f"{self.name}_{role}"


@dataclasses.dataclass(frozen=True)
class Layout:
    """All tensors and all blocks of a model, in the model's order.

    Args:
        tensors: those of the network.
        blocks: the network's blocks.
        others: tensors of layers that the model's owner put behind the network.
    """

    tensors: tuple[Tensor, ...]
    blocks: tuple[Block, ...]
    others: tuple[Tensor, ...] = ()

    def has(self, layer: str) -> bool:
        """Whether the model has a layer of this name with weights."""
        return any(tensor.layer == layer for tensor in self.tensors)


def size(model: keras.Model) -> int:
    """Returns the bytes of a model's weights."""
    return sum(math.prod(w.shape) * np.dtype(w.dtype).itemsize for w in model.weights)


def layout(model: keras.Model) -> Layout:
    """Reads a model's layout.

    Raises:
        ValueError: naming a layer that holds a network, or has variables of one name,
            or, in a model without this package's stem, a layer that is not ours.
    """
    _check(model)
    tensors, others = [], []
    roles: dict[str, list[str]] = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        found = [
            Tensor(
                path,
                _kind(owner, variable.name),
                tuple(variable.shape),
                is_float=keras.backend.is_float_dtype(variable.dtype),
            )
            for path, owner, variable in _members(layer)
        ]
        if not is_ours(layer.name):
            others += found
            continue
        tensors += found
        if match := _BLOCK.fullmatch(layer.name):
            roles.setdefault(match[1], []).append(match[2])
    return Layout(tuple(tensors), tuple(_blocks(roles)), tuple(others))


def with_classifier(model: Layout) -> Layout:
    """Returns the layout of the same network with a classifier, for its names."""
    if model.has("predictions"):
        return model
    classifier = (
        Tensor("predictions/kernel", "dense", (0, 0)),
        Tensor("predictions/bias", "vector", (0,)),
    )
    return dataclasses.replace(model, tensors=model.tensors + classifier)


def variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Returns the model's variables by path."""
    return {
        path: variable
        for layer in model.layers
        for path, _, variable in _members(layer)
    }


def _members(
    layer: keras.Layer, outer: str = ""
) -> Iterator[tuple[str, keras.Layer, keras.Variable]]:
    """Yields path, layer and variable of all in a layer, which may be a model."""
    path = f"{outer}{layer.name}"
    if isinstance(layer, keras.Model):
        for inner in layer.layers:
            yield from _members(inner, f"{path}/")
    else:
        for variable in layer.weights:
            yield f"{path}/{variable.name}", layer, variable


def values(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns the model's weights by path."""
    return {
        path: keras.ops.convert_to_numpy(variable)
        for path, variable in variables(model).items()
    }


ENDS = ("stem_conv", "stem_bn", "top_conv", "top_bn", "predictions")
_BLOCK = re.compile(r"(block\d+[a-z]+)_(\w+)")


def is_ours(layer: str) -> bool:
    """Whether a layer has the name of a layer of this package's networks."""
    return layer in ENDS or _BLOCK.fullmatch(layer) is not None


def _check(model: keras.Model) -> None:
    """Raises ValueError unless a model is a network, perhaps with layers behind it."""
    names = [layer.name for layer in model.layers]
    for layer in model.layers:
        problem = None if is_ours(layer.name) else _problem(layer, names)
        if layer.weights and problem:
            raise ValueError(f"model {model.name}: layer {layer.name!r} {problem}")


def _problem(layer: keras.Layer, names: list[str]) -> str | None:
    """Says why a layer cannot stand in a model of layers of these names."""
    paths = {path for path, _, _ in _members(layer)}
    if any(f"/{ENDS[0]}/" in path for path in paths):
        return f"holds the network; pass that alone: get_layer({layer.name!r})"
    if ENDS[0] not in names:
        return (
            "has weights but is not efficientnet_tf's; pass only the EfficientNet that "
            "is inside your model"
        )
    if len(paths) < len(layer.weights):
        return "has several variables of one name; only model.save can keep them"
    return None


def _blocks(roles: dict[str, list[str]]) -> Iterator[Block]:
    previous, repeat = None, 0
    stages = -1
    for index, (name, found) in enumerate(roles.items()):
        stage = name.removeprefix("block").rstrip(string.ascii_lowercase)
        repeat = repeat + 1 if stage == previous else 0
        stages += stage != previous
        previous = stage
        yield Block(name, index, stages, repeat, tuple(found))


def _kind(layer: keras.Layer, variable: str) -> str:
    if variable != "kernel":
        return "vector"
    # Compared by name, so that reading weights does not import the models' layers.
    conditional = {
        "DepthwiseCondConv2D": "experts_depthwise",
        "CondConv2D": "experts_conv",
    }
    if type(layer).__name__ in conditional:
        return conditional[type(layer).__name__]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return "depthwise"
    return "dense" if isinstance(layer, keras.layers.Dense) else "conv"
