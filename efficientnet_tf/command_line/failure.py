"""An error as one line of words and one line of JSON; a program's exit code."""

import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from efficientnet_tf import disk, files, interruption
from efficientnet_tf.hardware import hosts

# What "kind" may be: a flag or its value; a file or folder; a number that is NaN or
# infinite; another host; Ctrl-C; a mistake of the user's that is none of these; ours.
KINDS = ("flag", "file", "number", "host", "interrupt", "other", "bug")

# Flags whose value is a file or a folder.
_PATHS = (
    *("data_dir", "model_dir", "export_dir", "cam_dir", "report_dir"),
    *("output", "weights", "dump", "flagfile"),
)
_FLAG = re.compile(r"(?:unknown flags? )?--([\w-]+)(?:=(.*?))?(?=[:;] |$| )")
_FILE = re.compile(r"(?:image (?:file|folder) (.+?)|([^\s:]\S*))(?=: | does| cannot)")


def one_line(text: str) -> str:
    """Writes line breaks and other control characters with backslashes.

    Args:
        text: an error's text, in which a file or a flag may be called anything.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def to_json(error: BaseException, text: str) -> str:
    """Returns an error as a line of JSON.

    Args:
        error: the error; its attribute `path`, if any, names a file or a layer.
        text: the line that the user is told.

    Returns:
        An object of "error", the text; "kind", one of KINDS; and "path", the file, flag
        or layer that is wrong, or null.
    """
    kind, path = _about(error, text)
    path = getattr(error, "path", None) or path
    return json.dumps({"error": text, "kind": kind, "path": path})


def end(error: BaseException, text: str, *, as_json: bool) -> NoReturn:
    """Ends the program with one line of error, and one of JSON if it is asked for.

    Args:
        error: what ended it.
        text: the error in words.
        as_json: whether JSON is asked for.
    """
    line = one_line(text)
    if as_json:
        print(to_json(error, line), flush=True)
    if isinstance(error, KeyboardInterrupt):
        print(f"error: {line}", file=sys.stderr)
        sys.exit(interruption.CODE)
    sys.exit(f"error: {line}")


def code(result: Mapping[str, Any]) -> int:
    """Returns the exit code of a program that ends with a result."""
    if result.get("stopped_by") == "SIGINT":
        return interruption.CODE
    return 1 if result.get("failed") else 0


def _about(error: BaseException, text: str) -> tuple[str, Any]:
    if isinstance(error, FloatingPointError):
        return "number", None
    if isinstance(error, hosts.HostLostError):
        return "host", None
    if isinstance(error, KeyboardInterrupt):
        return "interrupt", None
    path = getattr(error, "path", None)
    if isinstance(error, ValueError) and path:
        return "file", path
    flag = _FLAG.match(text)
    if flag and flag[1] in _PATHS and flag[2]:
        return "file", flag[2]
    if flag:
        return "flag", f"--{flag[1]}"
    file = _FILE.match(text)
    if file and (file[1] or os.sep in file[2] or os.path.exists(file[2])):
        return "file", file[1] or file[2]
    if disk.answer(error) and disk.place(error):
        return "file", disk.place(error)
    told = files.why_refused(error) or disk.answer(error)
    known = isinstance(error, ValueError) or told
    return ("other" if known else "bug"), None
