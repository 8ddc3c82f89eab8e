"""Finds the image files that names on a command line mean."""

import glob
import os
from collections.abc import Sequence

from efficientnet_tf import files, suffixes
from efficientnet_tf.data import image_tree


def find(names: Sequence[str]) -> list[str]:
    """Finds image files; opens none of them.

    Args:
        names: files, which are taken whatever their suffixes; folders, which give the
            images in them and in their folders, sorted; patterns of both, with *, ?,
            [...] and ** as in a shell. Local, or gs:// URLs.

    Returns:
        The paths, in the order of the names. Those with a suffix of images that cannot
        be decoded are among them: leaving them out would not be noticed.

    Raises:
        ValueError: naming the first name that means no file.
    """
    return [path for name in names for path in _meant_by(name)]


def _meant_by(name: str) -> list[str]:
    files.check_name(name, label="image file ")
    if not files.is_url(name):
        return _matched(name, _Disk())
    bucket = _Bucket()
    try:
        return _matched(name, bucket)
    except bucket.errors as error:
        raise ValueError(f"image file {files.why_unread(name, error)}") from None


def _matched(name: str, look: "_Disk | _Bucket") -> list[str]:
    matches = [name] if look.exists(name) else look.glob(name)
    if not matches and glob.has_magic(name):
        raise ValueError(f"image file {name}: no file has a name of this pattern")
    if not matches:
        raise ValueError(f"image file {name} does not exist")
    found = []
    for match in matches:
        found += look.inside(match) if look.is_folder(match) else [match]
    if not found:
        raise ValueError(
            f"image folder {name}: holds no images ({', '.join(suffixes.IMAGES)})"
        )
    return found


class _Disk:
    """The local file system."""

    exists = staticmethod(os.path.exists)
    is_folder = staticmethod(os.path.isdir)

    def glob(self, pattern: str) -> list[str]:
        return sorted(glob.glob(pattern, recursive=True))

    def inside(self, path: str) -> list[str]:
        try:
            return image_tree.images(path)
        except OSError as error:
            told = f"image folder {error.filename}: {error.strerror}"
            raise ValueError(told) from None


class _Bucket:
    """The file systems that TensorFlow reads, which is imported late."""

    def __init__(self) -> None:
        import tensorflow as tf

        self._files = tf.io.gfile
        self.errors = tf.errors.OpError

    def exists(self, path: str) -> bool:
        return self._files.exists(path)

    def is_folder(self, path: str) -> bool:
        return self._files.isdir(path)

    def glob(self, pattern: str) -> list[str]:
        return sorted(self._files.glob(pattern))

    def inside(self, path: str) -> list[str]:
        found = [
            f"{above.rstrip('/')}/{name}"
            for above, _, names in self._files.walk(path)
            for name in names
            if image_tree.is_image(name) and not name.startswith(".")
        ]
        return sorted(found)
