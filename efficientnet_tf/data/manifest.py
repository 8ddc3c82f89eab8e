"""The file in a folder of records that says what each shard holds; no TensorFlow.

`tools/make_records.py` writes it. From it a run knows the numbers of images without
reading the records, and an interrupted command knows which shards are finished.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from efficientnet_tf import files

FILE = "manifest.json"
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Bad:
    """An image that a shard would hold, but that cannot be decoded.

    Args:
        name: the image's name in its data set.
        label: int, its label, from 0.
        reason: why, see `decoding.reason`.
    """

    name: str
    label: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Shard:
    """A finished file of records.

    Args:
        images: int, its records.
        bytes: int, its size.
        sha256: its checksum in hexadecimal.
        bad: the images that were left out.
    """

    images: int
    bytes: int
    sha256: str
    bad: tuple[Bad, ...] = ()


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a folder of records is made of.

    Args:
        dataset: what the images are from, see `writing.stored.Collection`.
        seed: int, decides the order of the images.
        digest: checksum of names, labels and sizes of all images, in hexadecimal.
        exif: whether training turns the images upright by their EXIF.
        class_counts: images of each label, by split, those that are left out too.
        shard_counts: number of shards by split.
        shards: the finished ones by file name.
    """

    dataset: str
    seed: int
    digest: str
    exif: bool
    class_counts: Mapping[str, tuple[int, ...]]
    shard_counts: Mapping[str, int]
    shards: Mapping[str, Shard]

    @property
    def is_finished(self) -> bool:
        """Whether all shards are written."""
        return len(self.shards) == sum(self.shard_counts.values())

    def of_split(self, split: str) -> list[Shard]:
        """Returns the finished shards of "train" or "validation", in their order."""
        return [
            self.shards[name]
            for name in sorted(self.shards)
            if name.startswith(f"{split}-")
        ]

    def images(self, split: str) -> int:
        """Returns the number of images in a split's finished shards."""
        return sum(shard.images for shard in self.of_split(split))

    def images_in(self, path: str) -> int | None:
        """Returns the number of images in a file; None if it is not as it was written.

        Args:
            path: path or URL of a shard. In a bucket the size is not compared.
        """
        shard = self.shards.get(os.path.basename(path))
        if shard is None:
            return None
        if not files.is_url(path) and os.path.getsize(path) != shard.bytes:
            return None
        return shard.images

    def counts(self, split: str, images: int) -> tuple[int, ...] | None:
        """Returns the images of each label; None if `images` are not all of a split."""
        if split not in self.class_counts or images != self.images(split):
            return None
        return self.written_counts(split) if self.is_finished else None

    def written_counts(self, split: str) -> tuple[int, ...]:
        """Returns the images of each label in a split whose shards are finished."""
        counts = list(self.class_counts[split])
        for shard in self.of_split(split):
            for bad in shard.bad:
                counts[bad.label] -= 1
        return tuple(counts)

    def dumps(self) -> str:
        """Returns the contents of the file."""
        content = {"version": _VERSION} | dataclasses.asdict(self)
        # Shards are finished in any order.
        content["shards"] = dict(sorted(content["shards"].items()))
        return json.dumps(content, indent=1) + "\n"


def names(split: str, count: int) -> list[str]:
    """Returns the names of a split's shards, as `train-00000-of-00004`."""
    return [f"{split}-{number:05d}-of-{count:05d}" for number in range(count)]


def read(data_dir: str) -> Manifest | None:
    """Reads the file of a folder; None if there is none, or another program's.

    Args:
        data_dir: local folder or URL.
    """
    path = f"{data_dir.rstrip('/')}/{FILE}"
    if files.is_url(path):
        text = files.read_text(path)
    elif os.path.isfile(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    else:
        return None
    return None if text is None else _loads(text)


def _loads(text: str) -> Manifest | None:
    try:
        content = json.loads(text)
    except ValueError:
        return None
    fields = {field.name for field in dataclasses.fields(Manifest)}
    is_ours = isinstance(content, dict) and content.pop("version", None) == _VERSION
    if not is_ours or content.keys() != fields:
        return None
    shards = {name: _shard(told) for name, told in content.pop("shards").items()}
    counts = {name: tuple(told) for name, told in content.pop("class_counts").items()}
    return Manifest(**content, class_counts=counts, shards=shards)


def _shard(told: dict[str, Any]) -> Shard:
    bad = tuple(Bad(**one) for one in told.pop("bad"))
    return Shard(**told, bad=bad)
