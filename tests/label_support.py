"""Small pictures with several labels, the colours that can be seen in them."""

import csv
import io
import itertools
import pathlib

import numpy as np
from PIL import Image

COLOURS = {"blue": (20, 40, 250), "green": (30, 240, 40), "red": (250, 30, 20)}
# violet is named and never seen.
CLASSES = (*COLOURS, "violet")
TRAIN, VALIDATION = 64, 21  # images
SIDE = 32
_SETS = [
    names
    for count in range(len(COLOURS) + 1)
    for names in itertools.combinations(COLOURS, count)
]


def labels_of(number: int) -> tuple[str, ...]:
    """The labels of an image: all sets of colours in turn, the empty one too."""
    return _SETS[number % len(_SETS)]


def picture(number: int) -> bytes:
    """Grey noise with a square for each colour, in quarters that are drawn."""
    rng = np.random.default_rng(number)
    pixels = np.repeat(rng.integers(0, 120, (SIDE, SIDE, 1), "uint8"), 3, 2)
    half = SIDE // 2
    quarters = [(y, x) for y in (0, half) for x in (0, half)]
    names = labels_of(number)
    for name, place in zip(names, rng.permutation(4), strict=False):
        y, x = quarters[place]
        pixels[y + 2 : y + half - 1, x + 2 : x + half - 1] = COLOURS[name]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def fill(root: pathlib.Path, *, train: int = TRAIN, validation: int = VALIDATION):
    """Writes pictures, labels.txt, train.csv and val.csv; returns the folder."""
    (root / "photos").mkdir(parents=True)
    (root / "labels.txt").write_text("\n".join(CLASSES))
    numbers = iter(range(train + validation))
    for name, count in (("train", train), ("val", validation)):
        rows = []
        for number in itertools.islice(numbers, count):
            path = root / "photos" / f"{number:03d}.png"
            path.write_bytes(picture(number))
            rows.append((f"photos/{number:03d}.png", "|".join(labels_of(number))))
        write(root / f"{name}.csv", ("file", "labels"), rows)
    return root


def write(path: pathlib.Path, columns, rows) -> None:
    """Writes a CSV file."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """The mean, over true images, of the precision among all as likely or likelier.

    Args:
        labels: bool [images], at least one of them true.
        scores: float [images].
    """
    precisions = [labels[scores >= score].mean() for score in scores[labels]]
    return float(np.mean(precisions))
