"""Predictions as lines of a table for people, and as rows of a CSV file."""

from collections.abc import Iterable, Iterator, Sequence

from efficientnet_tf.label_sets import printable

_WIDTH = 100  # columns of a line, unless the file's path alone takes most of them
_LONGEST_PATH = 66  # longer ones push the columns beside them to the right
_LONGEST_NAME = 24  # so do longer names
LIKELY = 0.5  # the probability from which an image is said to have a class


class Table:
    """The layout of a table: file, likeliest class, its share, then the others.

    Args:
        paths: paths of all image files.
        class_names: names of all classes.
        multi_label: whether an image may have several classes: other classes are then
            told if they are likely, however much room they take.
    """

    def __init__(
        self,
        paths: Sequence[str],
        class_names: Sequence[str],
        *,
        multi_label: bool = False,
    ):
        self._multi_label = multi_label
        self._path = min(_LONGEST_PATH, max(map(len, paths)))
        self._name = min(_LONGEST_NAME, max(map(len, class_names)))

    def line(self, result: dict) -> str:
        """Returns one file's line, with as many other classes as have room.

        Args:
            result: a file's predictions, see `predict.predict_each`.
        """
        first, *others = result["predictions"]
        path = printable(result["file"])
        line = f"{path:{self._path}}  {first['name']:{self._name}}"
        line += f"  {first['probability']:6.1%}"
        separator = "   "
        for other in others:
            told = f"{separator}{other['name']} {other['probability']:.1%}"
            has_room = len(line) + len(told) <= _WIDTH
            is_likely = other["probability"] >= LIKELY
            if not (is_likely if self._multi_label else has_room):
                break
            line += told
            separator = ", "
        return line


def csv_rows(results: Iterable[dict], *, top_k: int) -> Iterator[dict]:
    """Makes a row of each file's result.

    Args:
        results: results of `predict.predict_each`, of files that can be read and not.
        top_k: int, how many classes each file's predictions rank at most.

    Yields:
        "file"; "class", "name" and "probability" of the likeliest class; the same with
        _2, _3 and on for the next ones; "error", the line that says why the file cannot
        be read. What there is not is "".
    """
    fields = ("class", "name", "probability")
    for result in results:
        row = {"file": result["file"]}
        for place in range(top_k):
            one = dict(enumerate(result.get("predictions", ()))).get(place, {})
            suffix = f"_{place + 1}" * (place > 0)
            row |= {f + suffix: one.get(f, "") for f in fields}
        yield row | {"error": result.get("error", "")}
