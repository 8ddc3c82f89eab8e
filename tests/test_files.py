import os
import subprocess
import sys

import pytest

from efficientnet_tf import files

WRITER = """
import sys
from efficientnet_tf import files
path, word, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
for _ in range(rounds):
    with files.replacing(path) as partial, open(partial, "w") as file:
        for _ in range(1000):
            print(word, file=file)
"""


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "made" / "file.txt"
    with files.replacing(str(path)) as partial, open(partial, "w") as file:
        file.write("whole")
    with pytest.raises(RuntimeError), files.replacing(str(path)) as partial:
        with open(partial, "w") as file:
            file.write("ha")
        raise RuntimeError
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["file.txt"]


def test_two_processes_write_whole_files(tmp_path):
    path = tmp_path / "file.txt"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), word, "300"])
        for word in ("one", "two")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert path.read_text() in ("one\n" * 1000, "two\n" * 1000)
    assert os.listdir(tmp_path) == ["file.txt"]
