"""Files and releases of weights, told apart by suffix and by the names they hold."""

import dataclasses
import functools
import os

from efficientnet_tf import variants
from efficientnet_tf.weights import passport as passports
from efficientnet_tf.weights import releases
from efficientnet_tf.weights.checkpoint import Checkpoint

TORCH_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")


def open_source(
    source: str, variant: variants.Variant | None, *, ema: bool = True
) -> Checkpoint:
    """Reads a file, or fetches a release and reads it.

    Args:
        source: path or release name; "./imagenet" is a path in any case.
        variant: whose release it is; None knows no releases.
        ema: of a TF1 checkpoint, whether to take the moving averages.

    Raises:
        ValueError: if there is no such file or release, or it cannot be read.
    """
    source = os.fspath(source)
    is_release = variant and source in releases.list_releases(variant.name)
    if not is_release and _looks_like_path(source):
        return _open(source, ema=ema)
    if variant is None:
        raise ValueError(
            f"weights={source}: no such file; a release takes the model's name too"
        )
    checkpoint = _open(releases.fetch(releases.find(variant.name, source)), ema=ema)
    return dataclasses.replace(checkpoint, release=f"{variant.name} {source}")


def _looks_like_path(source: str) -> bool:
    return (
        os.path.exists(source)
        or os.path.exists(f"{source}.index")
        or os.sep in source
        or source.endswith(TORCH_SUFFIXES + KERAS_SUFFIXES)
    )


def _open(path: str, *, ema: bool) -> Checkpoint:
    if path.endswith(TORCH_SUFFIXES) and os.path.isfile(path):
        return _open_torch(path)
    if path.endswith(KERAS_SUFFIXES) and os.path.isfile(path):
        return _open_keras(path)
    # TensorFlow only where a TF1 checkpoint is read: models run on any backend.
    from efficientnet_tf.weights import tf1

    prefix = tf1.find(path)
    if prefix is None:
        found = "is no weights file" if os.path.exists(path) else "does not exist"
        raise ValueError(
            f"weights={path}: {found}; known are {', '.join(KERAS_SUFFIXES)}, "
            f"{', '.join(TORCH_SUFFIXES)} and TF1 checkpoints (prefix or folder)"
        )
    tensors, unused, scope = tf1.read(prefix, ema=ema)
    return Checkpoint(
        path,
        "tf1",
        tensors,
        tf1.names,
        tf1.decode,
        unused=tuple(unused),
        averaged=ema,
        network=scope,
    )


def _open_torch(path: str) -> Checkpoint:
    from efficientnet_tf.weights import torch_files

    tensors, unused, stated = torch_files.read(path)
    passport = _passport(path, stated)
    _check_digest(path, passport, tensors)
    project = torch_files.detect(tensors)
    if project is None:
        raise ValueError(
            f"{path}: its names ({', '.join(sorted(tensors)[:3])} ...) are none of "
            "timm's, torchvision's or lukemelas'"
        )
    return Checkpoint(
        path,
        project,
        tensors,
        functools.partial(torch_files.names, project=project),
        torch_files.decode,
        unused=tuple(unused),
        averaged=passport.averaged if passport else None,
        passport=passport,
    )


def _passport(path: str, stated: str | None) -> passports.Passport | None:
    try:
        return passports.loads(stated) if stated else None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _check_digest(path: str, passport: passports.Passport | None, tensors) -> None:
    if passport and passport.sha256 != passports.digest(tensors):
        raise ValueError(
            f"{path}: its weights are not those its passport's SHA-256 is of: the "
            "file is damaged or was changed"
        )


def _open_keras(path: str) -> Checkpoint:
    from efficientnet_tf.weights import keras_files

    tensors, stated = keras_files.read(path)
    family = keras_files.detect(tensors)
    passport = _passport(path, stated)
    _check_digest(path, passport, tensors)
    return Checkpoint(
        path,
        family,
        tensors,
        functools.partial(keras_files.names, family=family, known=frozenset(tensors)),
        functools.partial(keras_files.decode, family=family),
        fold=keras_files.fold_biases,
        averaged=passport.averaged if passport else None,
        passport=passport,
    )
