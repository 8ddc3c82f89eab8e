"""Seeded damage to weights files: cut, flipped, shifted, and headers that lie.

Imported by tools and tests; needs neither TensorFlow nor the package. A lie is a
header whose own checksum and syntax are right, so that a reader gets as far as the
numbers in it.
"""

import dataclasses
import functools
import io
import json
import pickle
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable, Iterator

import numpy as np

# Numbers that break arithmetic: ends of ranges, and what overflows.
NUMBERS = (0, 1, 2, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40)
_HDF5_MARKS = re.compile(rb"\x89HDF|TREE|HEAP|SNOD|GCOL|OHDR|OCHK|FRHP|BTHD|FADB")
_ZIP_MARKS = {b"PK\x03\x04": 30, b"PK\x01\x02": 46, b"PK\x05\x06": 22}
_TABLE_FOOTER = 48  # bytes: two handles, padding and a magic number
_TABLE_MAGIC = bytes.fromhex("57fb808b247547db")


_Change = tuple[str, str, bytes]  # the fields of `Damage`


@dataclasses.dataclass(frozen=True)
class Damage:
    """One damaged file.

    Args:
        kind: "cut", "flipped", "shifted", "zeroed" or "lie".
        words: what was done, so that it can be done again by hand.
        content: the damaged file's bytes.
    """

    kind: str
    words: str
    content: bytes


def damages(content: bytes, *, seed: int, count: int) -> Iterator[Damage]:
    """Yields damaged copies of a file; the same ones for the same seed.

    Args:
        content: the whole file; its first bytes tell its format.
        seed: int, decides every damage.
        count: int, how many copies; a third of them are lies.
    """
    rng = np.random.default_rng(seed)
    lie = _LIES[format_of(content)]
    for number in range(count):
        change = (_cut, _flipped, lie, _flipped, _shifted, lie)[number % 6]
        kind, words, damaged = change(rng, content)
        yield Damage(kind, words, damaged)


def outcome(read: Callable[[], bool], path: str) -> str:
    """Reads a damaged file and says how it ended.

    Args:
        read: reads the file; returns whether the values are those before the damage.
        path: what a refusal has to name.

    Returns:
        "right", "one line" (a refusal by a ValueError that names the path), or what
        else happened, which is a fault.
    """
    try:
        return "right" if read() else "other values"
    except ValueError as error:
        line = str(error)
        if path in line and "\n" not in line and len(line) < 1000:
            return "one line"
        return f"an unclear line: {line[:200]!r}"
    except Exception as error:
        return f"a traceback: {error!r:.200}"


def format_of(content: bytes) -> str:
    """Tells a file's format by its first bytes, or its last: a name in the table."""
    if content.startswith(b"\x89HDF"):
        return "hdf5"
    if content.startswith(b"PK"):
        return "zip"
    if content.startswith(b"\x80"):
        return "pickles"
    if content[8:10] == b'{"':
        return "safetensors"
    return "table" if content.endswith(_TABLE_MAGIC) else "plain"


def _cut(rng: np.random.Generator, content: bytes) -> _Change:
    kept = int(rng.integers(len(content)))
    return "cut", f"cut to {kept} of {len(content)} bytes", content[:kept]


def _flipped(rng: np.random.Generator, content: bytes) -> _Change:
    damaged = bytearray(content)
    places = rng.integers(0, len(content), rng.choice([1, 1, 1, 8])).tolist()
    for place in places:
        damaged[place] ^= 1 << int(rng.integers(8))
    return "flipped", f"a bit flipped at {places}", bytes(damaged)


def _shifted(rng: np.random.Generator, content: bytes) -> _Change:
    """Removes bytes, inserts some, or puts zeros in the place of a disk's block."""
    place, length = int(rng.integers(len(content))), int(rng.integers(1, 9))
    kind = rng.choice(["removed", "inserted", "zeroed"])
    if kind == "removed":
        damaged = content[:place] + content[place + length :]
    elif kind == "inserted":
        damaged = content[:place] + rng.bytes(length) + content[place:]
    else:
        block = place // 512 * 512
        length = len(content[block : block + 512])
        damaged = content[:block] + bytes(length) + content[block + length :]
    return "shifted", f"{length} bytes {kind} at {place}", damaged


def _number(rng: np.random.Generator, width: int) -> bytes:
    """Returns one of `NUMBERS`, or its complement, in little-endian bytes."""
    number = NUMBERS[rng.integers(len(NUMBERS))] % (1 << 8 * width)
    if rng.random() < 0.3:
        number = (1 << 8 * width) - 1 - number
    return number.to_bytes(width, "little")


def _put(content: bytes, place: int, value: bytes) -> bytes:
    value = value[: max(0, len(content) - place)]
    return content[:place] + value + content[place + len(value) :]


def _hdf5_lie(rng: np.random.Generator, content: bytes) -> _Change:
    """Overwrites a number of a structure: an address, a size or a count."""
    marks = [match.start() for match in _HDF5_MARKS.finditer(content)]
    place = int(rng.choice(marks)) + 4 + int(rng.integers(0, 160))
    value = _number(rng, int(rng.choice([1, 2, 4, 8])))
    return "lie", f"{value.hex()} at {place}", _put(content, place, value)


