"""Keras files: `.h5` (legacy), `.weights.h5` and `.keras`; keras.applications' names.

Layers are found by name, never by position.
"""

import dataclasses
import functools
import itertools
import os
import zipfile
from typing import Any

import h5py
import keras
import numpy as np

from efficientnet_tf import disk, expansion, suffixes, variants
from efficientnet_tf.weights import (
    checksums,
    hdf5_files,
    keras_config,
    keras_conventions,
    keras_groups,
    keras_names,
    keras_passport,
    model_layout,
    numeric,
    wrapped_names,
)
from efficientnet_tf.weights import passport as passports
from efficientnet_tf.weights.weights_file import WeightsFile
from efficientnet_tf.weights.words import shown

# The keras.applications network of each variant.
APPLICATIONS = {
    **{f"efficientnet-b{i}": f"EfficientNetB{i}" for i in range(8)},
    **{f"efficientnetv2-b{i}": f"EfficientNetV2B{i}" for i in range(4)},
    **{f"efficientnetv2-{i}": f"EfficientNetV2{i.upper()}" for i in "sml"},
    "mobilenet-v1": "MobileNet",
    "mobilenet-v2": "MobileNetV2",
    "resnet-50-v1": "ResNet50",
    "resnet-152-v1": "ResNet152",
}
# Variants whose keras.applications network holds the pixels' statistics as weights.
WITH_STATISTICS = tuple(f"efficientnet-b{i}" for i in range(8))


def recognises(path: str) -> bool:
    """Whether a path is a Keras file; see `Format`."""
    return suffixes.has(path, suffixes.KERAS) and os.path.isfile(path)


def open_file(path: str, *, ema: bool = True) -> WeightsFile:
    """Reads a whole file; see `Format`. `ema` has no effect."""
    del ema
    content = _read(path)
    described = content.described
    passport = passports.checked(path, content.passport, content.tensors)
    if passport:
        passport = dataclasses.replace(passport, class_names=content.class_names)
    try:
        network = wrapped_names.find_only(
            content.tensors, keras_names.MARKS, separator="/"
        )
        short = network.short.items()
        tensors = {name: content.tensors[full] for full, name in short}
        _check_statistics(tensors)
        said = keras_conventions.read_all(described, tensors)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if described and not passport:
        passport = passports.unchecked(path, described.passport)
    family = keras_names.detect(tensors)
    return WeightsFile(
        path,
        family,
        tensors,
        functools.partial(keras_names.names, family=family, known=frozenset(tensors)),
        functools.partial(keras_names.decode, family=family),
        fold=keras_names.fold_biases,
        averaged=passport.averaged if passport else None,
        passport=passport,
        notes=(*network.notes, *_notes(described)),
        config=described,
        config_says=said,
        checked=content.checked,
    )


def _notes(described: keras_config.Network | None) -> tuple[str, ...]:
    """Says which layers normalise images before the network, and are not in it."""
    if described is None or not described.outside:
        return ()
    names = ", ".join(map(shown, described.outside))
    return (f"left out {names}; give the network images that were normalised so",)


@dataclasses.dataclass(frozen=True)
class _Content:
    """What a file holds."""

    tensors: dict[str, np.ndarray]  # by "layer/variable"
    described: keras_config.Network | None  # the network in its config
    passport: str | None  # JSON
    class_names: tuple[str, ...] | None
    checked: str | None  # what checks the values, see `WeightsFile`


def _read(path: str) -> _Content:
    with hdf5_files.opened(path) as file:
        config = keras_config.of_file(path, file)
        described = keras_config.find(config)
        tensors = _tensors(file, config)
        passport = _passport(file)
        names = keras_passport.class_names(file)
        checksums.check(file.attrs, passport, class_names=names)
    checked = "CRC-32" if zipfile.is_zipfile(path) else None
    checked = "SHA-256" if passport else checked
    return _Content(tensors, described, passport, names, checked)


def _tensors(file: hdf5_files.Group, config: dict[str, Any]) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    for full, data in keras_groups.datasets(file, config.get("config", {})):
        name = keras_groups.stored_name(full)
        if name in tensors:
            raise ValueError(f"holds {shown(name)} twice")
        tensors[name] = _array(data)
    if not tensors:
        raise ValueError("has no layer names; its weights cannot be assigned by name")
    return tensors


def _check_statistics(tensors: dict[str, np.ndarray]) -> None:
    """Raises ValueError if the pixels' statistics cannot be ones."""
    for name in ("normalization/mean", "normalization/variance"):
        problem = numeric.problem(name, tensors[name]) if name in tensors else None
        if problem:
            raise ValueError(f"{name} {problem}")


