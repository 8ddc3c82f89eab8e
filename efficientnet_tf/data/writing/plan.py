"""Decides which record file gets which images, in which order; no TensorFlow."""

import collections
import dataclasses
import hashlib
import itertools
import os
from collections.abc import Mapping, Sequence

from efficientnet_tf.data import manifest
from efficientnet_tf.data.writing.stored import Collection, Stored

SPLITS = ("train", "validation")
# Training reads 16 files in turn, and a bucket's client blocks of 64 MiB.
_FEWEST, _BYTES = 16, 64 << 20
_MOST = {"train": 1024, "validation": 128}  # as of ImageNet
_OF_RECORD = 300  # bytes of a record around its image, at most but for long names


@dataclasses.dataclass(frozen=True)
class Plan:
    """The shards to write.

    Args:
        collection: the images.
        seed: int, decides their order.
        shards: the images of each shard, by its file name.
    """

    collection: Collection
    seed: int
    shards: Mapping[str, Sequence[Stored]]

    def begun(self) -> manifest.Manifest:
        """Returns the manifest before any shard is written."""
        splits = self.collection.splits
        labels = self.collection.labels
        names = collections.Counter(name.split("-")[0] for name in self.shards)
        return manifest.Manifest(
            dataset=self.collection.dataset,
            seed=self.seed,
            digest=_digest(splits),
            exif=self.collection.exif,
            class_counts={name: _counts(splits[name], labels) for name in SPLITS},
            shard_counts=dict(names),
            shards={},
        )

    def bytes(self, name: str) -> int:
        """Estimates the size of a shard."""
        return sum(image.length + _OF_RECORD for image in self.shards[name])


def make(
    collection: Collection, *, seed: int, shard_counts: Mapping[str, int | None]
) -> Plan:
    """Deals the images out to shards, so that each has images of all classes.

    The order is that of a hash of the seed and the image's name: the same everywhere.

    Args:
        collection: the images.
        seed: int.
        shard_counts: number of shards by split; None takes `default_count`.

    Raises:
        ValueError: if a split has fewer images than shards.
    """
    shards = {}
    for split in SPLITS:
        images = collection.splits[split]
        count = shard_counts.get(split) or default_count(split, images)
        if count > len(images):
            raise ValueError(
                f"{split}_shards={count}: there are {len(images)} {split} images; each "
                "shard needs one"
            )
        ordered = sorted(images, key=lambda image: _rank(image, split, seed))
        ends = [number * len(images) // count for number in range(count + 1)]
        for name, (begin, end) in zip(
            manifest.names(split, count), itertools.pairwise(ends), strict=True
        ):
            shards[name] = ordered[begin:end]
    return Plan(collection, seed, shards)


def default_count(split: str, images: Sequence[Stored]) -> int:
    """Returns a number of shards: a power of 2, 1,024 and 128 for all of ImageNet."""
    size = sum(image.length for image in images)
    count = _FEWEST
    while count * _BYTES < size and count < _MOST[split]:
        count *= 2
    return min(count, len(images))


def _rank(image: Stored, split: str, seed: int) -> tuple[bytes, str, int]:
    named = os.fsencode(f"{seed}/{split}/{image.name}")
    return hashlib.sha256(named).digest(), image.file, image.offset


def _digest(splits: Mapping[str, Sequence[Stored]]) -> str:
    digest = hashlib.sha256()
    for split in SPLITS:
        for image in splits[split]:
            line = f"{split}\t{image.name}\t{image.label}\t{image.length}\n"
            digest.update(os.fsencode(line))
    return digest.hexdigest()


def _counts(images: Sequence[Stored], labels: int) -> tuple[int, ...]:
    counted = collections.Counter(image.label for image in images)
    return tuple(counted[label] for label in range(labels))
