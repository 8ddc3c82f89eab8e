"""PyTorch weights: timm, torchvision and lukemelas EfficientNet-PyTorch."""

import dataclasses
import functools
import os
from typing import Any

import keras
import numpy as np

from efficientnet_tf import suffixes
from efficientnet_tf.weights import (
    checksums,
    foreign_files,
    keras_config,
    keras_conventions,
    model_layout,
    numeric,
    torch_archive,
    torch_names,
    torch_pickle,
    torch_tensors,
    torch_wrappers,
)
from efficientnet_tf.weights import passport as passports
from efficientnet_tf.weights.weights_file import WeightsFile
from efficientnet_tf.weights.words import shown

# What a tensor of a safetensors file may hold.
_TYPES = (
    *("F64", "F32", "F16", "BF16", "BOOL"),
    *("I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8"),
)
_WEIGHTS = ("weight", "bias", "running_mean", "running_var")
# This package's axes, in PyTorch's order (out, in, rows, columns).
_AXES = {"conv": (3, 2, 0, 1), "depthwise": (2, 3, 0, 1), "dense": (1, 0)}


@dataclasses.dataclass(frozen=True)
class _Origin:
    """What a file says beside its weights."""

    passport: str | None = None  # JSON
    config: str | None = None  # of the Keras model that was written, as JSON
    averaged: bool | None = None
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()  # names that no model uses
    checked: str | None = None  # what checks the values, see `WeightsFile`


def recognises(path: str) -> bool:
    """Whether a path is a PyTorch file; see `Format`."""
    return suffixes.has(path, suffixes.TORCH) and os.path.isfile(path)


def open_file(path: str, *, ema: bool = True) -> WeightsFile:
    """Reads a whole file; see `Format`."""
    tensors, origin = _read(path, ema=ema)
    passport = passports.checked(path, origin.passport, tensors)
    config, config_says = _config(path, origin)
    project = torch_names.detect(tensors)
    if project is None:
        raise ValueError(f"{path}: {torch_wrappers.unknown(tensors)}")
    return WeightsFile(
        path,
        project,
        tensors,
        functools.partial(torch_names.names, project=project),
        _decode,
        unused=origin.unused,
        averaged=passport.averaged if passport else origin.averaged,
        passport=passport,
        notes=origin.notes,
        config=config,
        config_says=config_says,
        checked=origin.checked,
    )


def _config(
    path: str, origin: _Origin
) -> tuple[keras_config.Network | None, dict[str, Any]]:
    """Reads the config of the Keras model that this package wrote, and what it says."""
    if origin.config is None:
        return None, {}
    try:
        network = keras_config.find(keras_config.parse(origin.config))
        return network, keras_conventions.read_all(network, {})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write_file(path: str, model: keras.Model, layout: model_layout.Layout) -> None:
    """Writes timm's `.safetensors`, with batch norms' counters; see `Format`."""
    from safetensors import numpy

    values = model_layout.values(model)
    is_resnet = any("reduce_conv" in block.roles for block in layout.blocks)
    theirs = torch_names.names(layout, "torch_resnet" if is_resnet else "timm")
    tensors = {theirs[t.path]: _encode(t, values[t.path]) for t in layout.tensors}
    counters = {
        name.replace("running_mean", "num_batches_tracked"): np.array(0, np.int64)
        for name in tensors
        if name.endswith("running_mean")
    }
    sha256 = passports.digest(tensors)
    passport = dataclasses.replace(passports.of(model), sha256=sha256)
    text = passport.dumps()
    metadata = {
        "format": "pt",
        "passport": text,
        checksums.PASSPORT: checksums.of_passport(text),
    }
    if passport.variant is None:  # what Keras has loaded knows its layers only
        metadata["model_config"] = model.to_json()
    contiguous = {name: np.ascontiguousarray(v) for name, v in tensors.items()}
    numpy.save_file(contiguous | counters, path, metadata=metadata)


