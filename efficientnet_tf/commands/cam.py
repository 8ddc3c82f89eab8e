"""--mode=cam: class activation maps of image files."""

from collections.abc import Sequence
from typing import Any

from efficientnet_tf import files
from efficientnet_tf.inference import cam_pictures, classifier


def run(
    *, images: Sequence[str], directory: str, cam_class: str | None, **origin: Any
) -> dict:
    """Draws the maps and prints where they are.

    Args:
        images: JPEG, PNG, GIF, BMP or WebP files.
        directory: folder for the maps, see `cam_pictures.save_maps`.
        cam_class: the class to map, see `cam_pictures.save_maps`.
        **origin: the keyword arguments of `classifier.open_classifier`.

    Returns:
        What `cam_pictures.save_maps` returns.
    """
    files.check_writable(directory, label="cam_dir=")
    opened = classifier.open_classifier(**origin)
    result = cam_pictures.save_maps(
        opened, images, directory=directory, cam_class=cam_class
    )
    for one in result["results"]:
        print(one["file"])
        print(f"  {one['probability']:7.2%}  {one['name']}  {one['path']}")
    print(f"all           {result['grid']}")
    return result
