"""Reads weights from a file or a release; suffix and contents decide the format."""

import dataclasses
import glob
import importlib
import os

from efficientnet_tf import files, suffixes, variants
from efficientnet_tf.weights import foreign_files, neighbours, releases
from efficientnet_tf.weights.format import Format
from efficientnet_tf.weights.weights_file import WeightsFile

# Imported by name when needed: tf1 imports TensorFlow, which models on other Keras
# backends do without.
_FORMATS = ("torch_files", "keras_files", "tf1")
_SUFFIXES = suffixes.KERAS + suffixes.TORCH


def read_weights(
    source: str, variant: variants.Variant | None, *, ema: bool = True
) -> WeightsFile:
    """Reads a file, or fetches a release and reads it.

    Args:
        source: path of a file, or name of a release; "./imagenet" is always a path.
        variant: the network whose release to fetch; None allows files only.
        ema: True takes moving averages, False raw weights, if the file has both.

    Raises:
        ValueError: if there is no such file or release, or it cannot be read.
    """
    source = os.fspath(source)
    is_release = variant and source in releases.list_releases(variant.name)
    if not is_release and _looks_like_path(source):
        return _open(source, ema=ema)
    if variant is None:
        raise ValueError(
            f"weights={source}: no such file; to load a release, give the model's name "
            "too"
        )
    weights_file = _open(releases.fetch(releases.find(variant.name, source)), ema=ema)
    return dataclasses.replace(
        weights_file,
        release=f"{variant.name} {source}",
        checked="published digest",  # by `releases.fetch`
    )


def _looks_like_path(source: str) -> bool:
    return (
        os.path.exists(source)
        or os.path.exists(f"{source}.index")
        or os.sep in source
        or suffixes.has(source, _SUFFIXES)
    )


def _open(path: str, *, ema: bool) -> WeightsFile:
    try:
        for name in _FORMATS:
            module: Format = importlib.import_module(f"efficientnet_tf.weights.{name}")
            if module.recognises(path):
                return _with_neighbours(module.open_file(path, ema=ema))
        words = _found(path)
    except (OSError, UnicodeError) as error:
        raise ValueError(f"{path}: cannot be read ({files.reason(error)})") from None
    except MemoryError:
        raise ValueError(f"{path}: needs more memory than is free") from None
    raise ValueError(f"weights={path}: {words}")


def _with_neighbours(found: WeightsFile) -> WeightsFile:
    """Adds what is said beside a file, unless its passport says everything."""
    if found.passport and found.passport.variant:
        return found
    beside = neighbours.find(found.source, found.project)
    return dataclasses.replace(found, beside=beside)


def _found(path: str) -> str:
    """Says what a path is that no format recognises."""
    known = f"; known are {', '.join(_SUFFIXES)} and TF1 checkpoints (prefix or folder)"
    if glob.glob(f"{glob.escape(path)}.data-*"):
        return f"its file {os.path.basename(path)}.index is missing"
    if not os.path.exists(path):
        return f"does not exist{known}"
    if os.path.isdir(path):
        names = [n for n in sorted(os.listdir(path)) if suffixes.has(n, _SUFFIXES)]
        hint = f"; {names[0]} in it may be meant" if names else known
        return f"is a folder without a TF1 checkpoint{hint}"
    kind = (
        foreign_files.kind(path) if os.path.isfile(path) else "no file with a content"
    )
    return f"is {kind}" if kind else f"is no weights file{known}"
