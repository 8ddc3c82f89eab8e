"""The values in PyTorch's files, and files that are damaged or are something else."""

import io
import json
import tracemalloc
import zipfile

import ml_dtypes
import numpy as np
import pytest
import torch_saving as support
from zip_files import write_zip

from efficientnet_tf.weights import (
    keras_files,
    torch_archive,
    torch_files,
    torch_tensors,
)

FORMATS = pytest.mark.parametrize("format", ["zip", "old"])
DTYPES = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?", ml_dtypes.bfloat16)


def read(path):
    """The values of a file that holds a dictionary of tensors."""
    with torch_archive.opened(str(path)) as archive:
        return torch_tensors.values(archive, archive.content)


def refusal(path):
    """The one line that a file is refused with."""
    with pytest.raises(ValueError) as raised:
        torch_files.open_file(str(path))
    line = str(raised.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line.removeprefix(f"{path}: ")


def numbers(dtype):
    return (np.arange(-60, 60) * 0.75).astype(dtype)


@FORMATS
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_becomes_float32(dtype, format, tmp_path):
    values = numbers(dtype)
    content = support.tensors({"flat": values, "cube": values.reshape(4, 6, 5)})
    found = read(support.save(tmp_path / "w.pth", content, format=format))
    for name, shape in (("flat", (120,)), ("cube", (4, 6, 5))):
        assert found[name].dtype == np.float32
        expected = values.astype("float32").reshape(shape)
        np.testing.assert_array_equal(found[name], expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_files_of_big_endian_machines(dtype, tmp_path):
    content = support.tensors({"a": numbers(dtype)})
    found = read(support.save(tmp_path / "w.pth", content, order="big"))
    np.testing.assert_array_equal(found["a"], numbers(dtype).astype("float32"))


def test_numbers_beyond_float32_become_infinite(tmp_path):
    path = support.save(tmp_path / "w.pth", support.tensors({"a": [1e300, -1e300]}))
    np.testing.assert_array_equal(read(path)["a"], [np.inf, -np.inf])


@FORMATS
def test_views_are_parts_of_their_storage(format, tmp_path):
    base = np.arange(24, dtype="f4")
    storage = support.storage(base)

    def view(offset, shape, strides):
        return support.Tensor(storage, offset, shape, strides)

    content = {
        "transposed": view(0, (6, 4), (1, 6)),
        "sliced": view(7, (2, 3), (12, 2)),
        "repeated": view(5, (3, 2), (0, 1)),
        "scalar": view(9, (), ()),
        "last": view(23, (1, 1), (10**20, 24)),
        "empty": view(24, (0, 3), (3, 1)),
    }
    found = read(support.save(tmp_path / "w.pth", content, format=format))
    np.testing.assert_array_equal(found["transposed"], base.reshape(4, 6).T)
    np.testing.assert_array_equal(found["sliced"], [[7, 9, 11], [19, 21, 23]])
    np.testing.assert_array_equal(found["repeated"], [[5, 6]] * 3)
    assert found["scalar"].shape == () and found["scalar"] == 9
    assert found["last"].tolist() == [[23]]
    assert found["empty"].shape == (0, 3)
    assert np.shares_memory(found["transposed"], found["sliced"])


@FORMATS
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"shape": (3, 5)}, "needs 15 values, its storage has 12"),
        ({"offset": 1}, "needs 13 values"),
        ({"strides": (5, 1)}, "needs 14 values"),
        ({"offset": -1}, "has -1 in its offset, shape or strides"),
        ({"strides": (4, -1)}, "has -1 in"),
        ({"shape": (-3, 4)}, "has -3 in"),
        ({"shape": (True, 4)}, "has True in"),
        ({"shape": (3.0, 4)}, r"has 3.0 in"),
        ({"shape": [3, 4]}, "no tuples"),
        ({"shape": (3, 4, 1)}, "has 3 axes and 2 strides"),
        ({"shape": (1,) * 65, "strides": (1,) * 65}, "has 65 axes"),
        ({"shape": (2**62, 4), "strides": (0, 1)}, "needs too many values"),
        ({"shape": (10**6, 10**6), "strides": (0, 0)}, "needs 1,000,000,000,000"),
        ({"shape": (0, 2**40), "strides": (0, 0)}, "needs "),
    ],
)
def test_a_tensor_outside_its_storage_is_named(fields, words, format, tmp_path):
    array = np.zeros((3, 4), "f4")
    content = {"good": support.tensor(array), "bad": support.tensor(array, **fields)}
    line = refusal(support.save(tmp_path / "w.pth", content, format=format))
    assert line.startswith("bad: ") and words in line


