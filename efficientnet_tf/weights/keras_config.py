"""Reads the config of a Keras model: its layers, and the passport among them.

A `.keras` archive and the `.h5` of a whole model hold the config, `.weights.h5` files
do not. Keras 3 and Keras 2 write the inputs of a layer in different ways.
"""

import contextlib
import dataclasses
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from efficientnet_tf.weights import hdf5_files, zip_entries

# First layer with weights of this package's networks and of keras.applications'.
_STEMS = ("stem_conv", "conv1_conv", "conv1", "Conv1")
_PASSPORT = "efficientnet_tf"  # the key beside the config of a network's first layer
_LARGEST = 1 << 26  # bytes of JSON; EfficientNetV2-XL's are 3 million
_DAMAGE: tuple[type[Exception], ...] = (
    *(TypeError, KeyError, AttributeError, IndexError),
    *(OverflowError, RecursionError),
)
NORMALISING = ("Rescaling", "Normalization")  # layers that normalise images


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer as its config describes it."""

    name: str
    kind: str  # name of the class, such as "Conv2D"
    config: Mapping[str, Any]
    inputs: tuple[str, ...] = ()  # names of the layers before it


@dataclasses.dataclass(frozen=True)
class Network:
    """The layers of a network by name, in the order of the graph."""

    layers: dict[str, Layer]
    passport: str | None = None  # JSON
    # Names of the layers that normalise images before it, in the models around it.
    outside: tuple[str, ...] = ()

    @property
    def stem(self) -> Layer | None:
        """The first layer with weights; None if no network is known to begin so."""
        found = (self.layers[name] for name in _STEMS if name in self.layers)
        return next(found, None)


@contextlib.contextmanager
def named_damage(*more: type[Exception]) -> Iterator[None]:
    """Raises ValueError in place of errors at a config that describes no layers.

    Args:
        *more: errors that mean damage too. A ValueError passes unless it is one.
    """
    try:
        yield
    except (*_DAMAGE, *more) as error:
        raise ValueError(f"its Keras config is damaged ({error})") from None


def of_file(path: str, file: hdf5_files.Group) -> dict[str, Any]:
    """Reads the config of the model that a Keras file holds; {} if it has none.

    Args:
        path: path of the file.
        file: the HDF5 file of its weights.

    Raises:
        ValueError: if the config cannot be read.
    """
    text = file.attrs.get("model_config")
    if text is None and zipfile.is_zipfile(path):
        text = _from_archive(path)
    return {} if text is None else parse(text)


def parse(text: str | bytes) -> dict[str, Any]:
    """Reads a model's config.

    Args:
        text: the config as JSON.

    Raises:
        ValueError: if the text is no model's config.
    """
    with named_damage(ValueError):
        model = json.loads(text)
        if not isinstance(model["config"], dict):
            raise TypeError("it has no layers")
        return model


def find(model: dict[str, Any]) -> Network | None:
    """Finds the network in a model's config, also inside other models.

    Args:
        model: what `parse` returned; {} has no network.

    Raises:
        ValueError: if a layer is not described as Keras does it.
    """
    with named_damage():
        for layers, around in _graphs(model):
            network = Network({layer["name"]: _layer(layer) for layer in layers})
            if network.stem:
                return dataclasses.replace(
                    network,
                    passport=layers[0].get(_PASSPORT),
                    outside=tuple(_normalising(around)),
                )
    return None


def of_model(model: keras.Model) -> Network:
    """Describes the layers of a model; does not say how they are connected.

    Args:
        model: any functional model.
    """
    described = (
        Layer(layer.name, type(layer).__name__, layer.get_config())
        for layer in model.layers
    )
    return Network({layer.name: layer for layer in described})


def with_passport(config: dict[str, Any], passport: str) -> dict[str, Any]:
    """Adds a passport to a functional model's config, where Keras reads over it.

    Args:
        config: what the model's `get_config` returned.
        passport: JSON.
    """
    first, *others = config["layers"]
    return config | {"layers": [first | {_PASSPORT: passport}, *others]}


def _from_archive(path: str) -> bytes:
    return zip_entries.read(path, "config.json", most=_LARGEST)


# The layers of a model, and which of them is the model that is looked into.
_Place = tuple[list, int]


def _graphs(
    model: Any, around: tuple[_Place, ...] = ()
) -> Iterator[tuple[list[dict], tuple[_Place, ...]]]:
    """Yields the layers of a model and of the models in it, the outer ones first.

    Beside the layers of a model stand its places in the models around it.
    """
    config = model.get("config") if isinstance(model, dict) else None
    layers = config.get("layers") if isinstance(config, dict) else None
    if not isinstance(layers, list) or not layers:
        return
    if all(isinstance(layer, dict) and "name" in layer for layer in layers):
        yield layers, around
    for number, layer in enumerate(layers):
        yield from _graphs(layer, (*around, (layers, number)))


def _normalising(around: tuple[_Place, ...]) -> Iterator[str]:
    """Yields the names of the layers that normalise images before a nested model."""
    for layers, number in around:
        for layer in layers[:number]:
            if _kind(layer) in NORMALISING:
                yield layer["config"]["name"]


def _layer(described: dict) -> Layer:
    if not isinstance(described["config"], dict):
        raise TypeError(f"layer {described['name']} has no config")
    nodes = described.get("inbound_nodes", ())
    sources = dict.fromkeys(_sources(nodes))
    return Layer(
        described["name"], _kind(described), described["config"], tuple(sources)
    )


def _kind(described: dict) -> str:
    # Registered classes have their package's name in front.
    return re.sub("^.*>", "", described["class_name"])


def _sources(node: Any) -> Iterator[str]:
    """Yields the names of the layers whose outputs a call takes."""
    if isinstance(node, dict):
        if "keras_history" in node:
            yield node["keras_history"][0]
            return
        for value in node.values():
            yield from _sources(value)
    elif isinstance(node, list):
        if len(node) in (3, 4) and isinstance(node[0], str):  # Keras 2
            yield node[0]
            return
        for value in node:
            yield from _sources(value)
