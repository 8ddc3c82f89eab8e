"""The folder of an exported classifier: its formats, and what is needed to serve it."""

import dataclasses
import importlib
import json
import os
import pathlib
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf import files, label_sets, terminal
from efficientnet_tf.data import image_headers
from efficientnet_tf.export import (
    client,
    export_folder,
    latency,
    litert,
    parity,
    readme,
    saved_model,
)
from efficientnet_tf.export.formats import FORMATS, Format
from efficientnet_tf.export.network import Network
from efficientnet_tf.hardware import freed_memory
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.weights import model_layout
from efficientnet_tf.weights import passport as passports

DEFAULT = (FORMATS["saved_model"],)
# The most photos to calibrate with, to compare on, and to examine layers by.
_CALIBRATION, _COMPARISON, _EXAMINATION = 200, 500, 10
# The most pixels a side to examine layers by: all outputs are held at once, more than
# 16 GB for B7 at 600 pixels.
EXAMINED_SIZE = 224
# The most weights of networks that are measured at once: one of B7, 12 of B0.
_MEASURED_BYTES = 2**28


def save(
    classifier: Classifier,
    export_dir: str,
    *,
    formats: Sequence[Format] = DEFAULT,
    photos: Sequence[str] = (),
    is_gated: bool = True,
    max_pixels: int = image_headers.SERVED_PIXELS,
) -> dict[str, Any]:
    """Writes a classifier in some formats, and compares them with the Keras model.

    Beside the formats' files are labels.txt, which names every output, one a line;
    preparation.json, how images are prepared; README.md with the commands and a client
    for each format; and, if the formats were compared, report.json, with the
    differences, the layers that 8 bits change most, and latencies on one core.

    Args:
        classifier: the model, its preparation and its classes' names.
        export_dir: local folder or gs:// URL, replaced whole, see `export_folder`.
        formats: the formats, from `formats.find`.
        photos: image files. 8-bit formats find the ranges of their activations on up to
            200 of them, bfloat16's weights are rounded by up to 32 of these, and all
            formats are compared on others, up to 500. Without photos only made-up
            images are compared, and a SavedModel alone is not.
        is_gated: whether a format that differs too much is an error; False says so on
            the screen and in report.json.
        max_pixels: int, the most pixels of an image that the SavedModel decodes.

    Returns:
        "export_dir" and "formats", the rows of report.json by format.

    Raises:
        ValueError: if `export_dir` holds anything but an export, a photo cannot be
            read, or a format differs too much; `export_dir` is then as it was.
    """
    export_folder.check_target(export_dir)
    export_dir = export_dir.rstrip("/")
    calibration, comparison = _divided(classifier, photos, formats)
    rows: dict[str, Any] = {}

    def fill(folder: str) -> None:
        _write_formats(classifier, formats, folder, calibration, max_pixels)
        _write_texts(classifier, formats, folder)
        if photos or tuple(formats) != DEFAULT:
            rows.update(parity.compare(classifier, formats, folder, comparison))
            _examine(rows, classifier, calibration[:_EXAMINATION])
            parity.check(rows, is_gated=is_gated)
            _measure(rows, formats, folder, classifier)
            files.write_whole(f"{folder}/report.json", json.dumps(rows, indent=1))

    with freed_memory.passing_graphs():
        export_folder.write(export_dir, fill)
    return {"export_dir": export_dir, "formats": rows}


def _examine(
    rows: dict[str, Any], classifier: Classifier, photos: Sequence[np.ndarray]
) -> None:
    """Adds the layers that 8 bits change most."""
    if "litert_int8" not in rows:
        return
    size = min(classifier.preparation.image_size, EXAMINED_SIZE)
    smaller = tf.image.resize(np.stack(photos), (size, size), "area")
    with terminal.quiet():
        network = Network.smaller(classifier, size)
        freed_memory.give_back()  # the model that it was built from
        found = litert.layer_errors(network, list(np.uint8(smaller.numpy().round())))
    rows["litert_int8"]["layers"] = found


def _measure(
    rows: dict[str, Any],
    formats: Sequence[Format],
    folder: str,
    classifier: Classifier,
) -> None:
    """Adds the latency of one image on one core, where a process can choose it."""
    if not hasattr(os, "sched_setaffinity"):
        return
    at_once = max(1, _MEASURED_BYTES // model_layout.size(classifier.model))
    size = classifier.preparation.image_size
    found = latency.of_export(folder, formats, size, at_once=at_once)
    for name, ms in found.items():
        rows[name]["latency_ms"] = ms


def _write_formats(
    classifier: Classifier,
    formats: Sequence[Format],
    folder: str,
    calibration: Sequence[np.ndarray],
    max_pixels: int,
) -> None:
    """Writes the network, which nothing needs afterwards, in every format."""
    network = Network.of(classifier)
    for one in formats:
        with freed_memory.passing_graphs():  # some have the weights as constants
            if one.module == "saved_model":
                saved_model.write(classifier, network, folder, max_pixels=max_pixels)
            else:
                _write_file(one, network, folder, calibration)
        freed_memory.give_back()


def _write_file(
    one: Format, network: Network, folder: str, calibration: Sequence[np.ndarray]
) -> None:
    module = importlib.import_module(f"efficientnet_tf.export.{one.module}")
    path = f"{folder}/{one.file}"
    with terminal.quiet():
        module.write(network, path, precision=one.precision, photos=calibration)


def _write_texts(
    classifier: Classifier, formats: Sequence[Format], folder: str
) -> None:
    """Writes what a server or a client needs beside the network."""
    passport = passports.of(classifier.model)
    preparation = dataclasses.asdict(classifier.preparation) | {
        "input": "RGB, [batch, image_size, image_size, 3], [0, 255]",
        "model": passport.variant.name if passport.variant else classifier.model.name,
        "label_offset": classifier.label_offset,
        "multi_label": classifier.multi_label,
    }
    texts = {
        label_sets.FILE: label_sets.dumps(classifier.class_names),
        export_folder.PREPARATION: json.dumps(preparation, indent=1),
        "README.md": readme.text(classifier, formats),
        "client.py": pathlib.Path(client.__file__).read_text(encoding="utf-8"),
    }
    for name, text in texts.items():
        files.write_whole(f"{folder}/{name}", text)


def _divided(
    classifier: Classifier, photos: Sequence[str], formats: Sequence[Format]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Reads photos to calibrate with, and others to compare on."""
    paths = random.Random(0).sample(list(photos), len(photos))
    count = 0
    if any(one.is_calibrated for one in formats):
        count = min(_CALIBRATION, (len(paths) + 1) // 2)
    chosen = paths[: count + _COMPARISON]
    images = [classifier.read_image(path).numpy() for path in chosen]
    return images[:count], images[count:] or images
