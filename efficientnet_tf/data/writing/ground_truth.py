"""The labels of ImageNet's validation images, which are in a file of their own."""

import dataclasses
import os
import re
import tarfile
from collections.abc import Sequence

from efficientnet_tf import label_sets

_LABELS = "ILSVRC2012_validation_ground_truth.txt"
_DEVKIT = "ILSVRC2012_devkit_t12"
# The list that tf.models has for the same images, and its name in imagenet_to_gcs.py.
_SYNSETS = ("imagenet_2012_validation_synset_labels.txt", "synset_labels.txt")
_PLACES = (_LABELS, f"{_DEVKIT}/data/{_LABELS}", *_SYNSETS)
_SYNSET = re.compile(r"n\d{8}")


@dataclasses.dataclass(frozen=True)
class GroundTruth:
    """The synset of each validation image, in the order of their numbers."""

    where: str
    synsets: Sequence[str]

    def synset(self, number: int, name: str) -> str:
        """Returns the synset of an image.

        Args:
            number: int, the image's number, from 1.
            name: the image's name, for errors.

        Raises:
            ValueError: if there are fewer labels.
        """
        if not 0 < number <= len(self.synsets):
            raise ValueError(
                f"{self.where}: has {len(self.synsets)} lines, and none for {name}"
            )
        return self.synsets[number - 1]


def read(data_dir: str) -> GroundTruth:
    """Finds the labels in a folder: the development kit, packed or not, or a list.

    A line is an ILSVRC2012_ID, as in the development kit, or a synset.

    Raises:
        ValueError: if there is no such file, or naming the line that is no label.
    """
    for name in _PLACES:
        path = os.path.join(data_dir, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                return GroundTruth(path, _parse(file.read(), path))
    packed = os.path.join(data_dir, f"{_DEVKIT}.tar.gz")
    if not os.path.isfile(packed):
        raise ValueError(
            f"data_dir={data_dir}: holds no labels of the validation images; put "
            f"{_DEVKIT}.tar.gz or {_LABELS} there"
        )
    return GroundTruth(packed, _parse(_unpacked(packed), packed))


def _unpacked(packed: str) -> str:
    """Reads the labels from the packed development kit."""
    try:
        with tarfile.open(packed) as tar:
            file = tar.extractfile(f"{_DEVKIT}/data/{_LABELS}")
            return file.read().decode("utf-8", "replace") if file else ""
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise ValueError(f"{packed}: cannot be read ({error})") from None


def _parse(text: str, where: str) -> list[str]:
    by_id = label_sets.imagenet_ids()
    synsets = []
    for number, line in enumerate(text.rstrip().split("\n"), start=1):
        label = line.strip()
        if not _SYNSET.fullmatch(label):
            label = by_id.get(int(label), "") if label.isdecimal() else ""
        if not label:
            raise ValueError(
                f"{where}, line {number}: {line.strip()[:40]!r} is no label; allowed "
                "is an ILSVRC2012_ID, 1 to 1000, or a synset such as n01440764"
            )
        synsets.append(label)
    return synsets
