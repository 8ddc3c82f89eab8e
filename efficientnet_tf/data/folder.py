"""Folders of images, one folder a class: finding and counting, without TensorFlow.

Images are in `DIR/train/CLASS/*` and `DIR/val/CLASS/*` (or `validation`, `valid`, or
`test`). One folder of classes, `DIR/CLASS/*` or `DIR/train/CLASS/*` alone, is for
evaluation, or is divided by `val_fraction`. Classes are the sorted names of their
folders and have the images of all folders below. What is hidden is left out.
"""

import dataclasses
import os
import unicodedata
from collections.abc import Iterable

from efficientnet_tf import suffixes
from efficientnet_tf.data import held_out, image_tree, inventory

TRAINING_LAYOUT = (
    "training needs DIR/train/CLASS/* and DIR/val/CLASS/*, or one folder of classes "
    "and --val_fraction=0.2"
)
# The first that exists is used.
_VALIDATION = ("val", "validation", "valid", "test")
# Names that people give to splits; a class that is called so is a mistake.
_LIKE_SPLITS = ("train", "training", "testing", "eval", "dev", *_VALIDATION)

Image = tuple[str, tuple[int, ...]]  # an image's path, and its labels from 0


@dataclasses.dataclass(frozen=True)
class Layout:
    """The folders of the splits; None where there is none.

    `train` without `validation` is to be divided.
    """

    train: str | None
    validation: str | None
    classes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Found:
    """The images of a data set, sorted by class, and what else was found.

    Args:
        train: images to train on; None where there are none.
        validation: images to score.
        classes: names of the labels.
        multi_label: whether an image may have any number of labels.
        left_out: what is not used, and why.
        notes: what was decided about the images, a sentence each.
    """

    train: tuple[Image, ...] | None
    validation: tuple[Image, ...]
    classes: tuple[str, ...]
    multi_label: bool = False
    left_out: tuple[inventory.LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


def read(
    data_dir: str,
    *,
    num_classes: int | None = None,
    val_fraction: float = 0.0,
    seed: int = 0,
) -> Found:
    """Finds the images of a folder; opens none.

    Args:
        data_dir: local folder.
        num_classes: int, the number of classes to require; None takes any number.
        val_fraction: float, the share of one folder of classes to validate with; 0
            where train and validation are in folders of their own.
        seed: int, decides together with the names which images these are.

    Raises:
        ValueError: naming what is missing, cannot be read or does not agree.
    """
    layout = find_layout(data_dir, num_classes=num_classes, val_fraction=val_fraction)
    tally = inventory.Tally()
    listed = {
        split: list_images(split, layout.classes, tally)
        for split in (layout.train, layout.validation)
        if split is not None
    }
    _tally_beside(data_dir.rstrip("/") or "/", listed, layout, tally)
    train = listed.get(layout.train or "")
    validation = listed.get(layout.validation or "")
    if validation is None and train is not None:
        validation, train = held_out.by_name(
            train, layout.train or "", fraction=val_fraction, seed=seed
        )
    notes = _notes(layout, listed, val_fraction=val_fraction, seed=seed)
    return Found(
        *(train, validation or (), layout.classes),
        left_out=tally.left_out(),
        notes=notes,
    )


def find_layout(
    data_dir: str, *, num_classes: int | None = None, val_fraction: float = 0.0
) -> Layout:
    """Finds the splits and the classes of a folder; opens no file.

    Args:
        data_dir: local folder.
        num_classes: int, the number of classes to require; None takes any number.
        val_fraction: float, see `read`.

    Raises:
        ValueError: naming what is missing or does not agree.
    """
    if "://" in data_dir:
        raise ValueError(
            f"data_dir={data_dir}: folder data sets are read from local disks; write "
            "TFRecords for gs://"
        )
    root = data_dir.rstrip("/") or "/"
    train, validation = _splits(data_dir, root, val_fraction)
    if not train and not validation:
        _check_is_classes(data_dir)
        train, validation = (root, None) if val_fraction else (None, root)
    layout = Layout(train, validation, _folders(validation or train or root))
    _check_classes(data_dir, layout, num_classes)
    return layout


def _splits(
    data_dir: str, root: str, val_fraction: float
) -> tuple[str | None, str | None]:
    """Returns the folders of train and validation; None where there is none."""
    # A class may be called train too, but only a split holds folders.
    splits = {
        name: os.path.join(root, name)
        for name in _folders(root)
        if name in ("train", *_VALIDATION) and _folders(os.path.join(root, name))
    }
    train = splits.pop("train", None)
    validation = next((splits[name] for name in _VALIDATION if name in splits), None)
    if validation and val_fraction:
        raise ValueError(
            f"val_fraction={val_fraction}: data_dir={data_dir} has images for "
            f"validation in {os.path.basename(validation)}; allowed is 0"
        )
    if train and not validation and not val_fraction:
        raise ValueError(
            f"data_dir={data_dir}: no class folders in {', '.join(_VALIDATION)} beside "
            f"train; {TRAINING_LAYOUT}{_alike(root)}"
        )
    return train, validation


def _check_is_classes(data_dir: str) -> None:
    """Raises ValueError where the folders of a folder do not look like classes."""
    told = _alike(data_dir)
    if told:
        raise ValueError(f"data_dir={data_dir}: {TRAINING_LAYOUT}{told}")
    for name in _folders(data_dir):
        inside = _folders(os.path.join(data_dir, name))
        splits = [one for one in inside if one.casefold() in _LIKE_SPLITS]
        if "train" not in splits:
            continue
        if _folders(os.path.join(data_dir, name, "train")):
            raise ValueError(
                f"data_dir={data_dir}: the splits are one folder deeper, in {name}; "
                f"name data_dir={os.path.join(data_dir, name)}"
            )
        raise ValueError(
            f"data_dir={data_dir}: class {name!r} holds the folders "
            f"{', '.join(splits)}; splits must be above the classes, so "
            f"{TRAINING_LAYOUT}"
        )


def _alike(root: str) -> str:
    """Names the folders of classes that are called nearly as a split; or nothing."""
    names = [
        name
        for name in _folders(root)
        if name.casefold() in _LIKE_SPLITS
        and name not in ("train", *_VALIDATION)
        and _folders(os.path.join(root, name))
    ]
    if not names:
        return ""
    return (
        f"; {' and '.join(names)} {'looks' if len(names) == 1 else 'look'} like splits "
        "of another name: rename them"
    )


def _check_classes(data_dir: str, layout: Layout, num_classes: int | None) -> None:
    classes = set(layout.classes)
    if not classes:
        raise ValueError(
            f"data_dir={data_dir}: no class folders{_held(data_dir)}; {TRAINING_LAYOUT}"
        )
    if layout.train and layout.validation:
        _check_same(data_dir, layout.train, layout.validation)
    if len(classes) == 1 and num_classes != 1:
        (name,) = classes
        inside = _folders(os.path.join(layout.train or layout.validation or "", name))
        hint = f"; its folders are {', '.join(inside[:3])}" if inside else ""
        raise ValueError(
            f"data_dir={data_dir}: holds one class folder, {name}{hint}; a classifier "
            f"needs two, and {TRAINING_LAYOUT}"
        )
    if num_classes not in (None, len(classes)):
        raise ValueError(
            f"num_classes={num_classes}: data_dir={data_dir} holds {len(classes)} "
            "class folders; the two must agree"
        )


def _check_same(data_dir: str, train: str, validation: str) -> None:
    """Raises ValueError for the first class that only one of two splits has."""
    classes, in_train = set(_folders(validation)), set(_folders(train))
    if classes == in_train:
        return
    name = min(classes ^ in_train)
    there, missing = (validation, train) if name in classes else (train, validation)
    same = [one for one in _folders(missing) if _plain(one) == _plain(name)]
    hint = f" ({same[0]!r} there differs in case or spelling)" if same else ""
    raise ValueError(
        f"data_dir={data_dir}: class {name!r} is in {os.path.basename(there)} but "
        f"not in {os.path.basename(missing)}{hint}; both need the same classes"
    )


def _held(data_dir: str) -> str:
    """Tells what a folder without classes holds."""
    names = _entries(data_dir, folders=False)
    images = sum(map(image_tree.is_image, names))
    if images:
        return f", but {images} images in no class folder"
    return f", but {len(names)} files such as {names[0]}" if names else ""


def list_images(
    split_dir: str, classes: Iterable[str], tally: inventory.Tally | None = None
) -> tuple[Image, ...]:
    """Lists a split's images, sorted by path within each class.

    Args:
        split_dir: folder with one folder a class.
        classes: names of these folders.
        tally: counts the files that are left out.

    Raises:
        ValueError: naming a class without images or an image that cannot be decoded.
    """
    tally = tally or inventory.Tally()
    return tuple(
        (path, (label,))
        for label, name in enumerate(classes)
        for path in _images(os.path.join(split_dir, name), tally)
    )


def _images(class_dir: str, tally: inventory.Tally) -> list[str]:
    try:
        found = image_tree.images(class_dir, tally.add)
    except OSError as error:
        raise ValueError(f"data_dir={error.filename}: {error.strerror}") from None
    for path in found:
        if os.path.splitext(path)[1].lower() in suffixes.OTHER_IMAGES:
            raise ValueError(
                f"{path} cannot be read; allowed is {', '.join(suffixes.IMAGES)}"
            )
    if not found:
        raise ValueError(
            f"{class_dir} holds no images ({', '.join(suffixes.IMAGES)}); each folder "
            f"beside it is a class, and {TRAINING_LAYOUT}"
        )
    return found


def _tally_beside(
    root: str, splits: Iterable[str], layout: Layout, tally: inventory.Tally
) -> None:
    """Counts what is in no split, and in no class of one."""
    for folder in dict.fromkeys((root, *splits)):
        for name in _entries(folder, folders=False):
            is_image = image_tree.is_image(name)
            reason = "images in no class folder" if is_image else image_tree.NO_IMAGE
            tally.add(reason, os.path.join(folder, name))
    for name in _folders(root) if root not in splits else ():
        path = os.path.join(root, name)
        if path not in splits:
            tally.add("folders that belong to no split that is used", path)


def _notes(
    layout: Layout,
    listed: dict[str, tuple[Image, ...]],
    *,
    val_fraction: float,
    seed: int,
) -> tuple[str, ...]:
    """Says what was decided about the images."""
    notes = []
    if val_fraction:
        notes.append(held_out.in_words(val_fraction, seed, layout.train or ""))
    deeper = [
        path
        for split, images in listed.items()
        for path, _ in images
        if path.count("/") > split.rstrip("/").count("/") + 2
    ]
    if deeper:
        notes.append(
            f"{len(deeper)} images are in folders below the one that is their class, "
            f"such as {deeper[0]}"
        )
    seen: dict[str, str] = {}
    for name in layout.classes:
        other = seen.setdefault(_plain(name), name)
        if other != name:
            notes.append(f"classes {other} and {name} differ in case or spelling only")
    return tuple(notes)


def _plain(name: str) -> str:
    """Returns a name in one case and one form of Unicode."""
    return unicodedata.normalize("NFC", name).casefold()


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
