"""Compares exported networks with the Keras model, and refuses those that differ."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from efficientnet_tf import progress, terminal
from efficientnet_tf.export import runtimes
from efficientnet_tf.export.formats import FORMATS, Format
from efficientnet_tf.hardware import freed_memory
from efficientnet_tf.inference.classifier import Classifier

_MADE_UP = 8  # images that are compared where there are no photos


def compare(
    classifier: Classifier,
    formats: Sequence[Format],
    folder: str,
    images: Sequence[np.ndarray],
) -> dict[str, dict[str, Any]]:
    """Compares the probabilities of exported networks with the Keras model's.

    Args:
        classifier: the Keras model that was exported.
        formats: the formats that were written.
        folder: local folder of the export.
        images: uint8 [image_size, image_size, 3] each; without any, made-up ones are
            compared.

    Returns:
        For each format's name: "file"; "images", their number, and "made_up", whether
        they are; "agreement", the share whose likeliest class is the same;
        "mean_difference" and "largest_difference" of an image's largest difference.
    """
    pixels = np.stack(images or _made_up(classifier.preparation.image_size))
    expected = classifier.predict(pixels)
    rows = {}
    for one in formats:
        found = _probabilities(one, folder, pixels)
        # One runtime at a time: B7's take gigabytes each.
        freed_memory.give_back()
        rows[one.name] = {
            "file": one.file or ".",
            "images": len(pixels),
            "made_up": not images,
        } | _differences(found, expected)
    return rows


def _probabilities(one: Format, folder: str, pixels: np.ndarray) -> np.ndarray:
    """Returns what a format gives for images, float32 [images, classes]."""
    with terminal.quiet():
        predict = runtimes.open_network(one.runtime, f"{folder}/{one.file}")
    with progress.Images(len(pixels)) as counted:
        # LiteRT's files take one image.
        batches = counted.count(pixels[:, np.newaxis])
        return np.concatenate([predict(x.astype("float32"))[1] for x in batches])


def _made_up(size: int) -> list[np.ndarray]:
    """Returns random squares of 8 pixels: not as flat as noise to a network."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, [_MADE_UP, *[-(-size // 8)] * 2, 3], np.uint8)
    return list(coarse.repeat(8, 1).repeat(8, 2)[:, :size, :size])


def _differences(found: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    differences = abs(found - expected).max(1)
    same = found.argmax(1) == expected.argmax(1)
    return {
        "agreement": float(same.mean()),
        "mean_difference": float(differences.mean()),
        "largest_difference": float(differences.max()),
    }


def check(rows: Mapping[str, Mapping[str, Any]], *, is_gated: bool) -> None:
    """Refuses formats that differ more than they may.

    Args:
        rows: what `compare` returned.
        is_gated: whether such a format is an error, or a line on stderr.

    Raises:
        ValueError: naming each format that differs too much, and by how much.
    """
    failed = [words for name in rows if (words := _fault(FORMATS[name], rows[name]))]
    if not failed:
        return
    told = "; ".join(failed)
    if is_gated:
        raise ValueError(
            f"export_formats: {told}. Nothing is written; leave the format out, try "
            "litert_dynamic or openvino_bf16 in place of int8, calibrate on more "
            "photos, or accept it with --gate=warn"
        )
    print(f"warning: {told}", file=sys.stderr)


def _fault(one: Format, row: Mapping[str, Any]) -> str | None:
    """Says how a format differs too much; None if it does not.

    Made-up images have no likely class, so their ranks mean nothing.
    """
    agreement, difference = row["agreement"], row["mean_difference"]
    if not difference <= one.difference:
        return (
            f"{one.name} changes probabilities by {difference:.2g} on average, allowed "
            f"is {one.difference:.2g}{_worst(row)}"
        )
    if agreement < one.agreement and not row["made_up"]:
        return (
            f"{one.name} agrees with the Keras model on {agreement:.1%} of "
            f"{row['images']} photos, allowed is {one.agreement:.0%} or more"
            f"{_worst(row)}"
        )
    return None


def _worst(row: Mapping[str, Any]) -> str:
    """Names the layers that 8 bits change most, where that was examined."""
    names = [one["layer"] for one in row.get("layers", [])[:3]]
    return f" (most in {', '.join(names)})" if names else ""
