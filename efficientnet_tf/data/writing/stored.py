"""Images as parts of files, whatever the kind of file; no TensorFlow."""

import dataclasses
from collections.abc import Mapping

from efficientnet_tf.data import inventory


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """Where the bytes of an image are, and what it shows.

    Args:
        name: the image's name in its data set.
        label: int, its label, from 0.
        file: path of the file that holds it, such as a tar file.
        offset: int, its first byte there.
        length: int, its bytes.
    """

    name: str
    label: int
    file: str
    offset: int
    length: int

    def read(self) -> bytes:
        """Returns the bytes of the image.

        Raises:
            ValueError: if the file ends before them.
            OSError: if the file cannot be read.
        """
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            encoded = file.read(self.length)
        if len(encoded) != self.length:
            raise ValueError(f"{self.file}: was changed since its images were listed")
        return encoded


@dataclasses.dataclass(frozen=True)
class Collection:
    """The images of a data set, by split.

    Args:
        dataset: what the images are from: "imagenet" (its tar files), "folder", "csv"
            or "tfds:NAME".
        splits: the images of "train" and of "validation", in an order that is the same
            for each reading.
        class_names: names of the labels; None if they are not known.
        synsets: the labels' synsets; None if the classes are not WordNet's.
        exif: whether training on the source turns images upright by their EXIF.
        left_out: what the source holds that is no image of a split.
        notes: what was decided about the images, a sentence each.
    """

    dataset: str
    splits: Mapping[str, tuple[Stored, ...]]
    class_names: tuple[str, ...] | None
    synsets: tuple[str, ...] | None = None
    exif: bool = False
    left_out: tuple[inventory.LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> int:
        """Number of labels, or of those that images have if names are not known."""
        if self.class_names is not None:
            return len(self.class_names)
        return 1 + max(image.label for part in self.splits.values() for image in part)
