"""Walks folders of images, and says of each file that it leaves out why."""

import os
from collections.abc import Callable, Iterator

from efficientnet_tf import suffixes

_SUFFIXES = frozenset(suffixes.IMAGES + suffixes.OTHER_IMAGES)
NO_IMAGE = "not images, by the ending of the name"

LeaveOut = Callable[[str, str], None]  # is told the reason and the path


def is_image(name: str) -> bool:
    """Whether a file's name has an image's suffix, readable here or not."""
    return os.path.splitext(name)[1].lower() in _SUFFIXES


def images(path: str, leave_out: LeaveOut = lambda reason, path: None) -> list[str]:
    """Lists the images of a folder and of those below it, sorted; opens none.

    A link counts as what it leads to. A link that leads nowhere is among the images if
    its name is one's, because reading it will tell the user; so are images that cannot
    be decoded.

    Args:
        path: local folder.
        leave_out: called for each other file, and each folder that is not entered.

    Raises:
        OSError: if a folder cannot be read.
    """
    return list(_images(path, leave_out, above=()))


def holds_images(path: str) -> bool:
    """Whether `images` would find any; stops at the first one."""
    return any(True for _ in _images(path, lambda *_: None, above=()))


def _images(path: str, leave_out: LeaveOut, *, above: tuple[str, ...]) -> Iterator[str]:
    real = os.path.realpath(path)
    if real in above:
        leave_out("links to a folder that holds them", path)
        return
    with os.scandir(path) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        reason = _why_left_out(entry)
        if reason:
            leave_out(reason, entry.path)
        elif entry.is_dir():
            yield from _images(entry.path, leave_out, above=(*above, real))
        else:
            yield entry.path


def _why_left_out(entry: os.DirEntry) -> str | None:
    """Says why an entry of a folder is neither an image nor a folder to enter."""
    if entry.name.startswith("."):
        return "hidden, by a dot before the name"
    if entry.is_dir():
        return None
    if not is_image(entry.name):
        return NO_IMAGE
    is_broken_link = entry.is_symlink() and not os.path.exists(entry.path)
    return None if entry.is_file() or is_broken_link else "not files that hold data"
