"""Common parts of the tools: errors in one line, --json, main.py's flags."""

from efficientnet_tf import interruption

if __name__ == "tool":
    interruption.end_at_once()  # while a tool's modules are imported

import importlib.util
import json
import os
import pathlib
import sys
from collections.abc import Callable

from absl import app
from absl import flags as absl_flags

from efficientnet_tf import disk, files
from efficientnet_tf.command_line import failure

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

_FLAGS_FILE = pathlib.Path(__file__).parents[1] / "flags.py"


def run(
    work: Callable[[list[str]], dict],
    *,
    errors: tuple[type[Exception], ...] = (ValueError, FloatingPointError, OSError),
    in_words: Callable[[Exception], str] = str,
) -> None:
    """Runs a tool: prints its result with --json, and its errors as one line.

    Args:
        work: function from the arguments that are no flags to plain data.
        errors: types of exceptions that are mistakes of the user.
        in_words: function from such an exception to its message.
    """

    def main(argv: list[str]) -> int:
        try:
            with interruption.raised():
                result = work(argv[1:])
        except KeyboardInterrupt as error:
            failure.end(error, interruption.TEXT, as_json=absl_flags.FLAGS.json)
        except Exception as error:
            told = files.why_refused(error) or disk.in_words(error)
            if not (told or isinstance(error, errors)):
                raise
            failure.end(error, told or in_words(error), as_json=absl_flags.FLAGS.json)
        if absl_flags.FLAGS.json:
            print(json.dumps(result))
        return failure.code(result)

    app.run(main, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    """Parses flags as main.py does, if the tool has main.py's flags."""
    flags = sys.modules.get("flags")
    if flags is None:
        return app.parse_flags_with_usage(argv)
    try:
        return flags.parse(argv)
    except ValueError as error:
        sys.exit(f"error: {failure.one_line(flags.in_words(error))}")


def run_flags():
    """Imports flags.py, which is not in the package; the import defines the flags."""
    if "flags" not in sys.modules:
        spec = importlib.util.spec_from_file_location("flags", _FLAGS_FILE)
        sys.modules["flags"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["flags"]
