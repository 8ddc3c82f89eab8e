"""Keeps images of a run in this host's memory, so that later epochs read no file.

What an epoch reads is the same, bit for bit, with and without a cache.
"""

import concurrent.futures
import dataclasses
import itertools
import os
import weakref
from collections.abc import Iterable
from typing import Any, TypeVar

import tensorflow as tf

from efficientnet_tf.data import decoding
from efficientnet_tf.data.pixels import Pixels

_READERS = 16  # files read at once; a bucket's client takes 64 MB for each
_number = itertools.count()

S = TypeVar("S", bound=Any)  # tfrecord.Split


class Cache:
    """Files of one run in TensorFlow's file system in memory, and their pixels.

    Args:
        pixels: keeps decoded images; None keeps only the files as they are.
    """

    def __init__(self, pixels: Pixels | None = None):
        self.pixels = pixels
        self._folder = f"ram://efficientnet_tf-{next(_number)}/"
        self._there: set[str] = set()
        weakref.finalize(self, _remove, self._folder, self._there)

    def kept(self, split: S, files: Iterable[str]) -> S:
        """Returns a split whose files are read from memory, after copying them there.

        A file that cannot be read is left out; the pipeline that reads it says so.

        Args:
            split: a `tfrecord.Split`.
            files: those of its files that this host reads.
        """
        missing = [file for file in files if file not in self._there]
        with concurrent.futures.ThreadPoolExecutor(_READERS) as pool:
            copied = pool.map(self._copy, missing)
            self._there.update(itertools.compress(missing, copied))
        return dataclasses.replace(split, cache=self)

    def at(self, path: tf.Tensor) -> tf.Tensor:
        """Returns where the copy of a file is, string scalar."""
        return tf.strings.join([self._folder, path])

    def path(self, path: str) -> str:
        """Returns where the copy of a file is, or the file itself if there is none."""
        return self._folder + path if path in self._there else path

    def _copy(self, path: str) -> bool:
        try:
            # As bytes, because a path may be no text.
            tf.io.gfile.copy(os.fsencode(path), os.fsencode(self._folder + path))
        except tf.errors.OpError:
            return False
        return True


def _remove(folder: str, names: set[str]) -> None:
    for name in names:
        tf.io.gfile.remove(os.fsencode(folder + name))


def decoder(cache: Cache | None) -> decoding.Decode:
    """Returns the function that decodes windows of images, see `decode_window`."""
    if cache is None or cache.pixels is None:
        return decoding.decode_window
    return cache.pixels.decode_window
