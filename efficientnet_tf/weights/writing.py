"""A model's weights in this package's format and in other projects'."""

import dataclasses
import os
import shutil
import tempfile

import keras

from efficientnet_tf.weights import conventions, keras_files
from efficientnet_tf.weights import layout as layouts
from efficientnet_tf.weights import passport as passports
from efficientnet_tf.weights.reading import KERAS_SUFFIXES, TORCH_SUFFIXES


def save_weights(model: keras.Model, path: str, *, format: str | None = None) -> None:
    """Writes a model's weights; a file that is there is replaced, once all is written.

    Args:
        model: built by `EfficientNet`.
        path: of the file, or the prefix of a TF1 checkpoint.
        format: "efficientnet_tf" (`.weights.h5` with a passport, which Keras's own
            `load_weights` reads too), "keras" (keras.applications' names; `.h5` or
            `.weights.h5`), "timm" (`.safetensors`) or "tf1". None goes by
            the suffix: `.weights.h5`, `.h5`, `.safetensors`, or none for TF1.

    Raises:
        ValueError: if the format has no such network, or the path the wrong suffix.
    """
    path = os.fspath(path)
    format = format or _format_of(path)
    check_target(path, format)
    _check_conventions(model, format)
    layout = layouts.layout(model)
    values = layouts.values(model)
    stated = passports.of(model)
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    partial = tempfile.mkdtemp(prefix=".partial-", dir=folder)
    try:
        written = os.path.join(partial, os.path.basename(path))
        _WRITERS[format](written, model, layout, values, stated)
        # The index of a TF1 checkpoint goes last: without it there is no checkpoint.
        for name in sorted(os.listdir(partial), key=lambda n: n.endswith(".index")):
            os.chmod(os.path.join(partial, name), 0o666 & ~_umask())
            os.replace(os.path.join(partial, name), os.path.join(folder, name))
    finally:
        shutil.rmtree(partial)


def _check_conventions(model, format: str):
    """Raises ValueError where a file of weights alone would mean another network."""
    variant = passports.of(model).variant
    if variant is None or format not in ("keras", "tf1"):
        return
    pixels = format == "keras" and variant.name in keras_files.WITH_STATISTICS
    for field in conventions.untold(variant, pixels=pixels):
        raise ValueError(
            f"format={format!r} cannot tell {field}={getattr(variant, field)}, with "
            f"which {variant.name} was built; efficientnet_tf and timm files can"
        )


def _umask() -> int:
    """The process's; there is no way to read it but to set it."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _write_own(path, model, layout, values, stated):
    import h5py

    stated = dataclasses.replace(stated, sha256=passports.digest(values))
    model.save_weights(path)
    with h5py.File(path, "a") as file:
        file.attrs["passport"] = stated.dumps()


def _write_timm(path, model, layout, values, stated):
    from efficientnet_tf.weights import torch_files

    is_resnet = any("reduce_conv" in block.roles for block in layout.blocks)
    names = torch_files.names(layout, "torch_resnet" if is_resnet else "timm")
    tensors = {
        names[t.path]: torch_files.encode(t, values[t.path]) for t in layout.tensors
    }
    stated = dataclasses.replace(stated, sha256=passports.digest(tensors))
    torch_files.write(path, tensors, passport=stated.dumps())


def _write_tf1(path, model, layout, values, stated):
    from efficientnet_tf.weights import tf1

    names = tf1.names(layout)
    scope = stated.variant.name if stated.variant else model.name
    tensors = {names[t.path]: tf1.encode(t, values[t.path]) for t in layout.tensors}
    tf1.write(path, tensors, scope=scope)


_WRITERS = {
    "efficientnet_tf": _write_own,
    "keras": keras_files.write,
    "timm": _write_timm,
    "tf1": _write_tf1,
}
FORMATS = tuple(_WRITERS)
_SUFFIXES = {
    "efficientnet_tf": (".weights.h5",),
    "keras": (".h5",),
    "timm": (".safetensors",),
}


def _format_of(path: str) -> str:
    for format, suffixes in _SUFFIXES.items():
        if path.endswith(suffixes):
            return format
    if path.endswith(KERAS_SUFFIXES + TORCH_SUFFIXES):
        raise ValueError(
            f"{path}: weights are written to .weights.h5, .h5, .safetensors or, "
            "without a suffix, TF1 checkpoints; model.save writes .keras"
        )
    return "tf1"


def check_target(path: str, format: str) -> None:
    """Checks where weights are to be written, before there are any.

    Raises:
        ValueError: if the suffix is not the format's, or a TF1 checkpoint is there.
    """
    if format not in FORMATS:
        raise ValueError(f"format={format!r}: allowed are {', '.join(FORMATS)}")
    suffixes = _SUFFIXES.get(format)
    if format == "tf1" and os.path.exists(f"{path}.index"):
        raise ValueError(
            f"{path}: is a checkpoint already; its two files cannot be replaced in one "
            "step, so choose another name"
        )
    if suffixes and not path.endswith(suffixes):
        raise ValueError(f"{path}: a {format} file ends in {' or '.join(suffixes)}")
