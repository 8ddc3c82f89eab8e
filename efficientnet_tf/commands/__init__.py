"""The modes of main.py, one module each; `run` takes plain arguments, returns a dict.

It raises ValueError, in one line, for a setting, file or folder that is wrong.
"""


class Incomplete(Exception):
    """Ends a command that has done all but a part of its work.

    Args:
        reason: a line that says which part is missing.
        result: what `run` would have returned, and main.py prints with --json.
    """

    def __init__(self, reason: str, result: dict):
        super().__init__(reason)
        self.result = result
