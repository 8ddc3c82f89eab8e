"""PyTorch weights: timm, torchvision and lukemelas EfficientNet-PyTorch."""

import dataclasses
import functools
import os

import keras
import numpy as np

from efficientnet_tf import suffixes
from efficientnet_tf.weights import model_layout, torch_names
from efficientnet_tf.weights import passport as passports
from efficientnet_tf.weights.weights_file import WeightsFile

# This package's axes, in PyTorch's order (out, in, rows, columns).
_AXES = {"conv": (3, 2, 0, 1), "depthwise": (2, 3, 0, 1), "dense": (1, 0)}


def recognises(path: str) -> bool:
    """Whether a path is a PyTorch file; see `Format`."""
    return path.endswith(suffixes.TORCH) and os.path.isfile(path)


def open_file(path: str, *, ema: bool = True) -> WeightsFile:
    """Reads a whole file; see `Format`. `ema` has no effect."""
    del ema
    tensors, unused, stated = _read(path)
    passport = passports.checked(path, stated, tensors)
    project = torch_names.detect(tensors)
    if project is None:
        raise ValueError(
            f"{path}: its names ({', '.join(sorted(tensors)[:3])} ...) are none of "
            "timm's, torchvision's or lukemelas'"
        )
    return WeightsFile(
        path,
        project,
        tensors,
        functools.partial(torch_names.names, project=project),
        _decode,
        unused=tuple(unused),
        averaged=passport.averaged if passport else None,
        passport=passport,
    )


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
    metadata = {"format": "pt", "passport": passport.dumps()}
    contiguous = {name: np.ascontiguousarray(v) for name, v in tensors.items()}
    numpy.save_file(contiguous | counters, path, metadata=metadata)


def _read(path: str) -> tuple[dict[str, np.ndarray], list[str], str | None]:
    """Reads a `.safetensors`, `.pth`, `.pt` or `.bin` file.

    Returns:
        The weights by name, the names that no model uses, and the passport's JSON, if
        the file has one.

    Raises:
        ValueError: if the library to read the file is missing, or the file is damaged.
    """
    is_pickle = not path.endswith(".safetensors")
    tensors, stated = (_pickle(path), None) if is_pickle else _safetensors(path)
    tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    unused = [name for name in tensors if name.endswith("num_batches_tracked")]
    for name in unused:
        del tensors[name]
    return tensors, unused, stated


def _safetensors(path: str) -> tuple[dict[str, np.ndarray], str | None]:
    try:
        import safetensors
    except ImportError:
        raise ValueError(
            f"{path}: needs safetensors to read; pip install safetensors"
        ) from None
    try:
        with safetensors.safe_open(path, framework="np") as file:
            stated = (file.metadata() or {}).get("passport")
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, stated
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: is no safetensors file ({error})") from None


def _pickle(path: str) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"{path}: needs PyTorch to read; pip install torch, or take the same "
            "weights as .safetensors"
        ) from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickles of anything raise anything
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{path}: PyTorch cannot read it as weights ({first_line})"
        ) from None
    for key in ("state_dict_ema", "state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(map(torch.is_tensor, content.values())):
        raise ValueError(f"{path}: is no dictionary of tensors by name")
    return {name: value.float().numpy() for name, value in content.items()}


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
