"""Folders of images, one folder a class: finding and counting, without TensorFlow.

Images are in `DIR/train/CLASS/*` and `DIR/val/CLASS/*` (or `validation`, or `test`);
for evaluation alone they may be in `DIR/CLASS/*`. Classes are the sorted names of their
folders; hidden files and folders are ignored.
"""

import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import TypeVar

from efficientnet_tf import suffixes

TRAINING_LAYOUT = "training needs DIR/train/CLASS/* and DIR/val/CLASS/*"
_VALIDATION = ("val", "validation", "test")  # the first that exists is used

Image = tuple[str, tuple[int, ...]]  # an image's path, and its labels from 0
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Layout:
    """The folders of the splits; `train` is None where there is none."""

    train: str | None
    validation: str
    classes: tuple[str, ...]


def is_image(name: str) -> bool:
    """Whether a file's name has an image's suffix, readable here or not."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix in suffixes.IMAGES + suffixes.OTHER_IMAGES


def find_layout(data_dir: str, *, num_classes: int | None = None) -> Layout:
    """Finds the splits and the classes of a folder; opens no file.

    Args:
        data_dir: local folder.
        num_classes: int, the number of classes to require; None takes any number.

    Raises:
        ValueError: naming what is missing or does not agree.
    """
    if "://" in data_dir:
        raise ValueError(
            f"data_dir={data_dir}: folder data sets are read from local disks; write "
            "TFRecords for gs://"
        )
    root = data_dir.rstrip("/")
    # A class may be called train too, but only a split holds folders.
    splits = {
        name: f"{root}/{name}"
        for name in _folders(root)
        if name in ("train", *_VALIDATION) and _folders(f"{root}/{name}")
    }
    names = [name for name in _VALIDATION if name in splits]
    if "train" in splits and not names:
        raise ValueError(
            f"data_dir={data_dir}: no class folders in {', '.join(_VALIDATION)} beside "
            f"train; {TRAINING_LAYOUT}"
        )
    validation = splits[names[0]] if names else root
    layout = Layout(splits.get("train"), validation, _folders(validation))
    _check_classes(data_dir, layout, num_classes)
    return layout


def _check_classes(data_dir: str, layout: Layout, num_classes: int | None) -> None:
    classes = set(layout.classes)
    if not classes:
        raise ValueError(f"data_dir={data_dir}: no class folders; {TRAINING_LAYOUT}")
    in_train = set(_folders(layout.train)) if layout.train else classes
    if layout.train and classes != in_train:
        name = min(classes ^ in_train)
        there, missing = layout.train, layout.validation
        if name in classes:
            there, missing = missing, there
        raise ValueError(
            f"data_dir={data_dir}: class {name!r} is in {os.path.basename(there)} but "
            f"not in {os.path.basename(missing)}; both need the same classes"
        )
    if num_classes not in (None, len(classes)):
        raise ValueError(
            f"num_classes={num_classes}: data_dir={data_dir} holds {len(classes)} "
            "class folders; the two must agree"
        )


def list_images(split_dir: str, classes: Iterable[str]) -> tuple[Image, ...]:
    """Lists a split's images, sorted by path within each class.

    Args:
        split_dir: folder with one folder a class.
        classes: names of these folders.

    Raises:
        ValueError: naming a class without images or an image that cannot be decoded.
    """
    return tuple(
        (path, (label,))
        for label, name in enumerate(classes)
        for path in _images(f"{split_dir}/{name}")
    )


def _images(class_dir: str) -> list[str]:
    names = []
    for name in _entries(class_dir, folders=False):
        suffix = os.path.splitext(name)[1].lower()
        if suffix in suffixes.OTHER_IMAGES:
            raise ValueError(
                f"{class_dir}/{name} cannot be read; allowed is "
                f"{', '.join(suffixes.IMAGES)}"
            )
        if suffix in suffixes.IMAGES:
            names.append(name)
    if not names:
        raise ValueError(
            f"{class_dir} holds no images ({', '.join(suffixes.IMAGES)}); each folder "
            f"beside it is a class, and {TRAINING_LAYOUT}"
        )
    return [f"{class_dir}/{name}" for name in names]


def hold_out(images: Sequence[T], count: int) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Takes `count` images at even distances, so that each class gives its share.

    Args:
        images: sorted by class.
        count: int, images to take.

    Returns:
        The images taken and the others, both in order.
    """
    total = len(images)
    taken = {(2 * i + 1) * total // (2 * count) for i in range(count)}
    return (
        tuple(image for i, image in enumerate(images) if i in taken),
        tuple(image for i, image in enumerate(images) if i not in taken),
    )


def _folders(path: str) -> tuple[str, ...]:
    return _entries(path, folders=True)


def _entries(path: str, *, folders: bool) -> tuple[str, ...]:
    """Returns the sorted names of a folder's folders, or of its files; none hidden."""
    try:
        with os.scandir(path) as entries:
            return tuple(
                sorted(
                    entry.name
                    for entry in entries
                    if entry.is_dir() == folders and not entry.name.startswith(".")
                )
            )
    except OSError as error:
        raise ValueError(f"data_dir={path}: {error.strerror}") from None
