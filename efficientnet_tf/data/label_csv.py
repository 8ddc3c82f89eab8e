"""CSV files of images and labels: reading and checking, without TensorFlow.

DIR/train.csv and DIR/val.csv (or validation.csv, or test.csv) have a line for each
image. The column `file` is its path, from DIR or absolute. The column `label` has its
one label; in its place the column `labels` has any number of them, separated by "|".
Other columns are ignored. DIR/train.csv alone is divided by `val_fraction`.
"""

import dataclasses
import functools
import os
from collections.abc import Sequence

from efficientnet_tf import label_sets, suffixes
from efficientnet_tf.data import csv_lines, folder, held_out
from efficientnet_tf.data.folder import Image
from efficientnet_tf.spelling import did_you_mean

TRAIN = "train.csv"
TRAINING_LAYOUT = (
    "training needs DIR/train.csv and DIR/val.csv, or DIR/train.csv and "
    "--val_fraction=0.2"
)
SEPARATOR = "|"
_VALIDATION = ("val.csv", "validation.csv", "test.csv")  # the first that exists is used
_FILE, _ONE, _MANY = "file", "label", "labels"


@dataclasses.dataclass(frozen=True)
class Row:
    """One image of a CSV file.

    Args:
        where: the CSV file and the line, for errors.
        path: path of the image.
        names: its labels.
    """

    where: str
    path: str
    names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """One CSV file; `column` is that of the labels."""

    path: str
    column: str
    rows: tuple[Row, ...]