def _read(path: str, *, ema: bool) -> tuple[dict[str, np.ndarray], _Origin]:
    """Reads a `.safetensors`, `.pth`, `.pt` or `.bin` file.

    Returns:
        The weights by name, and what the file says about them.

    Raises:
        ValueError: if the file is damaged, or is something else.
    """
    read = _safetensors if suffixes.has(path, ".safetensors") else _pickle
    tensors, origin = read(path, ema=ema)
    unused = tuple(name for name in tensors if torch_wrappers.is_counter(name))
    weights = {name: v for name, v in tensors.items() if name not in unused}
    return weights, dataclasses.replace(origin, unused=unused)


def _safetensors(path: str, *, ema: bool) -> tuple[dict[str, np.ndarray], _Origin]:
    try:
        import safetensors
    except ImportError:
        raise ValueError(
            f"{path}: needs safetensors to read; pip install safetensors"
        ) from None
    with open(path, "rb"):
        pass  # safetensors calls a file that may not be read a missing one
    try:
        with safetensors.safe_open(path, framework="np") as file:
            said = file.metadata() or {}
            found = torch_wrappers.find_names(file.keys(), ema=ema)
            pairs = found.tensors.items()
            tensors = {short: _tensor(file, name) for short, name in pairs}
            passport = said.get("passport")
            checksums.check(said, passport)
            return tensors, _Origin(
                passport=passport,
                config=said.get("model_config"),
                averaged=found.averaged,
                notes=found.notes,
                checked="SHA-256" if passport else None,
            )
    except (safetensors.SafetensorError, OSError) as error:
        kind = foreign_files.kind(path)
        words = f"is {kind}" if kind else f"is no safetensors file ({shown(error)})"
        raise ValueError(f"{path}: {words}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _tensor(file: Any, name: str) -> np.ndarray:
    """Reads a tensor of a safetensors file, if NumPy has its type."""
    kind = file.get_slice(name).get_dtype()
    if kind not in _TYPES:
        raise ValueError(
            f"{shown(name)} has type {shown(kind)}, which is not read; save numbers of "
            "16 or 32 bits (F32, F16, BF16)"
        )
    try:
        return file.get_tensor(name)
    except ValueError as error:
        raise ValueError(f"{shown(name)}: {shown(error)}") from None


def _pickle(path: str, *, ema: bool) -> tuple[dict[str, np.ndarray], _Origin]:
    try:
        with torch_archive.opened(path) as archive:
            found = torch_wrappers.find(archive.content, ema=ema)
            _check_types(found.tensors)
            tensors = torch_tensors.values(archive, found.tensors)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return tensors, _Origin(
        averaged=found.averaged, notes=found.notes, checked=archive.checked
    )


def _check_types(tensors: dict[str, torch_pickle.Tensor]) -> None:
    """Raises ValueError at weights that are whole numbers without their scale."""
    for name, tensor in tensors.items():
        kind = np.dtype(torch_pickle.DTYPES[tensor.dtype]).kind
        if kind != "f" and tensor.dtype != "bfloat16" and name.endswith(_WEIGHTS):
            raise ValueError(f"{shown(name)} {numeric.of_type(tensor.dtype)}")


def _encode(tensor: model_layout.Tensor, value: np.ndarray) -> np.ndarray:
    """Converts a value of this package to PyTorch's axes."""
    if tensor.kind.startswith("experts"):
        return value.transpose(_experts_axes(tensor)).reshape(len(value), -1)
    return value.transpose(_AXES[tensor.kind]) if tensor.kind in _AXES else value


def _decode(tensor: model_layout.Tensor, value: np.ndarray) -> np.ndarray:
    """Converts a value to this package's axes; one of another rank stays as it is."""
    if tensor.kind.startswith("experts") and value.ndim == 2:
        axes = _experts_axes(tensor)
        shape = [tensor.shape[axis] for axis in axes]
        if value.shape[1] == np.prod(shape[1:]):
            value = value.reshape(len(value), *shape[1:])
            return value.transpose(np.argsort(axes))
    axes = _AXES.get(tensor.kind, ())
    if axes and value.ndim == len(axes):
        return value.transpose(np.argsort(axes))
    return value


def _experts_axes(tensor: model_layout.Tensor) -> tuple[int, ...]:
    kind = tensor.kind.removeprefix("experts_")
    return (0, *(axis + 1 for axis in _AXES[kind]))
