"""Writes a model's weights in this package's format and in other projects' formats."""

import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import keras

from efficientnet_tf import disk, suffixes
from efficientnet_tf.weights import conventions, keras_files, model_layout, torch_files
from efficientnet_tf.weights import passport as passports


def save_weights(model: keras.Model, path: str, *, format: str | None = None) -> None:
    """Writes a model's weights; replaces an older file only after all is written.

    Args:
        model: a model that `EfficientNet` built, perhaps with layers of your own
            behind it, which the formats efficientnet_tf and keras hold too.
        path: path of the file, or the prefix of a TF1 checkpoint.
        format: "efficientnet_tf" (`.weights.h5` with a passport, which Keras's own
            `load_weights` reads too), "keras" (keras.applications' names; `.h5` or
            `.weights.h5`), "timm" (`.safetensors`) or "tf1". None takes the format of
            the suffix: `.weights.h5`, `.h5`, `.safetensors`, or no suffix for TF1.

    Raises:
        ValueError: if the format cannot hold the network, the suffix is wrong, or the
            disk refuses the file.
    """
    path = os.fspath(path)
    format = format or _format_of(path)
    check_target(path, format)
    _check_conventions(model, format)
    layout = model_layout.layout(model)
    if layout.others and format in ("timm", "tf1"):
        raise ValueError(
            f"{path}: format={format!r} has no name for layer "
            f"{layout.others[0].layer!r}; use format efficientnet_tf or keras"
        )
    with disk.writing(path):
        _write(path, lambda target: WRITERS[format](target, model, layout))


def _write(path: str, write: Callable[[str], None]) -> None:
    """Has all of a file or checkpoint written beside its place, then moved there."""
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    partial = tempfile.mkdtemp(prefix=".partial-", dir=folder)
    try:
        name = os.path.basename(path)
        # Keras writes only under names in small letters.
        plain = name.lower()
        write(os.path.join(partial, plain))
        # A TF1 checkpoint's index is moved last: without it there is no checkpoint.
        for part in sorted(os.listdir(partial), key=lambda n: n.endswith(".index")):
            os.chmod(os.path.join(partial, part), 0o666 & ~_umask())
            target = os.path.join(folder, name + part.removeprefix(plain))
            os.replace(os.path.join(partial, part), target)
    finally:
        shutil.rmtree(partial)


def _check_conventions(model: keras.Model, format: str) -> None:
    """Raises ValueError if the format cannot state the network's own conventions."""
    passport = passports.of(model)
    variant = passport.variant
    if variant is None or format not in ("keras", "tf1"):
        return
    if format == "tf1" and passport.include_preprocessing is False:
        raise ValueError(
            "format='tf1' cannot store include_preprocessing=False; use format "
            "efficientnet_tf or timm"
        )
    pixels = format == "keras" and variant.name in keras_files.WITH_STATISTICS
    for field in conventions.untold(variant, pixels=pixels):
        raise ValueError(
            f"format={format!r} cannot store {field}={getattr(variant, field)} of "
            f"this {variant.name}; use format efficientnet_tf or timm"
        )


def _umask() -> int:
    """Returns the process's umask, which can only be read by setting it."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _write_tf1(*args: Any) -> None:
    # Imported only for a TF1 checkpoint: models on other backends need no TensorFlow.
    from efficientnet_tf.weights import tf1

    tf1.write_file(*args)


WRITERS: dict[str, Callable[..., None]] = {
    "efficientnet_tf": keras_files.write_own,
    "keras": keras_files.write_file,
    "timm": torch_files.write_file,
    "tf1": _write_tf1,
}


def _format_of(path: str) -> str:
    for format, suffix in suffixes.WRITTEN.items():
        if format != "tf1" and suffixes.has(path, suffix):
            return format
    if suffixes.has(path, suffixes.KERAS + suffixes.TORCH):
        raise ValueError(
            f"{path}: weights are written to .weights.h5, .h5, .safetensors or, "
            "without a suffix, TF1 checkpoints; model.save writes .keras"
        )
    return "tf1"


def check_target(path: str, format: str) -> None:
    """Checks the path and format that weights are to be written to.

    Args:
        path: path of the file, or the prefix of a TF1 checkpoint.
        format: one of `WRITERS`.

    Raises:
        ValueError: if the suffix is not the format's, or a TF1 checkpoint exists there.
    """
    if format not in WRITERS:
        raise ValueError(f"format={format!r}: allowed are {', '.join(WRITERS)}")
    if format == "tf1" and os.path.exists(f"{path}.index"):
        raise ValueError(
            f"{path}: is a checkpoint already; its two files cannot be replaced in one "
            "step, so choose another name"
        )
    suffix = suffixes.WRITTEN[format]
    if format != "tf1" and not suffixes.has(path, suffix):
        raise ValueError(f"{path}: a {format} file ends in {suffix}")
