"""Writes the shards of a plan in parallel, and continues where a killed run stopped."""

import concurrent.futures
import dataclasses
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TextIO

from efficientnet_tf import files, label_sets, progress
from efficientnet_tf.data import inventory, manifest
from efficientnet_tf.data.writing import output_folder, shard_writer
from efficientnet_tf.data.writing.plan import SPLITS, Plan

_SECONDS_BETWEEN_MANIFESTS = 5  # a bucket takes one a second of the same name


def make(
    plan: Plan,
    output_dir: str,
    *,
    workers: int,
    skips: bool = False,
    stream: TextIO | None = None,
) -> "Made":
    """Writes the shards that are not there yet, or are damaged.

    Args:
        plan: what to write.
        output_dir: local folder or URL that is empty, or that the same plan began.
        workers: int, shards that are written at a time.
        skips: whether an image that cannot be decoded is left out, and no error.
        stream: stream for the progress; None is stderr.

    Raises:
        ValueError: naming what is wrong with the folder or an image.
    """
    output_dir = output_dir.rstrip("/")
    begun = output_folder.begin(output_dir, plan)
    space = output_folder.check_space(
        output_dir,
        [plan.bytes(name) for name in plan.shards if name not in begun.shards],
        workers=workers,
    )
    with output_folder.held(output_dir):
        log = _Log(output_dir, begun)
        whole = _whole(begun, output_dir, workers, skips)
        log.keep(whole)
        names = plan.collection.class_names
        if names is not None:
            text = label_sets.dumps(names)
            files.write_whole(f"{output_dir}/{label_sets.FILE}", text)
        missing = [name for name in plan.shards if name not in whole]
        print(
            f"writes {len(missing)} of {len(plan.shards)} shards to {output_dir}: "
            f"needs {space}",
            file=stream or sys.stderr,
            flush=True,
        )
        try:
            _write(plan, missing, output_dir, log.add, workers, skips, stream)
        finally:
            log.write()
    return Made(plan, output_dir, log.contents, tuple(missing))


@dataclasses.dataclass(frozen=True)
class Made:
    """A finished folder of records.

    Args:
        plan: what was to be written.
        output_dir: the folder.
        contents: what it holds.
        written: names of the shards that this call wrote.
    """

    plan: Plan
    output_dir: str
    contents: manifest.Manifest
    written: tuple[str, ...]

    @property
    def bad(self) -> list[tuple[str, manifest.Bad]]:
        """The images that were left out, with their splits."""
        return [
            (split, bad)
            for split in SPLITS
            for shard in self.contents.of_split(split)
            for bad in shard.bad
        ]

    def lines(self) -> list[str]:
        """Returns a table of the splits, and a line for each image that is left out."""
        parts = tuple(
            inventory.Part(
                split,
                self.contents.images(split),
                self.contents.shard_counts[split],
                self.contents.written_counts(split),
            )
            for split in SPLITS
        )
        collection = self.plan.collection
        told = inventory.Inventory(
            collection.dataset,
            self.output_dir,
            parts,
            collection.class_names,
            collection.left_out,
            collection.notes,
        ).lines()
        return told + [
            label_sets.printable(f"undecodable   {split}: {bad.name} ({bad.reason})")
            for split, bad in self.bad
        ]

    def report(self) -> dict:
        """Returns the same as plain data."""
        shards = self.contents.shards
        return {
            "dataset": self.contents.dataset,
            "output_dir": self.output_dir,
            "classes": self.plan.collection.labels,
            "images": {split: self.contents.images(split) for split in SPLITS},
            "shards": dict(self.contents.shard_counts),
            "bytes": sum(shard.bytes for shard in shards.values()),
            "written": len(self.written),
            "kept": len(shards) - len(self.written),
            "bad_images": [
                {"split": split, "name": bad.name, "reason": bad.reason}
                for split, bad in self.bad
            ],
            "left_out": list(map(dataclasses.asdict, self.plan.collection.left_out)),
        }


class _Log:
    """Keeps the manifest on disk as shards are finished."""

    def __init__(self, output_dir: str, begun: manifest.Manifest):
        self._path = f"{output_dir}/{manifest.FILE}"
        self._written = 0.0
        self.contents = begun

    def keep(self, shards: Mapping[str, manifest.Shard]) -> None:
        """Writes which shards need not be written."""
        self.contents = dataclasses.replace(self.contents, shards=dict(shards))
        self.write()

    def add(self, name: str, shard: manifest.Shard) -> None:
        """Adds a finished shard; writes the file if the last time is long ago."""
        shards = {**self.contents.shards, name: shard}
        self.contents = dataclasses.replace(self.contents, shards=shards)
        if time.monotonic() - self._written > _SECONDS_BETWEEN_MANIFESTS:
            self.write()

    def write(self) -> None:
        """Writes the file."""
        files.write_whole(self._path, self.contents.dumps())
        self._written = time.monotonic()


def _whole(
    begun: manifest.Manifest, output_dir: str, workers: int, skips: bool
) -> dict[str, manifest.Shard]:
    """Returns the finished shards that are as they were written."""
    # Those without some images are written again where this would be an error.
    usable = {n: shard for n, shard in begun.shards.items() if skips or not shard.bad}
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        paths = [f"{output_dir}/{name}" for name in usable]
        whole = pool.map(shard_writer.is_whole, paths, usable.values())
        found = zip(usable.items(), whole, strict=True)
        return {name: shard for (name, shard), is_whole in found if is_whole}


def _write(
    plan: Plan,
    names: list[str],
    output_dir: str,
    add: Callable[[str, manifest.Shard], None],
    workers: int,
    skips: bool,
    stream: TextIO | None,
) -> None:
    """Writes shards in threads: most of the work, decoding, is TensorFlow's."""
    stopped, lock = threading.Event(), threading.Lock()
    bar = progress.Images(sum(len(plan.shards[name]) for name in names), stream=stream)

    def count(images: int) -> None:
        with lock:
            bar.add(images)

    writer = shard_writer.ShardWriter(
        plan.collection.class_names,
        plan.collection.synsets,
        skips=skips,
        is_stopped=stopped.is_set,
        progress=count,
    )
    with bar, concurrent.futures.ThreadPoolExecutor(workers) as pool:
        jobs = {
            pool.submit(writer.write, f"{output_dir}/{name}", plan.shards[name]): name
            for name in names
        }
        try:
            for job in concurrent.futures.as_completed(jobs):
                add(jobs[job], job.result())
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