def _zip_lie(rng: np.random.Generator, content: bytes) -> _Change:
    """Changes a field of the archive, or the pickle in it."""
    if b"/data.pkl" in content and rng.random() < 0.5:
        return _zipped_pickle_lie(rng, content)
    places = [
        (match.start(), size)
        for mark, size in _ZIP_MARKS.items()
        for match in re.finditer(re.escape(mark), content)
    ]
    begin, size = places[rng.integers(len(places))]
    width = int(rng.choice([2, 4]))
    place = begin + 4 + int(rng.integers((size - 4) // 2)) * 2
    value = _number(rng, width)
    return "lie", f"{value.hex()} at {place}", _put(content, place, value)


def _zipped_pickle_lie(rng: np.random.Generator, content: bytes) -> _Change:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    (name,) = [name for name in entries if name.endswith("/data.pkl")]
    words, entries[name] = _pickle_lie(rng, entries[name])
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, value in entries.items():
            archive.writestr(name, value)
    return "lie", words, written.getvalue()


def _old_pickle_lie(rng: np.random.Generator, content: bytes) -> _Change:
    """Changes a number in the pickles at the beginning, or a storage's size."""
    stream, ends = io.BytesIO(content), [0]
    for _ in range(5):
        for _ in pickletools.genops(stream):
            pass
        ends.append(stream.tell())
    if rng.random() < 0.2:
        value = _number(rng, 8)
        return "lie", f"{value.hex()} at {ends[-1]}", _put(content, ends[-1], value)
    words, damaged = _pickle_lie(rng, content[ends[3] : ends[4]])
    return "lie", words, content[: ends[3]] + damaged + content[ends[4] :]


def _pickle_lie(rng: np.random.Generator, pickled: bytes) -> tuple[str, bytes]:
    """Changes one number: a shape, a stride, an offset or a count."""
    operations = list(pickletools.genops(pickled))
    ends = [place for _, _, place in operations[1:]] + [len(pickled)]
    numbers = [
        (place, end)
        for (operation, _, place), end in zip(operations, ends, strict=True)
        if operation.name in ("BININT", "BININT1", "BININT2")
    ]
    begin, end = numbers[rng.integers(len(numbers))]
    # Smaller ones would make another file that is as right as this one.
    value = int(rng.choice([-1, -(2**31), 2**30, 2**31 - 1]))
    other = pickle.dumps(value, 2)[2:-1]
    return f"{value} in the pickle at {begin}", pickled[:begin] + other + pickled[end:]


def _safetensors_lie(rng: np.random.Generator, content: bytes) -> _Change:
    """Changes what the header says of one tensor, or the header's length."""
    length = int.from_bytes(content[:8], "little")
    if rng.random() < 0.15:
        value = _number(rng, 8)
        return "lie", f"header of {value.hex()} bytes", value + content[8:]
    header = json.loads(content[8 : 8 + length])
    name = str(rng.choice([name for name in header if name != "__metadata__"]))
    words = _change_entry(rng, header, name)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    whole = len(text).to_bytes(8, "little") + text + content[8 + length :]
    return "lie", f"{name}: {words}", whole


def _change_entry(rng: np.random.Generator, header: dict, name: str) -> str:
    entry = header[name]
    change = rng.choice(["dtype", "shape", "data_offsets", "name", "missing"])
    number = int.from_bytes(_number(rng, 8), "little")
    if change == "dtype":
        entry["dtype"] = str(rng.choice(["F64", "F16", "BF16", "I8", "F8_E4M3", "X"]))
    elif change in ("shape", "data_offsets") and entry[change]:
        entry[change][rng.integers(len(entry[change]))] = number
    elif change == "name":
        header[f"{name}{number}"] = header.pop(name)
    else:
        del header[name]
    return f"{change} {number}"


def _table_lie(rng: np.random.Generator, content: bytes) -> _Change:
    """Changes bytes of a TF1 checkpoint's index, and makes its CRC-32C right again."""
    blocks = list(_blocks(content))
    begin, end = blocks[rng.integers(len(blocks))]
    place = int(rng.integers(begin, end))
    value = rng.bytes(int(rng.choice([1, 1, 2, 8])))[: end - place]
    damaged = _put(content, place, value)
    crc = _crc32c(damaged[begin : end + 1])  # of the block and of its compression
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    damaged = _put(damaged, end + 1, struct.pack("<I", masked))
    return "lie", f"{value.hex()} at {place}, with its checksum", damaged


def _blocks(content: bytes) -> Iterator[tuple[int, int]]:
    """Yields begin and end of a table's blocks: the index over them, and each of them.

    Source: table/format.cc of LevelDB, from which TensorFlow has its tables.
    """
    _, _, begin, size, _ = _varints(content, len(content) - _TABLE_FOOTER, 4)
    yield begin, begin + size
    restarts = int.from_bytes(content[begin + size - 4 : begin + size], "little")
    place, end = begin, begin + size - 4 * (restarts + 1)
    while place < end:
        _, unshared, length, place = _varints(content, place, 3)
        block, block_size, _ = _varints(content, place + unshared, 2)
        yield block, block + block_size
        place += unshared + length


def _varints(content: bytes, place: int, count: int) -> tuple[int, ...]:
    """Reads numbers of 7 bits a byte; returns them and where they end."""
    found = []
    for _ in range(count):
        value = shift = 0
        while content[place] & 0x80:
            value |= (content[place] & 0x7F) << shift
            place, shift = place + 1, shift + 7
        found.append(value | content[place] << shift)
        place += 1
    return (*found, place)


def _crc32c(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = (crc >> 8) ^ _crc_table()[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@functools.cache
def _crc_table() -> list[int]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


_LIES: dict[str, Callable[[np.random.Generator, bytes], _Change]] = {
    "hdf5": _hdf5_lie,
    "zip": _zip_lie,
    "pickles": _old_pickle_lie,
    "safetensors": _safetensors_lie,
    "table": _table_lie,
    "plain": _shifted,
}
