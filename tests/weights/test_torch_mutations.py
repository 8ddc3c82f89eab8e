"""A thousand damaged and hostile .pth files: no code runs, one line each, or values."""

import os
import pathlib
import pickletools
import time

import numpy as np
import pytest
import torch_saving as support
from zip_files import write_zip

from efficientnet_tf.weights import torch_files

FILES = 500  # of each format
# Calls that would create the file `trace`, for the machines that know them.
PATH = b"X\x05\x00\x00\x00trace"
CALLS = (
    b"cos\nmkdir\n(" + PATH + b"tR",
    b"cposix\nmkdir\n" + PATH + b"\x85R",
    b"\x8c\x02os\x8c\x05mkdir\x93" + PATH + b"\x85R",
    b"(" + PATH + b"ios\nmkdir\n",
    b"(cos\nmkdir\n" + PATH + b"o",
    b"cbuiltins\nexec\nX\x0f\x00\x00\x00open('trace','w')\x85R",
    b"cos\nsystem\nX\x0b\x00\x00\x00touch trace\x85R",
)


def state():
    """Lukemelas' names, so that an undamaged file gets as far as a network."""
    rng = np.random.default_rng(0)
    arrays = {f"layer{i}.weight": rng.normal(size=(4, 3)) for i in range(12)}
    arrays["_conv_stem.weight"] = rng.normal(size=(8, 3, 3, 3)).astype("f4")
    return support.tensors(arrays) | {"_bn0.bias": support.tensor(np.zeros(4, "f2"))}


def boundaries(pickled):
    """Where the operations of a pickle begin."""
    return [place for _, _, place in pickletools.genops(pickled)][1:]


def inserted(rng, pickled):
    """A call, or an operation of the pickle itself, between two operations."""
    places = boundaries(pickled)
    place = rng.choice(places)
    if rng.random() < 0.5:
        code = CALLS[rng.integers(len(CALLS))]
    else:
        begin = rng.integers(len(places) - 1)
        code = pickled[places[begin] : places[begin + 1]]
    return pickled[:place] + code + pickled[place:]


def flipped(rng, content):
    damaged = bytearray(content)
    for place in rng.integers(0, len(content), rng.integers(1, 4)):
        damaged[place] ^= 1 << rng.integers(8)
    return bytes(damaged)


def cut(rng, content):
    return content[: rng.integers(len(content))]


def removed(rng, content):
    begin, length = rng.integers(0, len(content)), rng.integers(1, 9)
    return content[:begin] + content[begin + length :]


CHANGES = (inserted, inserted, flipped, flipped, cut, removed)


def files_of_zips(rng):
    pickled, arrays = support.dumps(state())
    path = pathlib.Path("whole.zip")
    for number in range(FILES):
        change = CHANGES[number % len(CHANGES)]
        # Half of them are damaged outside the pickle, in the archive itself.
        within = change is inserted or number % 2
        write_zip(
            path, support.entries(change(rng, pickled) if within else pickled, arrays)
        )
        yield path.read_bytes() if within else change(rng, path.read_bytes())


def files_of_the_old_format(rng):
    pickled, arrays = support.dumps(state(), view=(None,))
    whole = support.old(pickled, arrays)
    # The pickles are at the beginning.
    head = whole.index(pickled) + len(pickled) + 200
    for number in range(FILES):
        change = CHANGES[number % len(CHANGES)]
        if change is inserted:
            yield support.old(change(rng, pickled), arrays)
        else:
            yield change(rng, whole[:head]) + whole[head:]


@pytest.mark.parametrize("files", [files_of_zips, files_of_the_old_format])
def test_damaged_files_end_in_one_line_or_in_values(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.pth"
    lines, loaded, slowest = set(), 0, 0
    for content in files(np.random.default_rng(0)):
        path.write_bytes(content)
        began = time.perf_counter()
        try:
            torch_files.open_file(str(path))
            loaded += 1
        except ValueError as error:
            line = str(error)
            assert line.startswith(f"{path}: ") and "\n" not in line
            assert len(line) < 600
            lines.add(line)
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 1
    assert not os.path.exists("trace")
    assert len(lines) > 50 and loaded > 5
    for name in ("os.mkdir", "posix.mkdir", "os.system", "builtins.exec"):
        assert any(f"names {name}," in line for line in lines)


def test_the_undamaged_files_load(tmp_path):
    for format in ("zip", "old"):
        path = support.save(tmp_path / "w.pth", state(), format=format)
        assert torch_files.open_file(path).project == "lukemelas"
