"""The weights of a model by path, from which other projects' names are derived.

A path is "layer/variable", such as "block2a_bn/gamma". Everything is read from the
model's layers, so models that were loaded from `.keras` files have a layout too.
"""

import dataclasses
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

    @property
    def layer(self) -> str:
        """Name of the tensor's layer."""
        return self.path.split("/")[0]

    @property
    def variable(self) -> str:
        """Name of the variable in its layer."""
        return self.path.split("/")[1]


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
    """All tensors and all blocks of a model, in the model's order."""

    tensors: tuple[Tensor, ...]
    blocks: tuple[Block, ...]

    def has(self, layer: str) -> bool:
        """Whether the model has a layer of this name with weights."""
        return any(tensor.layer == layer for tensor in self.tensors)


def layout(model: keras.Model) -> Layout:
    """Reads a model's layout.

    Raises:
        ValueError: naming a layer with weights that is not this package's.
    """
    tensors = []
    roles: dict[str, list[str]] = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        block, role = _split(layer.name, model)
        if block:
            roles.setdefault(block, []).append(role)
        tensors += [
            Tensor(f"{layer.name}/{v.name}", _kind(layer, v.name), tuple(v.shape))
            for v in layer.weights
        ]
    return Layout(tuple(tensors), tuple(_blocks(roles)))


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
        f"{layer.name}/{variable.name}": variable
        for layer in model.layers
        for variable in layer.weights
    }


def values(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns the model's weights by path."""
    return {
        path: keras.ops.convert_to_numpy(variable)
        for path, variable in variables(model).items()
    }


ENDS = ("stem_conv", "stem_bn", "top_conv", "top_bn", "predictions")


def _split(name: str, model: keras.Model) -> tuple[str | None, str]:
    """Returns a layer's block and role; the block of stem and head is None."""
    match = re.fullmatch(r"(block\d+[a-z]+)_(\w+)", name)
    if match:
        return match[1], match[2]
    if name in ENDS:
        return None, name
    raise ValueError(
        f"model {model.name}: layer {name!r} has weights but is not "
        "efficientnet_tf's; pass only the EfficientNet that is inside your model"
    )


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
