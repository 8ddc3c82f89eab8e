"""Damages the files of a run's folder, by a seed, as disks and people do.

A caller copies a run's folder, does one `Damage` to the copy, and looks whether a
command gives the right result or names the file.
"""

import dataclasses
import os
import pathlib
import random
from collections.abc import Iterator, Sequence

KINDS = ("truncated", "flipped", "missing", "garbage", "unreadable")
_FOLDERS = ("checkpoints", "best")


@dataclasses.dataclass(frozen=True)
class Damage:
    """What happens to one file.

    Args:
        file: path of the file, from the run's folder.
        kind: one of `KINDS`. "truncated" cuts the file at a random length, "flipped"
            changes one random bit, "garbage" puts random bytes of the same length in
            its place. "unreadable" forbids reading; where that stops nobody, as with
            root, a folder takes the file's place.
        seed: int, decides what is random.
    """

    file: str
    kind: str
    seed: int

    def do(self, folder: str | os.PathLike) -> None:
        """Damages the file in a run's folder.

        Args:
            folder: path of the run's folder, on this machine.
        """
        path = pathlib.Path(folder, self.file)
        draw = random.Random(f"{self.seed} {self.kind} {self.file}")
        if self.kind == "missing":
            path.unlink()
        elif self.kind == "unreadable":
            _forbid(path)
        else:
            path.write_bytes(_changed(path.read_bytes(), self.kind, draw))


def damages(
    folder: str | os.PathLike, *, kinds: Sequence[str] = KINDS, seed: int = 0
) -> Iterator[Damage]:
    """Lists a damage of each kind to each file of a run.

    Args:
        folder: path of the run's folder, on this machine.
        kinds: those of `KINDS` that are wanted.
        seed: int, decides what is random.
    """
    for file in files_of(folder):
        for kind in kinds:
            yield Damage(file, kind, seed)


def files_of(folder: str | os.PathLike) -> list[str]:
    """Lists the files that a run consists of, without events, reports and exports.

    Args:
        folder: path of the run's folder, on this machine.
    """
    root = pathlib.Path(folder)
    names = ("*.json", "*.jsonl", "labels.txt", *(f"{name}/*" for name in _FOLDERS))
    found = (path for name in names for path in root.glob(name) if path.is_file())
    return sorted(str(path.relative_to(root)) for path in found)


def _changed(content: bytes, kind: str, draw: random.Random) -> bytes:
    if kind == "truncated":
        return content[: draw.randrange(len(content))]
    if kind == "garbage":
        return draw.randbytes(len(content))
    changed = bytearray(content)
    changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _forbid(path: pathlib.Path) -> None:
    path.chmod(0)
    try:
        path.open("rb").close()
    except PermissionError:
        return
    path.unlink()
    path.mkdir()
