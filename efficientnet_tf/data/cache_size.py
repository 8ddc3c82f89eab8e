"""Decides before training whether a cache fits into this host's memory."""

import concurrent.futures
import itertools
import os
import statistics
from collections.abc import Iterator, Sequence

import psutil
import tensorflow as tf

from efficientnet_tf.data import graphs, image_headers, tfrecord
from efficientnet_tf.data.batches import Shard
from efficientnet_tf.data.cache import Cache
from efficientnet_tf.data.pixels import Pixels
from efficientnet_tf.files import size_in_words

_USABLE = 0.8  # of the free memory; training needs some too
_SAMPLE_FILES, _SAMPLE_RECORDS = 64, 4  # whose headers tell how large images are
_CGROUP = "/sys/fs/cgroup/memory."
_ASKED_AT_ONCE = 16


def opened(
    mode: str, splits: Sequence[tfrecord.Split], shards: Sequence[Shard]
) -> tuple[Cache, str]:
    """Makes a cache that fits into the free memory.

    Args:
        mode: "encoded", the files as they are, or "decoded", their pixels too.
        splits: what the run reads.
        shards: the shares of it that this host reads.

    Returns:
        The cache, and a line that says what it takes.

    Raises:
        ValueError: naming the bytes that are needed and free.
    """
    free = free_bytes()
    encoded = sum(file_bytes(split, shards) for split in splits)
    needed = encoded
    if mode == "decoded":
        needed += sum(pixel_bytes(split, shards) for split in splits)
    room = int(_USABLE * free)
    told = (
        f"{size_in_words(needed)} of this host's memory, of which "
        f"{size_in_words(free)} are free"
    )
    if needed > room:
        smaller = f"--cache=encoded needs {size_in_words(encoded)}, "
        raise ValueError(
            f"cache={mode}: needs {told}, and {1 - _USABLE:.0%} have to remain; "
            f"{smaller if encoded <= room and mode == 'decoded' else ''}"
            "--cache=none needs none"
        )
    pixels = Pixels(room - encoded) if mode == "decoded" else None
    return Cache(pixels), f"cache         {mode}: about {told}"


def file_bytes(split: tfrecord.Split, shards: Sequence[Shard]) -> int:
    """Returns the size of a host's files of a split; 0 for those that are missing.

    Args:
        split: the split.
        shards: the shares that the host reads.
    """
    with concurrent.futures.ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        return sum(pool.map(_length, _files(split, shards)))


def pixel_bytes(split: tfrecord.Split, shards: Sequence[Shard]) -> int:
    """Estimates the bytes of a host's images of a split, decoded, from their headers.

    Args:
        split: the split.
        shards: the shares that the host reads.
    """
    files = _files(split, shards)
    some = files[:: -(-len(files) // _SAMPLE_FILES) or 1]
    sizes = [
        3 * header.height * header.width
        for file in some
        for header in _headers(split, file)
    ]
    images = split.images * len(files) / max(1, len(split.files))
    return round(images * statistics.fmean(sizes)) if sizes else 0


def free_bytes() -> int:
    """Returns the memory that this process can still get, in bytes."""
    free = psutil.virtual_memory().available
    try:
        with open(f"{_CGROUP}max") as most, open(f"{_CGROUP}current") as current:
            return min(free, int(most.read()) - int(current.read()))
    except (OSError, ValueError):  # there is no limit: it reads "max"
        return free


def _files(split: tfrecord.Split, shards: Sequence[Shard]) -> list[str]:
    shares = (split.files[shard.index :: shard.count] for shard in shards)
    return list(itertools.chain.from_iterable(shares))


def _length(file: str) -> int:
    try:
        return tf.io.gfile.stat(os.fsencode(file)).length
    except tf.errors.OpError:
        return 0


def _headers(split: tfrecord.Split, file: str) -> Iterator[image_headers.Header]:
    """Yields the headers of some images of a file; none of those it cannot read."""
    entries = tf.data.Dataset.from_tensors(split.entry(file))
    records = split.records(entries).take(_SAMPLE_RECORDS).map(split.example)
    for encoded, _ in graphs.untuned(records.ignore_errors()).as_numpy_iterator():
        try:
            yield image_headers.read(encoded)
        except ValueError:
            continue
