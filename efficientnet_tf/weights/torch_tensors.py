"""The values of tensors in PyTorch's files, as float32."""

import math
from collections.abc import Mapping

import numpy as np

from efficientnet_tf.weights import torch_archive, torch_pickle
from efficientnet_tf.weights.words import shown

_MOST_AXES = 32


def values(
    archive: torch_archive.Archive, tensors: Mapping[str, torch_pickle.Tensor]
) -> dict[str, np.ndarray]:
    """Reads tensors of an open file; each storage is read once.

    Args:
        archive: the open file.
        tensors: the tensors to read, by name.

    Returns:
        float32 arrays by name, read-only; those of one storage share its memory.

    Raises:
        ValueError: naming the tensor that is not a part of its storage.
    """
    storages: dict[tuple[str, str], np.ndarray] = {}
    found = {}
    for name, tensor in tensors.items():
        try:
            found[name] = _value(archive, tensor, storages)
        except ValueError as error:
            raise ValueError(f"{shown(name)}: {error}") from None
    return found


def _value(
    archive: torch_archive.Archive,
    tensor: torch_pickle.Tensor,
    storages: dict[tuple[str, str], np.ndarray],
) -> np.ndarray:
    _check_numbers(tensor)
    key = (tensor.storage.key, tensor.dtype)
    if key not in storages:
        content = archive.read(tensor.storage)
        storages[key] = _floats(content, tensor.dtype, archive.byte_order)
    flat = storages[key]
    _check_bounds(tensor, len(flat), most=archive.size)
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, np.float32)
    # An axis of length 1 is never stepped along, so its stride may be any number.
    steps = [
        flat.itemsize * stride if length > 1 else 0
        for length, stride in zip(tensor.shape, tensor.strides, strict=True)
    ]
    return np.lib.stride_tricks.as_strided(
        flat[tensor.offset :], tensor.shape, steps, writeable=False
    )


def _check_numbers(tensor: torch_pickle.Tensor) -> None:
    """Raises ValueError unless offset, shape and strides are whole numbers from 0."""
    shape, strides = tensor.shape, tensor.strides
    if not (isinstance(shape, tuple) and isinstance(strides, tuple)):
        raise ValueError("its shape and its strides are no tuples")
    if len(shape) != len(strides) or len(shape) > _MOST_AXES:
        raise ValueError(f"has {len(shape)} axes and {len(strides)} strides")
    for number in (tensor.offset, *shape, *strides):
        if type(number) is not int or number < 0:
            raise ValueError(f"has {shown(number)} in its offset, shape or strides")


def _check_bounds(tensor: torch_pickle.Tensor, count: int, *, most: int) -> None:
    """Raises ValueError unless every element is one of the storage's `count` values.

    A stride of 0 repeats a value; `most` elements bounds what that can come to.
    """
    shape, strides = tensor.shape, tensor.strides
    elements = math.prod(shape)
    pairs = zip(shape, strides, strict=True)
    last = tensor.offset + sum((length - 1) * stride for length, stride in pairs)
    if max(shape, default=1) > most or elements > most or (elements and last >= count):
        raise ValueError(
            f"needs {_words(max(elements, last + 1))} values, its storage has {count:,}"
        )


def _words(number: int) -> str:
    return f"{number:,}" if number < 1e18 else "too many"


def _floats(content: bytes, dtype: str, byte_order: str) -> np.ndarray:
    """Converts a storage's bytes to float32."""
    kind = np.dtype(byte_order + torch_pickle.DTYPES[dtype])
    numbers = np.frombuffer(content, kind, len(content) // kind.itemsize)
    if dtype == "bool":
        numbers = numbers != 0
    if dtype == "bfloat16":
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # beyond float32 is infinite, as in PyTorch
        return numbers.astype(np.float32, copy=False)
