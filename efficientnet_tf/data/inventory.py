"""What a data set holds, and what was left out and why; no TensorFlow."""

import dataclasses
import json
from collections.abc import Iterable, Sequence

from efficientnet_tf import label_sets


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """Files of a data set that are not used.

    Args:
        reason: why, in words that follow "left out: 3 files are".
        count: int, number of files or folders.
        example: path of one of them.
    """

    reason: str
    count: int
    example: str


class Tally:
    """Counts what is left out, by reason."""

    def __init__(self) -> None:
        self._found: dict[str, LeftOut] = {}

    def add(self, reason: str, example: str) -> None:
        """Counts one file or folder; the first of a reason is its example."""
        known = self._found.get(reason, LeftOut(reason, 0, example))
        self._found[reason] = dataclasses.replace(known, count=known.count + 1)

    def left_out(self) -> tuple[LeftOut, ...]:
        """Returns what was counted, in the order in which reasons appeared."""
        return tuple(self._found.values())


@dataclasses.dataclass(frozen=True)
class Part:
    """One split.

    Args:
        name: "train", "minival" or "validation".
        images: int, number of images.
        files: int, number of files that hold them.
        counts: number of images of each class, in their order; None if not known.
        names: SHA-256 of the files' names and labels; None where it was not computed.
        sizes: SHA-256 of the bytes of some files; None where it was not computed.
    """

    name: str
    images: int
    files: int
    counts: tuple[int, ...] | None
    names: str | None = None
    sizes: str | None = None


@dataclasses.dataclass(frozen=True)
class Inventory:
    """What was found, for people (`lines`) and programs (`dumps`).

    Args:
        dataset: name of the data set.
        data_dir: its folder; None for the cache.
        parts: the splits.
        class_names: names of the classes, in order; None if they are not known.
        left_out: what is not used, and why.
        notes: what else was decided about the data, a sentence each.
    """

    dataset: str
    data_dir: str | None
    parts: tuple[Part, ...]
    class_names: tuple[str, ...] | None
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    def dumps(self) -> str:
        """Returns the contents of `data.json`."""
        told = dataclasses.asdict(self) | {
            "parts": [
                dataclasses.asdict(part) | self._extremes(part) for part in self.parts
            ]
        }
        # Bytes of a name that are no UTF-8 are written as \udc.. escapes.
        return json.dumps(told, indent=2) + "\n"

    def lines(self) -> list[str]:
        """Returns a table of the splits, and a line for each reason and note."""
        place = f" in {self.data_dir}" if self.data_dir else ""
        head = ("split", "images", "files", "classes", "smallest", "largest")
        rows = [head, *(self._row(part) for part in self.parts)]
        told = [f"data          {self.dataset}{place}", *_table(rows)]
        told += [
            f"left out      {found.count} {found.reason}: {found.example}"
            + (" and others" if found.count > 1 else "")
            for found in self.left_out
        ]
        told += [f"note          {note}" for note in self.notes]
        return [label_sets.printable(line) for line in told]

    def _row(self, part: Part) -> tuple[str, ...]:
        extremes = self._extremes(part)
        shown = (
            f"{found['images']} {found['name']}" if found else "not counted"
            for found in (extremes["smallest"], extremes["largest"])
        )
        classes = extremes["classes"]
        return (
            *(part.name, str(part.images), str(part.files)),
            *("-" if classes is None else str(classes), *shown),
        )

    def _extremes(self, part: Part) -> dict:
        """Returns the classes with images, the smallest of all classes and the largest.

        The smallest may be a class without images.
        """
        if not part.counts:
            return {"classes": None, "smallest": None, "largest": None}
        names = self.class_names or [f"class {i}" for i in range(len(part.counts))]
        smallest, largest = min(part.counts), max(part.counts)
        told = {
            name: {"name": names[part.counts.index(count)], "images": count}
            for name, count in (("smallest", smallest), ("largest", largest))
        }
        return told | {"classes": sum(count > 0 for count in part.counts)}


def _table(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        first, *numbers = row[:4]
        cells = [first.ljust(max(widths[0], 12))]
        cells += [
            cell.rjust(width) for cell, width in zip(numbers, widths[1:4], strict=True)
        ]
        cells += [row[4].ljust(widths[4]), row[5]]
        yield "  ".join(cells).rstrip()
