"""Reads the lines of CSV files, and says where one cannot be read; no TensorFlow."""

import csv
import io
from collections.abc import Iterator


def lines(path: str) -> Iterator[tuple[str, list[str]]]:
    """Yields the lines of a CSV file that are not blank, and where each begins.

    Raises:
        ValueError: naming the file and the line that is no CSV, or no UTF-8.
    """
    content = io.StringIO(text(path), newline="")
    reader = csv.reader(content, strict=True, skipinitialspace=True)
    number = 1
    try:
        for cells in reader:
            if cells:
                yield f"{path}, line {number}", cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}, line {number}: is no CSV ({error})") from None


def text(path: str) -> str:
    """Reads a UTF-8 file, with or without a byte-order mark; see `lines`."""
    try:
        with open(path, "rb") as file:
            content = file.read()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: is not UTF-8; save the file in this encoding"
        ) from None
