"""What main.py refuses, asked in this process: another takes 10 s to start."""

from absl.testing import flagsaver

import main


def refusal(*arguments) -> str:
    """The one line that main.py ends with, and says so to the shell."""
    with flagsaver.flagsaver():
        try:
            main.main(main.parse(["main.py", *map(str, arguments)]))
        except SystemExit as ended:
            (line,) = str(ended.code).splitlines()
            assert line.startswith("error: ")
            return line
    raise AssertionError(f"{arguments} were not refused")
