"""Lists the images of ImageNet's tar files without unpacking them; no TensorFlow.

ILSVRC2012_img_train.tar holds a tar file for each class, n01440764.tar and on, which is
not compressed. So each image is a run of bytes of the outer file. Labels are the
places of the classes as their synsets sort, as of all released weights.
"""

import contextlib
import os
import re
import tarfile
from collections.abc import Iterator
from typing import IO, BinaryIO, cast

from efficientnet_tf import label_sets
from efficientnet_tf.data import image_tree, inventory
from efficientnet_tf.data.writing import ground_truth
from efficientnet_tf.data.writing.stored import Collection, Stored

TRAIN, VALIDATION = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
_BLOCK = 512  # a tar file ends with two blocks of zeros; POSIX.1-2001, pax, ustar
_NUMBER = re.compile(r".*?(\d+)\.\w+")


def is_there(data_dir: str) -> bool:
    """Whether a folder holds ImageNet's training images as they are downloaded."""
    return os.path.isfile(os.path.join(data_dir, TRAIN))


def read(data_dir: str) -> Collection:
    """Lists the images of both tar files; reads their headers alone.

    Args:
        data_dir: local folder that holds the two and the labels of the validation
            images, see `ground_truth.read`.

    Raises:
        ValueError: naming the file that is missing or damaged.
    """
    tally = inventory.Tally()
    by_class = _train(os.path.join(data_dir, TRAIN), tally)
    synsets = tuple(sorted(by_class))
    number = {synset: label for label, synset in enumerate(synsets)}
    train = tuple(
        Stored(name, number[synset], os.path.join(data_dir, TRAIN), offset, length)
        for synset in synsets
        for name, offset, length in by_class[synset]
    )
    validation = _validation(os.path.join(data_dir, VALIDATION), data_dir, number)
    known = dict(label_sets.imagenet())
    notes: tuple[str, ...] = ()
    if synsets != tuple(known):
        notes = (
            f"{TRAIN} holds {len(synsets)} classes, not ImageNet's {len(known)}; "
            "labels are their places as their names sort",
        )
    return Collection(
        "imagenet",
        {"train": train, "validation": validation},
        class_names=tuple(
            label_sets.printable(known.get(synset, synset)) for synset in synsets
        ),
        synsets=synsets,
        left_out=tally.left_out(),
        notes=notes,
    )


def _train(path: str, tally: inventory.Tally) -> dict[str, list[tuple[str, int, int]]]:
    """Returns name, first byte and length of the images of each class."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    with _opened(path) as outer:
        for member in _files(outer, path):
            synset, ending = os.path.splitext(os.path.basename(member.name))
            if ending != ".tar":
                tally.add("not tar files of a class", f"{path}/{member.name}")
                continue
            if synset in found:
                raise ValueError(f"{path}: holds {synset}.tar twice")
            where = f"{path}/{member.name}"
            found[synset] = []
            with _opened(where, outer.extractfile(member)) as inner:
                for image in _files(inner, where):
                    name = os.path.basename(image.name)
                    if not image_tree.is_image(name) or name.startswith("."):
                        tally.add(image_tree.NO_IMAGE, f"{where}/{image.name}")
                        continue
                    offset = member.offset_data + image.offset_data
                    found[synset].append((name, offset, image.size))
            if not found[synset]:
                raise ValueError(f"{where}: holds no images")
    if not found:
        raise ValueError(
            f"{path}: holds no tar files of classes, such as n01440764.tar"
        )
    return found


def _validation(path: str, data_dir: str, number: dict[str, int]) -> tuple[Stored, ...]:
    """Lists the validation images, with the labels of the ground truth."""
    truth = ground_truth.read(data_dir)
    found = []
    with _opened(path) as tar:
        for member in _files(tar, path):
            name = os.path.basename(member.name)
            match = _NUMBER.fullmatch(name)
            if match is None:
                raise ValueError(
                    f"{path}/{member.name}: is not named by a number, as "
                    "ILSVRC2012_val_00000001.JPEG"
                )
            synset = truth.synset(int(match[1]), name)
            if synset not in number:
                raise ValueError(
                    f"{truth.where}: {name} shows {synset}, which is no class of "
                    f"{TRAIN}"
                )
            found.append(
                Stored(name, number[synset], path, member.offset_data, member.size)
            )
    if not found:
        raise ValueError(f"{path}: holds no images")
    return tuple(sorted(found, key=lambda image: image.name))


@contextlib.contextmanager
def _opened(path: str, file: IO[bytes] | None = None) -> Iterator[tarfile.TarFile]:
    """Opens a tar file, or one inside another; says in one line what is wrong."""
    try:
        with tarfile.open(None if file else path, "r:", fileobj=file) as tar:
            yield tar
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(
            f"{path}: cannot be read as a tar file ({error}); download it again"
        ) from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None


def _files(tar: tarfile.TarFile, path: str) -> Iterator[tarfile.TarInfo]:
    """Yields the files in a tar file, and checks that it was copied to its end."""
    for member in tar:
        if member.isreg():
            yield member
    # tarfile takes a damaged header for the end.
    content = cast(BinaryIO, tar.fileobj)
    content.seek(tar.offset)
    if content.read(_BLOCK) != bytes(_BLOCK):
        raise ValueError(
            f"{path}: is cut short or damaged at byte {tar.offset}; download it again"
        )