def _passport(file: hdf5_files.Group) -> str | None:
    text = file.attrs.get("passport")
    if text is not None and not isinstance(text, str):
        raise ValueError("its passport is no text: the file is damaged")
    return text


def _array(dataset: h5py.Dataset) -> np.ndarray:
    if dataset.attrs.get("dtype") != "bfloat16":
        return np.asarray(dataset)
    # HDF5 holds bfloat16 as raw bytes: the upper half of a float32.
    halves = np.asarray(dataset).view(np.uint16)
    return (halves.astype(np.uint32) << 16).view(np.float32)


def write_own(path: str, model: keras.Model, layout: model_layout.Layout) -> None:
    """Writes this package's `.weights.h5`, which also holds the passport."""
    del layout
    _check_room(path, model)
    model.save_weights(path)
    _state(path, model)


def write_file(path: str, model: keras.Model, layout: model_layout.Layout) -> None:
    """Writes keras.applications' `.weights.h5` or `.h5` and a digest; see `Format`.

    A network that keras.applications does not have is written with our names. The
    passport says which network it is: shapes do not tell ResNet v1 from v1.5.
    """
    variant = passports.of(model).variant
    written = model
    if variant and _is_application(variant) and not layout.others:
        written = _application(variant, model, layout)
    _check_room(path, written)
    if path.endswith(".weights.h5"):
        written.save_weights(path)
    else:
        with h5py.File(path, "w") as file:
            _write_legacy(file, written)
    _state(path, model)


def _check_room(path: str, model: keras.Model) -> None:
    """Raises OSError if the disk has no room for a model's weights and passport."""
    # Measured are 1,400 to 2,000 bytes a weight for its name and place.
    beside = 2_500 * len(model.weights) + 2 * len(passports.of(model).dumps()) + 2**16
    disk.check_room(os.path.dirname(path), model_layout.size(model) + beside)


def _state(path: str, model: keras.Model) -> None:
    """Adds a model's passport to a file, and digests of what a reader finds."""
    sha256 = passports.digest(_read(path).tensors)
    with h5py.File(path, "a") as file:
        keras_passport.write(file, model, sha256)
    checksums.append(path)


def _is_application(variant: variants.Variant) -> bool:
    """Whether keras.applications has this network, not only one of the same name."""
    if variant.name not in APPLICATIONS:
        return False
    theirs = variants.get_variant(variant.name)
    return expansion.expand(variant, survival_prob=1) == expansion.expand(
        theirs, survival_prob=1
    )


def _application(
    variant: variants.Variant, model: keras.Model, layout: model_layout.Layout
) -> keras.Model:
    """Returns keras.applications' network with a model's weights.

    If the model is only a part of the network, returns the model itself.
    """
    build = getattr(keras.applications, APPLICATIONS[variant.name])
    values = model_layout.values(model)
    top = {"include_top": False}
    if layout.has("predictions"):
        top = {"classes": values["predictions/bias"].size}
    theirs = build(weights=None, input_shape=model.input_shape[1:], **top)
    variables = model_layout.variables(theirs)
    family = keras_names.detect(variables)
    ours = keras_names.names(layout, family, variables)
    for tensor in layout.tensors:
        value = keras_names.encode(tensor, values[tensor.path], family)
        variables.pop(ours[tensor.path]).assign(value)
    if any(path.endswith(("/kernel", "/gamma")) for path in variables):
        return model
    # Only keras.applications has statistics, and biases before batch norms.
    for path, variable in variables.items():
        extra = _extra(path.rpartition("/")[2], variant.pixels, variable.shape)
        variable.assign(np.broadcast_to(extra, variable.shape))
    return theirs


def _extra(
    name: str, pixels: variants.Pixels, shape: tuple[int, ...]
) -> np.ndarray | int:
    statistics = {"mean": pixels.mean, "variance": pixels.stddev}
    if name not in statistics:
        return 0
    value = np.array(statistics[name]) / 255
    if shape != value.shape:
        value = value.mean()  # models with another number of channels than 3
    return value if name == "mean" else value**2


def _write_legacy(file: h5py.File, model: keras.Model) -> None:
    values = model_layout.values(model)
    layers = itertools.groupby(values, lambda path: path.split("/")[0])
    names = {layer: [f"{path}:0" for path in paths] for layer, paths in layers}
    file.attrs["layer_names"] = [layer.encode() for layer in names]
    for layer, inner in names.items():
        group = file.create_group(layer)
        group.attrs["weight_names"] = [name.encode() for name in inner]
        for name in inner:
            group[name] = values[name.removesuffix(":0")]
