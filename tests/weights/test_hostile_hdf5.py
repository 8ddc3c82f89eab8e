"""HDF5 files and archives that lead elsewhere, or unpack to more than they hold."""

import os
import tracemalloc
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from zip_files import write_zip

from efficientnet_tf.weights import keras_files

NAME = "stem_conv/kernel:0"
KERNEL = np.arange(24, dtype="f4")


def kernel(file, **kwargs):
    """The data set of a file's only weight, as Keras wrote it before Keras 3."""
    group = file.create_group("stem_conv")
    group.attrs["weight_names"] = [NAME.encode()]
    return group.create_dataset(NAME, **kwargs)


def written(path, write):
    with h5py.File(path, "w") as file:
        write(file)
    return str(path)


def refusal(path):
    """The line that a file is refused with, and the most memory that it took."""
    keras_files.recognises(path)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as raised:
            keras_files.open_file(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    line = str(raised.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line.removeprefix(f"{path}: "), peak


def values_elsewhere(file):
    other = f"{os.path.dirname(file.filename)}/secret"
    with open(other, "wb") as stream:
        stream.write(bytes(range(96)))
    kernel(file, shape=(24,), dtype="f4", external=[(other, 0, 96)])


def _other(file):
    path = f"{os.path.dirname(file.filename)}/other.h5"
    written(path, lambda other: kernel(other, data=KERNEL))
    return path


def linked(file):
    group = file.create_group("stem_conv")
    group.attrs["weight_names"] = [b"kernel"]
    group["kernel"] = h5py.ExternalLink(_other(file), f"/stem_conv/{NAME}")


def linked_whole(file):
    file["model_weights"] = h5py.ExternalLink(_other(file), "/")


def linked_layers(file):
    file["layers"] = h5py.ExternalLink(_other(file), "/")


def linked_in_two_steps(file):
    file["beside"] = h5py.ExternalLink(_other(file), "/stem_conv")
    group = file.create_group("stem_conv")
    group.attrs["weight_names"] = [b"kernel"]
    group["kernel"] = h5py.SoftLink(f"/beside/{NAME}")


def virtual(file):
    layout = h5py.VirtualLayout((24,), "f4")
    layout[:] = h5py.VirtualSource(_other(file), f"/stem_conv/{NAME}", (24,))
    group = file.create_group("stem_conv")
    group.attrs["weight_names"] = [b"kernel"]
    group.create_virtual_dataset("kernel", layout)


@pytest.mark.parametrize(
    ("write", "place"),
    [
        (values_elsewhere, "stem_conv/kernel:0 lie in other files"),
        (virtual, "kernel lie in other files"),
        (linked, "/stem_conv/kernel is a link to another file"),
        (linked_whole, "/model_weights is a link to another file"),
        (linked_layers, "/layers is a link to another file"),
        (linked_in_two_steps, "is a link to"),
    ],
)
def test_no_other_file_is_read(write, place, tmp_path):
    line, _ = refusal(written(tmp_path / "w.h5", write))
    assert place in line


@pytest.mark.parametrize("name", ["w.h5", "w.keras"])
def test_a_heap_that_hdf5_would_read_for_ever_is_refused(name, tmp_path):
    path = written(tmp_path / "w.h5", lambda file: kernel(file, data=KERNEL))
    with h5py.File(path, "a") as file:
        file.attrs["passport"] = "text of any length is in a heap"
    with open(path, "r+b") as stream:
        heap = stream.read().index(b"GCOL") + 16
        stream.seek(heap)
        stream.write(bytes(512))  # as a block of a disk that was lost
    if name == "w.keras":
        with open(path, "rb") as stream:
            path = archived(tmp_path / name, stream.read())
    assert "an object of its heap has no size" in refusal(path)[0]


def never_written(file):
    kernel(file, shape=(1 << 28,), dtype="f4")  # 1 GiB of the fill value


def packed(file):
    kernel(file, data=np.zeros(1 << 22, "f4"), chunks=(1 << 20,), compression="gzip")


def packed_twice(file):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((1 << 16,))
    properties.set_deflate(9)
    properties.set_deflate(9)
    group = file.create_group("stem_conv")
    group.attrs["weight_names"] = [b"kernel"]
    space = h5py.h5s.create_simple((1 << 16,))
    made = h5py.h5d.create(group.id, b"kernel", h5py.h5t.IEEE_F32LE, space, properties)
    h5py.Dataset(made)[:] = 0


def large_chunk(file):
    chunk = {"chunks": (1 << 22,), "maxshape": (None,)}
    kernel(file, data=KERNEL, compression="gzip", **chunk)


def chunk_of_more_than_it_holds(file):
    data = kernel(file, shape=(24,), dtype="f4", chunks=(24,), compression="gzip")
    data.id.write_direct_chunk((0,), zlib.compress(bytes(1 << 24), 9))


def one_value_by_many_names(file):
    group = file.create_group("stem_conv")
    group["0"] = np.zeros(1 << 18, "f4")
    for number in range(1, 100):
        group[str(number)] = group["0"]
    group.attrs["weight_names"] = [str(number).encode() for number in range(100)]


def one_name_twice(file):
    for number in ("", "_1"):  # which Keras numbers through the process
        group = file.create_group(f"normalization{number}")
        group["mean"] = np.zeros(3, "f4")
        group.attrs["weight_names"] = [b"mean"]


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (never_written, "states the shape (268435456,)"),
        (packed, "take more than 16 times the file's 0.0 MB"),
        (packed_twice, "is compressed by gzip, twice"),
        (large_chunk, "take more than 16 times"),
        (chunk_of_more_than_it_holds, "unpacks to more than it holds"),
        (one_value_by_many_names, "take more than 16 times"),
    ],
)
def test_memory_is_bounded_by_the_file(write, words, tmp_path):
    path = written(tmp_path / "w.h5", write)
    line, peak = refusal(path)
    assert words in line
    assert peak < 20 * os.path.getsize(path) + (4 << 20)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (7,)},
    ],
    ids=str,
)
def test_honest_files_are_read_packed_or_not(options, tmp_path):
    path = tmp_path / "w.h5"
    found = keras_files.open_file(
        written(path, lambda file: kernel(file, data=KERNEL, **options))
    )
    np.testing.assert_array_equal(found.tensors["stem_conv/kernel"], KERNEL)


