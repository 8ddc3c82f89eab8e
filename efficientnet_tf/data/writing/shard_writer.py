"""Writes one record file whole, reads it back, and tells a damaged one."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf

from efficientnet_tf import files
from efficientnet_tf.data import decoding, image_headers, manifest, tfrecord
from efficientnet_tf.data.writing.stored import Stored


class Stopped(Exception):
    """The shard is not written, because another one failed."""


@dataclasses.dataclass(frozen=True)
class ShardWriter:
    """Writes record files of one data set.

    Args:
        class_names: names of the labels; None if they are not known.
        synsets: the labels' synsets; None if the classes are not WordNet's.
        skips: whether an image that cannot be decoded is left out, and no error.
        is_stopped: asked at each image; ends the writing.
        progress: called with the number of images that are done since the last call.
    """

    class_names: Sequence[str] | None
    synsets: Sequence[str] | None
    skips: bool
    is_stopped: Callable[[], bool] = lambda: False
    progress: Callable[[int], None] = lambda images: None

    def write(self, path: str, images: Iterable[Stored]) -> manifest.Shard:
        """Writes a file, which appears under its name once it is read back.

        Args:
            path: path or URL of the file.
            images: what it will hold, in this order.

        Raises:
            ValueError: naming the image that cannot be read or decoded.
            OSError: if the file does not hold what was written.
        """
        with files.replacing(path) as partial:
            with tf.io.TFRecordWriter(partial) as writer:
                count, bad = self._write(writer, images)
            shard = _read_back(partial, count)
        if files.is_url(path) and not is_whole(path, shard):
            raise OSError(f"{path}: is not as long as what was uploaded")
        return dataclasses.replace(shard, bad=tuple(bad))

    def _write(
        self, writer: tf.io.TFRecordWriter, images: Iterable[Stored]
    ) -> tuple[int, list[manifest.Bad]]:
        count, bad = 0, []
        for image in images:
            if self.is_stopped():
                raise Stopped
            encoded = image.read()
            if reason := decoding.reason(encoded):
                bad.append(manifest.Bad(image.name, image.label, reason))
                self._check_may_skip(image, reason)
            else:
                writer.write(self._record(image, encoded))
                count += 1
            self.progress(1)
        return count, bad

    def _check_may_skip(self, image: Stored, reason: str) -> None:
        if not self.skips:
            inside = f" in {image.file}" if image.offset else ""
            raise ValueError(
                f"{image.name}{inside} cannot be decoded ({reason}); "
                "--on_bad_image=skip goes on without such images and lists them"
            )

    def _record(self, image: Stored, encoded: bytes) -> bytes:
        """Returns a serialized example with the features of ImageNet's records."""
        header = image_headers.read(encoded)
        values: dict[str, bytes | int] = {
            "image/encoded": encoded,
            "image/class/label": image.label + 1,
            "image/filename": os.fsencode(image.name),
            "image/format": header.format.encode(),
            "image/height": header.height,
            "image/width": header.width,
        }
        if self.class_names is not None:
            values["image/class/text"] = self.class_names[image.label].encode()
        if self.synsets is not None:
            values["image/class/synset"] = os.fsencode(self.synsets[image.label])
        return tfrecord.serialize(values)


def is_whole(path: str, shard: manifest.Shard) -> bool:
    """Whether a file is as it was written.

    Args:
        path: path of the file. Of one under a URL only the size is compared: a bucket
            keeps checksums of its own.
        shard: what the manifest says of it.
    """
    if files.is_url(path):
        try:
            return tf.io.gfile.stat(path).length == shard.bytes
        except tf.errors.NotFoundError:
            return False
    if not os.path.isfile(path) or os.path.getsize(path) != shard.bytes:
        return False
    return _sha256(path) == shard.sha256


def _read_back(path: str, count: int) -> manifest.Shard:
    """Reads a file to its end, which compares the checksum of each record."""
    try:
        records = tf.data.TFRecordDataset(os.fsencode(path))
        found = int(records.reduce(tf.zeros([], tf.int64), lambda total, _: total + 1))
    except tf.errors.DataLossError as error:
        raise OSError(f"{path}: reads back damaged ({files.reason(error)})") from None
    if found != count:
        raise OSError(f"{path}: reads back {found} of {count} records")
    return manifest.Shard(count, os.path.getsize(path), _sha256(path))


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
