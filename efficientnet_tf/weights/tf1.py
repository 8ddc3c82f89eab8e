"""TF1 checkpoints: tensorflow/tpu efficientnet and google/automl efficientnetv2.

Names are what TF1's variable scopes made of efficientnet_model.py: in each block the
convolutions and the batch normalisations are numbered in the order of their making.
"""

import os
import re
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from efficientnet_tf.weights import layout

AVERAGE = "/ExponentialMovingAverage"
# What optimizers and the training loop leave beside the weights.
_TRAINING = re.compile(
    r".*/(RMSProp(_1)?|Momentum|Adam(_1)?|LARSOptimizer)$"
    r"|.*(biased|local_step)$|(.*/)?(global_step|beta[12]_power)$"
)


def find(path: str) -> str | None:
    """The checkpoint a path names: its prefix, or a folder's only or newest one."""
    if os.path.exists(f"{path}.index"):
        return path
    if not os.path.isdir(path):
        return None
    # Ours come without the file that says which is the newest.
    only = [name for name in os.listdir(path) if name.endswith(".index")]
    if len(only) == 1:
        return os.path.join(path, only[0].removesuffix(".index"))
    return tf.train.latest_checkpoint(path)


def read(path: str, *, ema: bool) -> tuple[dict[str, np.ndarray], list[str], str]:
    """A checkpoint's weights by name, without the model's own scope.

    Args:
        path: prefix of the checkpoint.
        ema: moving averages; False takes the raw weights.

    Returns:
        The weights, the names of what else is in there, and the scope.

    Raises:
        ValueError: if averages are asked for and there are none, or it is damaged.
    """
    try:
        return _read(tf.train.load_checkpoint(path), path, ema=ema)
    except (tf.errors.OpError, RuntimeError, IndexError) as error:
        first_line = str(error).splitlines()[0]
        raise ValueError(
            f"{path}: TensorFlow cannot read the checkpoint ({first_line})"
        ) from None


def _read(reader, path: str, *, ema: bool) -> tuple[dict, list[str], str]:
    names = sorted(reader.get_variable_to_shape_map())
    averages = [name for name in names if name.endswith(AVERAGE)]
    raw = [n for n in names if not (n.endswith(AVERAGE) or _TRAINING.match(n))]
    if ema and not averages:
        raise ValueError(
            f"{path}: holds no moving averages; ema=False (--weights_ema=false) takes "
            "the raw weights"
        )
    chosen = averages if ema else raw
    scopes = {f"{name.split('/')[0]}/" for name in chosen}
    scope = scopes.pop() if len(scopes) == 1 else ""
    tensors = {}
    for name in chosen:
        short = name.removeprefix(scope).removesuffix(AVERAGE)
        # Graphs made for inference say batch_normalization.
        short = short.replace("/batch_normalization", "/tpu_batch_normalization")
        tensors[short] = reader.get_tensor(name)
    return _by_block(tensors), sorted(set(names) - set(chosen)), scope.rstrip("/")


def write(path: str, tensors: Mapping[str, np.ndarray], *, scope: str) -> None:
    """Writes weights under both their raw and their averages' names.

    Args:
        path: prefix of the checkpoint.
        tensors: weights by name, without the model's scope.
        scope: the model's, "efficientnet-b0".
    """
    values = {"global_step": np.int64(0)}
    for name, value in _by_model(tensors).items():
        values[f"{scope}/{name}"] = value
        values[f"{scope}/{name}{AVERAGE}"] = value
    tf.raw_ops.SaveV2(
        prefix=path,
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=list(values.values()),
    )


def names(model: layout.Layout) -> dict[str, str]:
    """The name of each path, without the model's scope; CondConvs numbered by block."""
    scopes = {
        "stem_conv": "stem/conv2d",
        "stem_bn": "stem/tpu_batch_normalization",
        "top_conv": "head/conv2d",
        "top_bn": "head/tpu_batch_normalization",
        "predictions": "head/dense",
    }
    kinds = {tensor.layer: tensor.kind for tensor in model.tensors}
    for block in model.blocks:
        made = []
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
    """The name TF1 gives a layer before it is numbered."""
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


def _variable(tensor: layout.Tensor) -> str:
    return {
        "depthwise": "depthwise_kernel",
        "experts_conv": "condconv_kernel",
        "experts_depthwise": "depthwise_condconv_kernel",
    }.get(tensor.kind, tensor.variable)


def _numbered(base: str, number: int) -> str:
    return f"{base}_{number}" if number else base


_COND_CONV = re.compile(r"blocks_(\d+)/((?:depthwise_)?cond_conv2d)(?:_(\d+))?/(.*)")


def _by_block(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """With CondConvs numbered in each block, as all other layers are.

    They are Keras's own layers, which TF1 numbers through the whole model, those of
    other models in the process included.
    """
    found: dict[tuple[str, str], list[int]] = {}
    for name in tensors:
        if match := _COND_CONV.fullmatch(name):
            block, base, number, _ = match.groups()
            found.setdefault((block, base), []).append(int(number or 0))

    def renumber(match):
        block, base, number, variable = match.groups()
        rank = sorted(found[block, base]).index(int(number or 0))
        return f"blocks_{block}/{_numbered(base, rank)}/{variable}"

    return {_COND_CONV.sub(renumber, name): array for name, array in tensors.items()}


def _by_model(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse: as a process numbers them that makes this model alone.

    Each block makes three CondConvs (fused, expand, project) and uses the last two.
    """
    blocks = sorted(
        {int(match[1]) for name in tensors if (match := _COND_CONV.fullmatch(name))}
    )

    def renumber(match):
        block, base, number, variable = match.groups()
        rank = blocks.index(int(block))
        if base == "cond_conv2d":
            rank = 3 * rank + 1 + int(number or 0)
        return f"blocks_{block}/{_numbered(base, rank)}/{variable}"

    return {_COND_CONV.sub(renumber, name): array for name, array in tensors.items()}


def encode(tensor: layout.Tensor, value: np.ndarray) -> np.ndarray:
    """Our value as the checkpoint holds it."""
    if tensor.kind.startswith("experts"):
        return value.reshape(value.shape[0], -1)
    return value


def decode(tensor: layout.Tensor, value: np.ndarray) -> np.ndarray:
    """The checkpoint's value as we hold it; one of another size is left as it is."""
    kernel = tensor.shape[1:]
    if tensor.kind.startswith("experts") and value.shape[1:] == (np.prod(kernel),):
        return value.reshape(len(value), *kernel)
    return value