@FORMATS
def test_memory_is_a_few_times_the_file(format, tmp_path):
    content = support.tensors({"a": np.ones(500_000, "f4"), "b": np.ones(200_000)})
    path = support.save(tmp_path / "w.pth", content, format=format)
    tracemalloc.start()
    found = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["b"].sum() == 200_000
    assert peak < 2.5 * (tmp_path / "w.pth").stat().st_size


def zip_of(tmp_path, change=lambda entries: None, **kwargs):
    """A file in the zip format whose entries were changed."""
    values = support.tensors({"a": np.arange(6, dtype="f4")})
    entries = support.entries(*support.dumps(values))
    change(entries)
    write_zip(tmp_path / "w.pth", entries, **kwargs)
    return tmp_path / "w.pth"


def test_an_entry_that_is_missing_is_named(tmp_path):
    path = zip_of(tmp_path, lambda entries: entries.pop("archive/data/0"))
    assert refusal(path) == "a: its storage 0 is missing"
    path = zip_of(tmp_path, lambda entries: entries.pop("archive/data.pkl"))
    assert refusal(path).startswith("is a zip archive of other files")


def test_an_entry_of_another_size_is_named(tmp_path):
    path = zip_of(tmp_path, lambda entries: entries.update({"archive/data/0": b"12"}))
    assert refusal(path) == "a: storage 0 has 2 bytes, not 24"


def test_a_compressed_entry_is_refused(tmp_path):
    path = zip_of(tmp_path, compression=zipfile.ZIP_DEFLATED)
    assert refusal(path).startswith("its entry archive/data.pkl is compressed")


def test_an_entry_that_is_there_twice_is_refused(tmp_path):
    path = zip_of(tmp_path)
    with (
        zipfile.ZipFile(path, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("archive/data/0", b"0" * 24)
    assert refusal(path) == "has the entry archive/data/0 twice"


def test_entries_that_overlap_are_refused(tmp_path):
    """Each of 99 entries is the same megabyte of the file."""
    path = zip_of(tmp_path, lambda entries: entries.update({"archive/x": b"x" * 10**6}))
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(buffer, "w") as other:
        for name in archive.namelist():
            other.writestr(name, archive.read(name))
        (large,) = (one for one in other.filelist if one.filename == "archive/x")
        for number in range(99):
            again = zipfile.ZipInfo(f"archive/data/{number + 1}")
            for field in ("CRC", "file_size", "compress_size", "header_offset"):
                setattr(again, field, getattr(large, field))
            other.filelist.append(again)
    path.write_bytes(buffer.getvalue())
    assert "its entries are larger than it" in refusal(path)


def test_a_changed_byte_breaks_the_checksum(tmp_path):
    path = zip_of(tmp_path)
    content = path.read_bytes()
    place = content.index(np.arange(6, dtype="f4").tobytes()) + 5
    path.write_bytes(content[:place] + b"\x01" + content[place + 1 :])
    assert "Bad CRC-32 for file 'archive/data/0'" in refusal(path)


def test_a_file_without_checksums_is_read(tmp_path):
    """PyTorch writes 0 if it is told to compute none; a test of parity shows it."""
    path = zip_of(tmp_path)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            content = content.replace(entry.CRC.to_bytes(4, "little"), bytes(4))
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path)["a"], np.arange(6))


def test_a_byte_order_of_another_name_is_refused(tmp_path):
    path = zip_of(tmp_path, lambda entries: entries.update({"archive/byteorder": b"?"}))
    assert refusal(path) == "its byte order is neither little nor big"
    path = zip_of(tmp_path, lambda entries: entries.pop("archive/byteorder"))
    assert read(path)["a"].tolist() == [0, 1, 2, 3, 4, 5]


