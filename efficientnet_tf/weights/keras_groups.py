"""Layers and their variables in Keras's HDF5 files, at any depth of models.

Keras 3, and Keras 2 in `.keras`, number a layer's variables in a group "vars", and call
the layers of a model, in its group "layers", by their classes: "conv2d", "conv2d_1".
Keras 3.6 and later states the layer's own name in "vars"; before, only the config of a
`.keras` file tells it. Legacy `.h5` files name every variable of a layer of the model,
also of a layer that is a model.
"""

import collections
import re
from collections.abc import Iterator, Mapping
from typing import Any

import h5py

from efficientnet_tf.weights import hdf5_files, model_layout

# The second name is that of tf.keras 2.12.
_LAYERS = ("layers", "_layer_checkpoint_dependencies")
_TRAINING = ("optimizer", "metrics", "compile_metrics", "loss_tracker")
_VARIABLES = "vars"
_DEPTH = 30  # groups in one another; a link may lead back to an outer group


def datasets(
    file: hdf5_files.Group, config: Mapping[str, Any]
) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yields a file's weights by "layer/variable".

    The names of the models that a layer is nested in stand before its own name:
    "sequential/efficientnet-b0/stem_conv/kernel".

    Args:
        file: the open file.
        config: the model's config of a `.keras` file; empty if there is none.

    Raises:
        ValueError: naming a layer whose name is not stated.
    """
    groups = [one for one in file.values() if not isinstance(one, h5py.Dataset)]
    if any(name in one for one in (file, *groups) for name in (*_LAYERS, _VARIABLES)):
        return _numbered(file, config)
    return _legacy(file.get("model_weights", file))


def stored_name(name: str) -> str:
    """Returns the name that a weight is read under, "normalization/mean".

    Keras numbers this layer through the process: "normalization_3/mean".

    Args:
        name: "layer/variable", with the models around it in front.
    """
    return re.sub(r"(^|/)normalization_\d+/", r"\1normalization/", name)


def _numbered(
    group: hdf5_files.Group, config: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yields the variables of a layer or model, and of all in it."""
    if path.count("/") > _DEPTH:
        raise ValueError(f"nests more than {_DEPTH} models in one another ({path})")
    for key, child in group.items():
        if key == _VARIABLES:
            for number, variable in enumerate(variable_names(len(child))):
                yield f"{path}{variable}", child[str(number)]
        elif key in _LAYERS:
            yield from _layers(child, config, path)
        elif isinstance(child, h5py.Dataset):
            continue  # names of classes, not weights
        elif path or key not in _TRAINING:  # an attribute that is a layer
            yield from _numbered(child, {}, f"{path}{key}/")


def _layers(
    group: hdf5_files.Group, config: Mapping[str, Any], path: str
) -> Iterator[tuple[str, h5py.Dataset]]:
    configs = _by_group(config)
    for key, layer in group.items():
        variables = layer.get(_VARIABLES, {})
        own = configs.get(key, {})
        name = getattr(variables, "attrs", {}).get("name") or own.get("name")
        if name is None and len(variables):
            raise ValueError(
                f"does not say which layer {path}{key} is; build the model that was "
                "saved, load the file by its own load_weights and save it again, with "
                "Keras 3.6 or later"
            )
        yield from _numbered(layer, own, f"{path}{name or key}/")


def _by_group(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Returns the configs of a model's layers by the names of their groups."""
    counts: collections.Counter[str] = collections.Counter()
    configs = {}
    for layer in config.get("layers", ()):
        base = _snake_case(layer["class_name"])
        number = counts[base]
        counts[base] += 1
        configs[f"{base}_{number}" if number else base] = layer["config"]
    return configs


def _snake_case(name: str) -> str:
    """Converts a class's name as Keras does: DepthwiseConv2D is depthwise_conv2d."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def variable_names(count: int) -> tuple[str, ...]:
    """Names a layer's variables by their count, because Keras only numbers them.

    Args:
        count: number of the layer's variables.
    """
    known = {
        1: ("kernel",),
        2: ("kernel", "bias"),
        3: ("mean", "variance", "count"),
        4: model_layout.BATCH_NORM_VARIABLES,
    }
    return known.get(count, tuple(str(number) for number in range(count)))


def _legacy(group: hdf5_files.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    for layer, inner in group.items():
        names = list(_weight_names(inner))
        parents = {name.rpartition("/")[0] for name in names}
        for name in names:
            parent, _, variable = name.rpartition("/")
            variable = variable.removesuffix(":0").removeprefix("depthwise_")
            # One layer's variables have one parent, which may be its name of before.
            path = f"{layer}/{parent}" if len(parents) > 1 else layer
            yield f"{path}/{variable}", inner[name]


def _weight_names(group: hdf5_files.Group) -> Iterator[str]:
    """Yields a layer's names; those over 64 KB are in several attributes."""
    parts = [f"weight_names{number}" for number in range(len(group.attrs))]
    for part in ("weight_names", *parts):
        for name in group.attrs.get(part, ()):
            yield name.decode() if isinstance(name, bytes) else name
