"""--mode=export: writes a run, or weights from outside, as a SavedModel."""

from typing import Any

from efficientnet_tf.export import saved_model
from efficientnet_tf.inference import classifier


def run(*, export_dir: str, **origin: Any) -> dict:
    """Exports a classifier, and prints the folder.

    Args:
        export_dir: local folder or gs:// URL, see `saved_model.save`.
        **origin: the keyword arguments of `classifier.open_classifier`.

    Returns:
        "export_dir", the folder that was written.
    """
    saved_model.check_target(export_dir)
    return save(classifier.open_classifier(**origin), export_dir)


def save(opened: classifier.Classifier, export_dir: str) -> dict:
    """Exports a classifier that is open already; see `run`."""
    path = saved_model.save(opened, export_dir)
    print(f"SavedModel    {path}")
    return {"export_dir": path}