def old_of(tmp_path, change=lambda content: content, arrays=None, **kwargs):
    values = support.tensors({"a": np.arange(6, dtype="f4")})
    pickled, stored = support.dumps(values, view=(None,))
    content = support.old(pickled, stored if arrays is None else arrays, **kwargs)
    (tmp_path / "w.pth").write_bytes(change(content))
    return tmp_path / "w.pth"


def test_storages_of_the_old_format_must_fit(tmp_path):
    path = old_of(tmp_path, lambda content: content[:-1])
    assert refusal(path) == "ends before the end of storage 0: it was cut off"
    path = old_of(tmp_path, counts={"0": 5})
    assert refusal(path) == "storage 0 has 5 values, not 6"
    path = old_of(tmp_path, arrays={})
    assert refusal(path) == "a: its storage 0 is missing"
    path = old_of(tmp_path, arrays={"7": np.zeros(6, "f4")})
    assert refusal(path) == "storage 7 belongs to no tensor"


def other_files():
    """A file name's content, and words of the line that refuses it."""
    header = json.dumps({"__metadata__": {"format": "pt"}}).encode()
    safetensors = len(header).to_bytes(8, "little") + header
    lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    script = {"archive/data.pkl": b"\x80\x02}.", "archive/code/m.py": b"pass"}
    return {
        "empty": (b"", "is an empty file"),
        "HTML": (b"\n<!DOCTYPE html>\n<html></html>", "is an HTML page"),
        "HTML in capitals": (b"<HTML><BODY>404", "is an HTML page"),
        "XML": (b'<?xml version="1.0"?><Error/>', "is an XML document"),
        "LFS": (lfs, "is a Git LFS pointer to the file; `git lfs pull`"),
        "safetensors": (safetensors, "is a safetensors file; name it .safetensors"),
        "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "is an HDF5 file; name it .h5"),
        "gzip": (b"\x1f\x8b\x08" + bytes(99), "is a compressed file; unpack it"),
        "JSON": (b'{"error": "Not Found"}', "is a JSON document"),
        "TorchScript": (zipped(script), "is a TorchScript archive"),
        "zip": (
            zipped({"model.weights.h5": b"1"}),
            "is a Keras archive; name it .keras",
        ),
        "pickle": (b"\x80\x02}X\x01\x00\x00\x00aK\x01s.", "is a pickle, but not of"),
        "cut zip": (
            zipped({"archive/data.pkl": b"1"})[:-9],
            "is a damaged zip archive",
        ),
        "text": (b"hello", "is no file that torch.save writes"),
    }


def zipped(entries):
    buffer = io.BytesIO()
    write_zip(buffer, entries)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
@pytest.mark.parametrize("kind", other_files())
def test_a_file_of_another_kind_is_called_by_its_name(kind, suffix, tmp_path):
    content, words = other_files()[kind]
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    assert refusal(path).startswith(words)


@pytest.mark.parametrize("kind", ["empty", "HTML", "LFS", "HDF5"])
def test_so_is_a_safetensors_file(kind, tmp_path):
    content, words = other_files()[kind]
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    assert refusal(path).startswith(words)


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras"])
@pytest.mark.parametrize("kind", ["empty", "HTML", "LFS", "safetensors"])
def test_so_is_a_keras_file(kind, suffix, tmp_path):
    content, words = other_files()[kind]
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError) as raised:
        keras_files.open_file(str(path))
    assert str(raised.value).startswith(f"{path}: {words}")


@pytest.mark.parametrize(
    ("kind", "name", "open_file"),
    [
        ("HDF5", "w.h5", keras_files.open_file),
        ("zip", "w.keras", keras_files.open_file),
        ("safetensors", "w.safetensors", torch_files.open_file),
    ],
)
def test_a_damaged_file_is_not_called_by_its_own_name(kind, name, open_file, tmp_path):
    content, words = other_files()[kind]
    path = tmp_path / name
    path.write_bytes(content[: max(20, len(content) // 2)])
    with pytest.raises(ValueError, match=f"{name}: is no ") as raised:
        open_file(str(path))
    assert words not in str(raised.value)


def test_a_torch_file_called_safetensors_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    support.save(path, support.tensors({"a": np.ones(3)}))
    assert refusal(path).startswith("is a zip archive")
