"""--mode=export: writes a run, or weights from outside, in formats to serve."""

from collections.abc import Sequence
from typing import Any

from efficientnet_tf.data import image_headers, photos
from efficientnet_tf.export import artifact, export_folder, formats
from efficientnet_tf.inference import classifier


def run(
    *,
    export_dir: str,
    export_formats: Sequence[str],
    images: Sequence[str] = (),
    gate: str = "fail",
    max_pixels: int = image_headers.SERVED_PIXELS,
    **origin: Any,
) -> dict:
    """Exports a classifier, and prints the folder and how the formats differ.

    Args:
        export_dir: local folder or gs:// URL, see `export_folder.write`.
        export_formats: names of formats, see `formats.FORMATS`.
        images: files, folders and patterns of photos, see `photos.find`.
        gate: "fail" refuses a format that differs too much, "warn" says so.
        max_pixels: int, the most pixels of an image that the SavedModel decodes.
        **origin: the keyword arguments of `classifier.open_classifier`.

    Returns:
        What `artifact.save` returns.
    """
    found = photos.find(images)
    written = formats.find(export_formats, photos=found)
    export_folder.check_target(export_dir)
    opened = classifier.open_classifier(**origin)
    result = artifact.save(
        opened,
        export_dir,
        formats=written,
        photos=found,
        is_gated=gate == "fail",
        max_pixels=max_pixels,
    )
    _print(result)
    return result


def save(opened: classifier.Classifier, export_dir: str) -> dict:
    """Exports a classifier that is open already, as a SavedModel alone."""
    result = artifact.save(opened, export_dir)
    _print(result)
    return {"export_dir": result["export_dir"]}


def _print(result: dict) -> None:
    if not result["formats"]:
        print(f"SavedModel    {result['export_dir']}")
        return
    print(f"export        {result['export_dir']}: README.md has the commands")
    for name, row in result["formats"].items():
        images = "made-up images" if row["made_up"] else "photos"
        print(
            f"{name:<16} {row['file']:<24} agrees on {row['agreement']:.1%} of "
            f"{row['images']} {images}, mean difference {row['mean_difference']:.1e}"
            + (f", {row['latency_ms']:.1f} ms" if "latency_ms" in row else "")
        )
