"""TF1 checkpoints: tensorflow/tpu efficientnet and google/automl efficientnetv2.

The names come from TF1's variable scopes in efficientnet_model.py: in each block, the
convolutions and the batch normalisations are numbered in the order of their creation.
"""

import glob
import os
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf.weights import (
    foreign_files,
    model_layout,
    tf1_index,
    wrapped_names,
)
from efficientnet_tf.weights import passport as passports
from efficientnet_tf.weights.weights_file import WeightsFile

_AVERAGE = "/ExponentialMovingAverage"
_STEM = "stem/conv2d/kernel"  # a name that every network has; its scope stands before
# Variables of optimizers and of the training loop, which are no weights.
_TRAINING = re.compile(
    r".*/(RMSProp(_1)?|Momentum|Adam(_1)?|LARSOptimizer)$"
    r"|.*(biased|local_step)$|(.*/)?(global_step|beta[12]_power)$"
)


def recognises(path: str) -> bool:
    """Whether a path is a checkpoint or a folder with a checkpoint; see `Format`."""
    return _find(path) is not None


def open_file(path: str, *, ema: bool = True) -> WeightsFile:
    """Reads a whole checkpoint; see `Format`."""
    tensors, unused, network = _read(_find(path) or path, ema=ema)
    # The last scope is the model's own; more of them are a wrapper's.
    outer, _, scope = network.prefix.rstrip("/").rpartition("/")
    return WeightsFile(
        path,
        "tf1",
        tensors,
        _names,
        _decode,
        unused=tuple(unused),
        averaged=ema,
        network=scope,
        notes=network.notes if outer else (),
        checked="CRC-32C",  # of each tensor, by TensorFlow
    )


def write_file(path: str, model: keras.Model, layout: model_layout.Layout) -> None:
    """Writes a checkpoint, with each weight also as its average; see `Format`."""
    theirs = _names(layout)
    values = model_layout.values(model)
    encoded = {theirs[t.path]: _encode(t, values[t.path]) for t in layout.tensors}
    variant = passports.of(model).variant
    scope = variant.name if variant else model.name
    tensors = {"global_step": np.int64(0)}
    for name, value in _by_model(encoded).items():
        tensors[f"{scope}/{name}"] = value
        tensors[f"{scope}/{name}{_AVERAGE}"] = value
    tf.raw_ops.SaveV2(
        prefix=path,
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )


def _find(path: str) -> str | None:
    """Finds the prefix of a checkpoint: the path itself, or the folder's newest one."""
    if os.path.exists(f"{path}.index"):
        return path
    if not os.path.isdir(path):
        return None
    # This package writes checkpoints without the file that names the newest one.
    only = [name for name in os.listdir(path) if name.endswith(".index")]
    if len(only) == 1:
        return os.path.join(path, only[0].removesuffix(".index"))
    try:
        return tf.train.latest_checkpoint(path)
    except UnicodeDecodeError:
        raise ValueError(
            f"{path}: its file `checkpoint` is damaged; name a checkpoint's prefix"
        ) from None


