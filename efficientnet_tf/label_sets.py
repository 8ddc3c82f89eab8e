"""Names of classes: those of known label sets, and files of names, one a line.

`imagenet_1k.tsv` holds the index, the synset, the words and the ILSVRC2012_ID of the
1,000 classes of ILSVRC 2012, sorted by synset, which is the order of all released
weights. Source: the list of synsets that ILSVRC 2012 published, and its development
kit, whose validation labels are these IDs; the words are WordNet's.
"""

import functools
import pathlib
from collections.abc import Sequence

FILE = "labels.txt"  # the file's name in runs, exports and folders of records
BACKGROUND = "background"  # the name of outputs before the first label
_IMAGENET = pathlib.Path(__file__).with_name("imagenet_1k.tsv")


@functools.cache
def imagenet() -> tuple[tuple[str, str], ...]:
    """Returns synset and name of each of ImageNet's 1,000 classes, in their order.

    The name is the first of the class's words, as in keras.applications. Two names,
    crane and maillot, are those of two classes each.
    """
    return tuple((synset, words.split(", ")[0]) for _, synset, words, _ in _rows())


def imagenet_ids() -> dict[int, str]:
    """Returns ImageNet's synsets by ILSVRC2012_ID, which is not their order."""
    return {int(number): synset for _, synset, _, number in _rows()}


def _rows() -> list[list[str]]:
    lines = _IMAGENET.read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines]


def names(label_set: str | None) -> tuple[str, ...] | None:
    """Returns the names of a label set's classes; None if they are not known.

    Args:
        label_set: name of the set, as passports state it.
    """
    if label_set == "imagenet-1k":
        return tuple(name for _, name in imagenet())
    return tuple("0123456789") if label_set == "digits" else None


def output_names(
    names: Sequence[str] | None, *, outputs: int, label_offset: int
) -> tuple[str, ...]:
    """Names the outputs of a classifier.

    Args:
        names: names of the labels; None if they are not known.
        outputs: int, number of the classifier's outputs.
        label_offset: int, outputs before the first label.

    Returns:
        "background" for each output before the first label, then the labels' names;
        "class 0" and on if these are not known or not as many as the labels.
    """
    labels = outputs - label_offset
    if names is None or len(names) != labels:
        names = [f"class {number}" for number in range(labels)]
    return (BACKGROUND,) * label_offset + tuple(names)


def dumps(names: Sequence[str]) -> str:
    """Returns the contents of a file of names."""
    return "".join(f"{name}\n" for name in names)


def loads(text: str) -> tuple[str, ...]:
    """Reads the contents of a file of names, one a line; the last lines may be empty.

    Raises:
        ValueError: naming an empty line among the others.
    """
    lines = text.removeprefix("\ufeff").rstrip().split("\n")
    found = tuple(printable(line.strip()) for line in lines)
    if "" in found:
        raise ValueError(f"line {found.index('') + 1} is empty")
    return found


def printable(text: str) -> str:
    """Returns a text as one line that every terminal and every file can take.

    Folders' names may hold line breaks, control characters and bytes that are no UTF-8:
    spaces take the place of the first, question marks of the others.
    """
    if text.isprintable():
        return text
    return "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "?"
