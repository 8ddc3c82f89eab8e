"""Words of strangers' files in errors: short, and in one line."""

from typing import Any

_SHOWN = 200  # letters of the file in one error
_SHORT = (int, float, type(None), Exception)  # what is written as it is


def shown(text: Any) -> str:
    """Returns text of a file for an error: in one line, and not long."""
    is_sequence = isinstance(text, (str, bytes, bytearray))
    if not is_sequence and not isinstance(text, _SHORT):
        return type(text).__name__  # a nest of tuples may be endless to write
    text = str(text[:_SHOWN] if is_sequence else text)[:_SHOWN]
    return text if text.isprintable() else repr(text)