@dataclasses.dataclass(frozen=True)
class Listing:
    """The images of a data set; a table is None where there is no such file.

    `train` without `validation` is to be divided.
    """

    train: Table | None
    validation: Table | None
    classes: tuple[str, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that there are, one at least."""
        return tuple(table for table in (self.train, self.validation) if table)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have any number of labels."""
        return self.tables[0].column == _MANY

    def images(self, table: Table) -> tuple[Image, ...]:
        """Lists the images of one of the tables, sorted by their labels.

        Images at even distances then give each combination of labels its share.
        """
        number = {name: i for i, name in enumerate(self.classes)}
        found = (
            (row.path, tuple(sorted(number[name] for name in row.names)))
            for row in table.rows
        )
        return tuple(sorted(found, key=lambda image: (image[1], image[0])))


def read(
    data_dir: str,
    *,
    num_classes: int | None = None,
    multi_label: bool | None = None,
    val_fraction: float = 0.0,
) -> Listing:
    """Reads the CSV files of a folder; opens no image.

    Args:
        data_dir: local folder.
        num_classes: int, the number of labels to require; None takes any number.
        multi_label: False refuses a column `labels`; None and True do not.
        val_fraction: float, the share of train.csv to validate with; 0 where
            validation has a file of its own.

    Raises:
        ValueError: naming the file, the line and what helps.
    """
    if "://" in data_dir:
        raise ValueError(
            f"data_dir={data_dir}: CSV files and their images are read from local "
            "disks; write TFRecords for gs://"
        )
    root = data_dir.rstrip("/") or "/"
    train, validation = _tables(root, val_fraction)
    tables = [table for table in (train, validation) if table]
    _check_agreement(tables)
    if multi_label is False and tables[-1].column == _MANY:
        raise ValueError(
            f"multi_label=False: {tables[-1].path} has the column {_MANY}, any number "
            f"of them for an image; allowed is a column {_ONE}, one for each image"
        )
    classes = _classes(root, tables)
    if num_classes not in (None, len(classes)):
        raise ValueError(
            f"num_classes={num_classes}: data_dir={data_dir} holds {len(classes)} "
            f"labels; the two must agree ({root}/{label_sets.FILE} may name labels "
            "that no image has)"
        )
    return Listing(train, validation, classes)


def divide(
    listing: Listing, data_dir: str, val_fraction: float, seed: int
) -> folder.Found:
    """Returns the images of each split; see `folder.read` for the arguments."""
    train = listing.images(listing.train) if listing.train else None
    validation = listing.images(listing.validation) if listing.validation else None
    notes: tuple[str, ...] = ()
    if train and not validation:
        validation, train = held_out.by_name(
            train,
            data_dir,
            fraction=val_fraction,
            seed=seed,
            in_each=not listing.multi_label,
        )
        notes = (held_out.in_words(val_fraction, seed, TRAIN),)
    return folder.Found(
        *(train, validation or (), listing.classes, listing.multi_label), notes=notes
    )


def check_files(listing: Listing) -> None:
    """Raises ValueError for the first image that does not exist."""
    for table in listing.tables:
        for row in table.rows:
            if not os.path.isfile(row.path):
                raise ValueError(
                    f"{row.where}: {row.path} is not there; a path begins in the "
                    "folder of the CSV file, or is absolute"
                )


def _tables(root: str, val_fraction: float) -> tuple[Table | None, Table | None]:
    try:
        names = {entry.name for entry in os.scandir(root) if entry.is_file()}
    except OSError as error:
        raise ValueError(f"data_dir={root}: {error.strerror}") from None
    there = [name for name in _VALIDATION if name in names]
    if there and val_fraction:
        raise ValueError(
            f"val_fraction={val_fraction}: data_dir={root} has images for validation "
            f"in {there[0]}; allowed is 0"
        )
    if TRAIN in names and val_fraction:
        return _table(root, TRAIN), None
    if not there:
        raise ValueError(
            f"data_dir={root}: holds none of {', '.join(_VALIDATION)}; "
            f"{TRAINING_LAYOUT}"
        )
    train = _table(root, TRAIN) if TRAIN in names else None
    return train, _table(root, there[0])


def _table(root: str, name: str) -> Table:
    """Reads one CSV file, which a start needs several times, once."""
    status = os.stat(f"{root}/{name}")
    return _read(root, name, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=2)
def _read(root: str, name: str, *version: int) -> Table:
    """Reads a version of a CSV file; 100,000 lines take 2 s."""
    path = f"{root}/{name}"
    lines = csv_lines.lines(path)
    where, head = next(lines, (path, []))
    if not head:
        raise ValueError(f"{path}: is empty; its first line must name the columns")
    names = [cell.strip() for cell in head]
    column = _label_column(where, names)
    rows: dict[str, Row] = {}
    for where, cells in lines:
        row = _row(root, where, names, cells)
        if row.path in rows:
            first = rows[row.path].where.rpartition(", ")[2]
            raise ValueError(
                f"{where}: {row.path} is in {first} too; an image has one line"
            )
        rows[row.path] = row
    if not rows:
        raise ValueError(f"{path}: names no images; each line below the first is one")
    return Table(path, column, tuple(rows.values()))


def _row(root: str, where: str, names: Sequence[str], cells: Sequence[str]) -> Row:
    """Reads the cells of a line below the names of the columns."""
    if len(cells) != len(names):
        raise ValueError(
            f"{where}: has {len(cells)} cells for {len(names)} columns; a cell with a "
            'comma needs quotes: "a, b"'
        )
    told = {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
    column = _ONE if _ONE in told else _MANY
    path = _image(root, where, told[_FILE])
    return Row(where, path, _names(where, column, told[column]))


def _label_column(where: str, names: Sequence[str]) -> str:
    """Returns which of the two columns of labels there is."""
    for name in (_FILE, _ONE, _MANY):
        if names.count(name) > 1:
            raise ValueError(f"{where}: names the column {name} twice; keep one")
    there = [name for name in (_ONE, _MANY) if name in names]
    if len(there) == 2:
        raise ValueError(
            f"{where}: names the columns {_ONE} and {_MANY}; keep {_ONE}, one for each "
            f"image, or {_MANY}, any number of them"
        )
    if _FILE not in names or not there:
        missing = _FILE if _FILE not in names else f"{_ONE} or {_MANY}"
        told = label_sets.printable(", ".join(names))
        raise ValueError(
            f"{where}: names no column {missing}, but {told}; the first line must name "
            f"{_FILE} and {_ONE} or {_MANY}, separated by commas (--dataset=folder "
            "takes images by class in place of CSV files)"
        )
    return there[0]


def _image(root: str, where: str, file: str) -> str:
    """Returns an image's path, so that equal images have equal ones."""
    if not file:
        raise ValueError(f"{where}: {_FILE} is empty; it must be the image's path")
    if os.path.splitext(file)[1].lower() not in suffixes.IMAGES:
        raise ValueError(
            f"{where}: {label_sets.printable(file)} cannot be read; allowed is "
            f"{', '.join(suffixes.IMAGES)}"
        )
    return os.path.normpath(os.path.join(root, file))


def _names(where: str, column: str, cell: str) -> tuple[str, ...]:
    """Returns the labels in a cell, each once."""
    cell = label_sets.printable(cell)
    if column == _MANY:
        names = [name.strip() for name in cell.split(SEPARATOR)] if cell else []
        if "" in names:
            raise ValueError(
                f"{where}: one of {_MANY} {cell!r} is empty; write a|b for two labels, "
                "nothing for none"
            )
        return tuple(dict.fromkeys(names))
    if not cell:
        raise ValueError(
            f"{where}: {_ONE} is empty; each image needs one (a column {_MANY} in its "
            "place may be empty)"
        )
    return (cell,)


def _check_agreement(tables: Sequence[Table]) -> None:
    """Raises ValueError where train and validation contradict each other."""
    first, last = tables[0], tables[-1]
    if first.column != last.column:
        raise ValueError(
            f"{last.path}: has the column {last.column}, {os.path.basename(first.path)}"
            f" has {first.column}; both need the same"
        )
    seen = {row.path: row.where for row in first.rows}
    for row in last.rows if len(tables) > 1 else ():
        if row.path in seen:
            raise ValueError(
                f"{row.where}: {row.path} is also in {seen[row.path]}; an image that "
                "is trained on cannot be used for validation"
            )


def _classes(root: str, tables: Sequence[Table]) -> tuple[str, ...]:
    """Finds the labels' names, and checks that there are no others."""
    path = f"{root}/{label_sets.FILE}"
    if os.path.exists(path):
        names = _listed(path)
        known_by = path
    else:
        names = tuple(sorted({name for row in tables[0].rows for name in row.names}))
        known_by = tables[0].path
    if not names:
        raise ValueError(f"{known_by}: no image has a label; there is nothing to learn")
    known = set(names)
    for row in (row for table in tables for row in table.rows):
        for name in row.names:
            if name not in known:
                hint = did_you_mean(name, names)
                raise ValueError(
                    f"{row.where}: label {name!r} is not in {known_by}; correct it, or "
                    f"name all labels in {path}, one a line{hint}"
                )
    return names


def _listed(path: str) -> tuple[str, ...]:
    """Reads labels.txt."""
    try:
        names = label_sets.loads(csv_lines.text(path))
    except ValueError as error:
        told = str(error)
        raise ValueError(told if path in told else f"{path}: {told}") from None
    seen: set[str] = set()
    for number, name in enumerate(names, start=1):
        if name in seen:
            raise ValueError(f"{path}: line {number} names {name} again; keep one")
        seen.add(name)
    return names