def _read(
    path: str, *, ema: bool
) -> tuple[dict[str, np.ndarray], list[str], wrapped_names.Network]:
    """Returns a checkpoint's weights by name, its other names, and its network.

    The weights' names do not include the model's scope.
    """
    try:
        tf1_index.check(path)
        reader = tf.train.load_checkpoint(path)
    except (tf.errors.OpError, RuntimeError, IndexError, ValueError) as error:
        raise ValueError(f"{path}: {_damage(path, error)}") from None
    try:
        return _take(reader, ema=ema)
    except (tf.errors.OpError, RuntimeError, IndexError) as error:
        raise ValueError(f"{path}: {_damage(path, error)}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _damage(path: str, error: Exception) -> str:
    """Says why a checkpoint cannot be read: what one of its files is, or the error."""
    parts = sorted(glob.glob(f"{glob.escape(path)}.data-*"))
    for part in (*parts, f"{path}.index"):
        kind = foreign_files.kind(part)
        if kind and "part of" not in kind:
            return f"its file {os.path.basename(part)} is {kind}"
    first_line = "".join(str(error).splitlines()[:1])
    if isinstance(error, ValueError):
        return first_line
    return f"TensorFlow cannot read the checkpoint ({first_line})"


def _take(
    reader: Any, *, ema: bool
) -> tuple[dict[str, np.ndarray], list[str], wrapped_names.Network]:
    names = sorted(reader.get_variable_to_shape_map())
    averages = [name for name in names if name.endswith(_AVERAGE)]
    raw = [n for n in names if not (n.endswith(_AVERAGE) or _TRAINING.match(n))]
    if ema and not averages:
        raise ValueError(
            "holds no moving averages; ema=False (--weights_ema=false) takes the raw "
            "weights"
        )
    chosen = {n.removesuffix(_AVERAGE): n for n in (averages if ema else raw)}
    network = wrapped_names.find_only(chosen, (_STEM,), separator="/")
    tensors = {}
    for name, short in _by_block(network.short).items():
        # Inference graphs have the name batch_normalization.
        short = short.replace("/batch_normalization", "/tpu_batch_normalization")
        tensors[short] = reader.get_tensor(chosen[name])
    return tensors, sorted(set(names) - set(chosen.values())), network


def _names(model: model_layout.Layout) -> dict[str, str]:
    """Returns the checkpoint's name for each path, without the model's scope.

    CondConvs are numbered within each block.
    """
    scopes = {
        "stem_conv": "stem/conv2d",
        "stem_bn": "stem/tpu_batch_normalization",
        "top_conv": "head/conv2d",
        "top_bn": "head/tpu_batch_normalization",
        "predictions": "head/dense",
    }
    kinds = {tensor.layer: tensor.kind for tensor in model.tensors}
    for block in model.blocks:
        made: list[str] = []
        for role in block.roles:
            layer = block.layer(role)
            base = _base(role, kinds[layer])
            number = made.count(base)
            made.append(base)
            scopes[layer] = f"blocks_{block.index}/{_numbered(base, number)}"
    return {
        tensor.path: f"{scopes[tensor.layer]}/{_variable(tensor)}"
        for tensor in model.tensors
    }


def _base(role: str, last_kind: str) -> str:
    """Returns TF1's name for a layer, without its number."""
    conditional = last_kind.startswith("experts")
    if role.endswith("bn"):
        return "tpu_batch_normalization"
    if role.startswith("se_"):
        return "se/conv2d"
    if role == "routing":
        return "dense"
    if role == "dwconv":
        return "depthwise_cond_conv2d" if conditional else "depthwise_conv2d"
    return "cond_conv2d" if conditional else "conv2d"


def _variable(tensor: model_layout.Tensor) -> str:
    return {
        "depthwise": "depthwise_kernel",
        "experts_conv": "condconv_kernel",
        "experts_depthwise": "depthwise_condconv_kernel",
    }.get(tensor.kind, tensor.variable)


def _numbered(base: str, number: int) -> str:
    return f"{base}_{number}" if number else base


# Keras layers are also in the scopes of the Keras models and layers that call them:
# MODEL/model/blocks_10/cond_conv2d_7/condconv_kernel.
_COND_CONV = re.compile(
    r"(?:.*/)?blocks_(\d+)/(?:.*/)?((?:depthwise_)?cond_conv2d)(?:_(\d+))?/([^/]+)"
)


def _by_block(names: Mapping[str, str]) -> dict[str, str]:
    """Numbers CondConvs within each block, as all other layers are.

    They are Keras layers, which TF1 numbers through all models of the process.

    Args:
        names: names without the model's scope, by the checkpoint's.
    """
    matches = {name: _COND_CONV.fullmatch(short) for name, short in names.items()}
    found: dict[tuple[str, str, str], dict[int, str]] = {}
    for name, match in matches.items():
        if match:
            block, base, number, variable = match.groups()
            numbers = found.setdefault((block, base, variable), {})
            other = numbers.setdefault(int(number or 0), name)
            if other != name:
                raise ValueError(f"holds one layer as {other} and as {name}")
    numbered = dict(names)
    for (block, base, variable), numbers in found.items():
        for rank, number in enumerate(sorted(numbers)):
            short = f"blocks_{block}/{_numbered(base, rank)}/{variable}"
            numbered[numbers[number]] = short
    return numbered


def _by_model(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Numbers CondConvs as TF1 does in a process that builds only this model.

    Each block makes three CondConvs (fused, expand, project) and uses the last two.
    """
    blocks = sorted(
        {int(match[1]) for name in tensors if (match := _COND_CONV.fullmatch(name))}
    )

    def renumber(match: re.Match[str]) -> str:
        block, base, number, variable = match.groups()
        rank = blocks.index(int(block))
        if base == "cond_conv2d":
            rank = 3 * rank + 1 + int(number or 0)
        return f"model/blocks_{block}/{_numbered(base, rank)}/{variable}"

    return {_COND_CONV.sub(renumber, name): array for name, array in tensors.items()}


def _encode(tensor: model_layout.Tensor, value: np.ndarray) -> np.ndarray:
    """Converts a value of this package to the checkpoint's axes."""
    if tensor.kind.startswith("experts"):
        return value.reshape(value.shape[0], -1)
    return value


def _decode(tensor: model_layout.Tensor, value: np.ndarray) -> np.ndarray:
    """Converts a value to this package's axes; one of another size stays as it is."""
    kernel = tensor.shape[1:]
    if tensor.kind.startswith("experts") and value.shape[1:] == (np.prod(kernel),):
        return value.reshape(len(value), *kernel)
    return value