@pytest.fixture
def inside(tmp_path):
    return written(tmp_path / "in.h5", lambda file: kernel(file, data=KERNEL))


def archived(path, content, compression=zipfile.ZIP_DEFLATED):
    config = '{"config": {"layers": []}}'
    entries = {"model.weights.h5": content, "config.json": config}
    write_zip(path, entries, compression=compression)
    return str(path)


def test_an_archive_may_be_packed(inside, tmp_path):
    with open(inside, "rb") as stream:
        path = archived(tmp_path / "w.keras", stream.read())
    found = keras_files.open_file(path)
    np.testing.assert_array_equal(found.tensors["stem_conv/kernel"], KERNEL)


@pytest.mark.parametrize("states", ["its size", "little"])
def test_an_archive_that_unpacks_to_a_gigabyte_is_refused(states, tmp_path):
    path = archived(tmp_path / "w.keras", bytes(1 << 24))
    if states == "little":
        with open(path, "r+b") as stream:
            content = stream.read()
            entry = content.index(b"PK\x01\x02")
            stream.seek(entry + 24)
            stream.write((100).to_bytes(4, "little"))
    line, peak = refusal(path)
    assert peak < 20 * os.path.getsize(path) + (4 << 20)
    if states == "its size":
        assert "model.weights.h5 unpacks to more than 1.3 MB" in line


def test_an_archive_packed_otherwise_is_refused(tmp_path):
    path = archived(tmp_path / "w.keras", bytes(99), zipfile.ZIP_LZMA)
    assert "packed in a way that is not read" in refusal(path)[0]


def test_layers_of_one_name_are_refused(tmp_path):
    path = written(tmp_path / "w.h5", one_name_twice)
    assert refusal(path)[0] == "holds normalization/mean twice"


def test_values_that_are_no_numbers_are_refused_by_name(tmp_path):
    path = written(tmp_path / "w.h5", lambda f: kernel(f, data=h5py.Empty("f4")))
    assert "stem_conv/kernel:0 holds no values" in refusal(path)[0]
