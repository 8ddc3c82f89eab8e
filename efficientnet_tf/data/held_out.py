"""Chooses images that are not trained on; no TensorFlow."""

import hashlib
import itertools
import os
import unicodedata
from collections.abc import Hashable, Sequence
from typing import TypeVar

T = TypeVar("T")


def evenly(images: Sequence[T], count: int) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Takes `count` images at even distances, so that each class gives its share.

    Args:
        images: sorted by class.
        count: int, images to take.

    Returns:
        The images taken and the others, both in order.
    """
    total = len(images)
    return _divided(images, {(2 * i + 1) * total // (2 * count) for i in range(count)})


def by_name(
    images: Sequence[tuple[str, Hashable]],
    root: str,
    *,
    fraction: float,
    seed: int,
    in_each: bool = True,
) -> tuple[tuple, tuple]:
    """Takes a share of each class; seed and file names decide which images these are.

    In each class the images are ordered by a hash of the seed and their path from
    `root`, and the first ones are taken. So a copy of the folder on another disk is
    divided alike, whatever form of Unicode its names have there.

    Args:
        images: pairs of a path and the labels of the image there.
        root: folder that the paths begin with.
        fraction: float above 0 and below 1, the share to take.
        seed: int; another one takes others.
        in_each: whether each class of two and more images gives one at least, and keeps
            one. Else small classes give their share together.

    Returns:
        The images taken and the others, both in order.

    Raises:
        ValueError: if one of the two would be empty.
    """
    members: dict[Hashable, list[int]] = {}
    for place, (_, group) in enumerate(images):
        members.setdefault(group, []).append(place)
    taken: set[int] = set()
    sizes = [len(inside) for inside in members.values()]
    for inside, count in zip(
        members.values(), _shares(sizes, fraction, in_each), strict=True
    ):
        inside.sort(key=lambda place: _rank(images[place][0], root, seed))
        taken.update(inside[:count])
    if not 0 < len(taken) < len(images):
        raise ValueError(
            f"val_fraction={fraction}: takes {len(taken)} of the {len(images)} images "
            f"of {root}; both parts need some, and a class needs two to be divided"
        )
    return _divided(images, taken)


def in_words(val_fraction: float, seed: int, what: str) -> str:
    """Says how the images for validation were chosen."""
    return (
        f"val_fraction={val_fraction:g} and seed={seed} choose the images for "
        f"validation from {what}"
    )


def _shares(sizes: Sequence[int], fraction: float, in_each: bool) -> list[int]:
    """Returns how many images each class gives, of classes of these sizes."""
    if in_each:
        return [min(max(1, round(fraction * size)), size - 1) for size in sizes]
    ends = [round(fraction * end) for end in (0, *itertools.accumulate(sizes))]
    return [end - start for start, end in itertools.pairwise(ends)]


def _divided(
    images: Sequence[T], taken: set[int]
) -> tuple[tuple[T, ...], tuple[T, ...]]:
    return (
        tuple(image for i, image in enumerate(images) if i in taken),
        tuple(image for i, image in enumerate(images) if i not in taken),
    )


def _rank(path: str, root: str, seed: int) -> tuple[str, str]:
    """Orders images in a way that says nothing about them."""
    above = os.path.join(root, "")
    # relpath takes 7 us, for what a slice tells too.
    name = path[len(above) :] if path.startswith(above) else os.path.relpath(path, root)
    known = os.fsencode(unicodedata.normalize("NFC", name))
    return hashlib.sha256(f"{seed}/".encode() + known).hexdigest(), name
