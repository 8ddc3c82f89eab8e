"""Damages weights files of one small model, in every format, and loads them."""

import os
import pathlib
import shutil
from collections.abc import Iterator

import damaged_files
import h5py
import keras
import numpy as np
import torch_saving
import tries

import efficientnet_tf as en
from efficientnet_tf.weights import checksums, model_layout, reading, weights_file

DATA = ".data-00000-of-00001"
# Of each format: the file to load, the file to damage, and whether something checks its
# values.
FORMATS = {
    "own": ("own/w.weights.h5", "", True),
    "keras-h5": ("keras-h5/w.h5", "", True),
    "keras-weights-h5": ("keras-weights-h5/w.weights.h5", "", True),
    "keras": ("keras/w.keras", "", True),
    "timm": ("timm/w.safetensors", "", True),
    "tf1 index": ("tf1/model.ckpt", ".index", True),
    "tf1 data": ("tf1/model.ckpt", DATA, True),
    "pth": ("pth/w.pth", "", True),
    "old pth": ("old/w.pth", "", False),
    "foreign h5": ("foreign/w.h5", "", False),
}
_SAVED = {  # files that `save_weights` writes, and the name of their format there
    "own/w.weights.h5": "efficientnet_tf",
    "keras-h5/w.h5": "keras",
    "keras-weights-h5/w.weights.h5": "keras",
    "timm/w.safetensors": "timm",
    "tf1/model.ckpt": "tf1",
}


def tries_of_all(folder: str, *, seed: int, count: int) -> Iterator[tries.Try]:
    """Loads damaged files of every format.

    Args:
        folder: an empty folder.
        seed: int, decides every damage.
        count: int, damaged files of each format.
    """
    model = write(folder, seed=seed)
    for name in FORMATS:
        yield from tries_of(folder, model, name, seed=seed, count=count)


def write(folder: str, *, seed: int) -> keras.Model:
    """Writes the random weights of a small model in every format; returns the model.

    Args:
        folder: path of a folder.
        seed: int, of the weights.
    """
    model = en.EfficientNet("efficientnet-test", input_shape=(32, 32, 3), classes=10)
    draw = np.random.default_rng(seed).uniform  # no two tensors are alike
    model.set_weights([draw(0.5, 1.5, value.shape) for value in model.get_weights()])
    for name, format in _SAVED.items():
        en.save_weights(model, f"{folder}/{name}", format=format)
    for name in ("keras", "pth", "old", "foreign"):
        os.makedirs(f"{folder}/{name}")
    model.save(f"{folder}/keras/w.keras")
    tensors = reading.read_weights(f"{folder}/timm/w.safetensors", None).tensors
    state = torch_saving.tensors(tensors)
    torch_saving.save(pathlib.Path(folder, "pth/w.pth"), state)
    torch_saving.save(pathlib.Path(folder, "old/w.pth"), state, format="old")
    shutil.copy(f"{folder}/keras-h5/w.h5", f"{folder}/foreign/w.h5")
    with h5py.File(f"{folder}/foreign/w.h5", "a") as file:
        del file.attrs["passport"], file.attrs[checksums.PASSPORT]
    return model


def tries_of(
    folder: str, model: keras.Model, name: str, *, seed: int, count: int
) -> Iterator[tries.Try]:
    """Damages the file of one format in its place, loads it, and puts it back.

    Args:
        folder: a folder that `write` filled.
        model: the model whose weights they are; it keeps them.
        name: one of `FORMATS`.
        seed: int, decides every damage.
        count: int, damaged files.
    """
    file, part, is_checked = FORMATS[name]
    path = f"{folder}/{file}"
    content = pathlib.Path(path + part).read_bytes()
    whole = reading.read_weights(path, None).tensors
    for damage in damaged_files.damages(content, seed=seed, count=count):
        pathlib.Path(path + part).write_bytes(damage.content)
        outcome = _outcome(path, model, whole, is_checked=is_checked)
        yield tries.Try(f"weights: {name}", f"{damage.kind}: {damage.words}", outcome)
    pathlib.Path(path + part).write_bytes(content)


def _outcome(
    path: str, model: keras.Model, whole: dict[str, np.ndarray], *, is_checked: bool
) -> str:
    """Loads a damaged file and compares it with what it held."""
    unchecked = []

    def read() -> bool:
        found = reading.read_weights(path, None)
        if tries.are_same(found.tensors, whole):
            return True
        if not (is_checked or found.checked):
            unchecked.append(path)
        if _shapes(found.tensors) == _shapes(whole):
            return False
        return _are_loaded(found, model)

    outcome = damaged_files.outcome(read, path)
    return tries.UNCHECKED if outcome == "other values" and unchecked else outcome


def _are_loaded(found: weights_file.WeightsFile, model: keras.Model) -> bool:
    """Whether loading a file gives a model the weights that it has."""
    before, expected = model.get_weights(), model_layout.values(model)
    model.set_weights([np.zeros_like(value) for value in before])
    try:
        found.assign(model)
        return tries.are_same(model_layout.values(model), expected)
    finally:
        model.set_weights(before)


def _shapes(tensors: dict[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in tensors.items()}
