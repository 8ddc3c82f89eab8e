"""Passports that are damaged: nested, of wrong types, of numbers that none can be."""

import json
import struct

import h5py
import numpy as np
import pytest

import efficientnet_tf as en
from efficientnet_tf.weights import keras_files, passport, torch_files

NAME = "efficientnet-b0"


def fields(**changes):
    whole = json.loads(passport.Passport(en.get_variant(NAME)).dumps())
    return json.dumps(whole | changes)


def of_variant(**changes):
    whole = json.loads(passport.Passport(en.get_variant(NAME)).dumps())
    return json.dumps(whole | {"variant": whole["variant"] | changes})


GARBAGE = {
    "nested lists": "[" * 100_000,
    "nested and closed": '{"variant": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "nested objects": '{"a":' * 100_000,
    "no JSON": "nothing",
    "null": "null",
    "a list": "[]",
    "a number": "7",
    "a huge number": "1" * 10_000,
    "lines": '{"a\\nb": 1, "skipped": []}',
    "a long key": json.dumps({"a" * 100_000: 1, "skipped": []}),
    "no fields": "{}",
    "text for a size": fields(image_size="224"),
    "a size below 0": fields(image_size=-1),
    "half a size": fields(image_size=0.5),
    "a list for classes": fields(classes=[1000]),
    "numbers as what was skipped": fields(skipped=[1, 2]),
    "a number for exif": fields(exif=1),
    "NaN for an epsilon": of_variant(batch_norm_epsilon=float("nan")),
    "infinite width": of_variant(width=float("inf")),
    "text for a width": of_variant(width="1.0"),
    "a width below 0": of_variant(width=-1.0),
    "text for a list of classes": fields(class_names="cat"),
    "text for what was skipped": fields(skipped="cat"),
    "text for blocks": of_variant(blocks="cat"),
    "a number for sigmoids": fields(multi_label=1),
    "a number for preprocessing": fields(include_preprocessing=1),
    "a mean beyond floats": of_variant(
        pixels={"mean": [10**400] * 3, "stddev": [1, 1, 1], "resize": "bicubic"}
    ),
    "numbers for blocks": of_variant(blocks=[1]),
    "a mean of two": of_variant(
        pixels={"mean": [0, 0], "stddev": [1, 1, 1], "resize": "bicubic"}
    ),
    "a mean of NaN": of_variant(
        pixels={"mean": [float("nan")] * 3, "stddev": [1, 1, 1], "resize": "bicubic"}
    ),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_it_is_refused_in_one_line(kind):
    with pytest.raises(ValueError, match="its passport is") as raised:
        passport.loads(GARBAGE[kind])
    line = str(raised.value)
    assert "\n" not in line and len(line) < 300


def test_what_we_write_is_none():
    for name in en.list_variants():
        whole = passport.Passport(en.get_variant(name), classes=10, image_size=64)
        assert passport.loads(whole.dumps()).variant == en.get_variant(name)


def hdf5(path, text):
    with h5py.File(path, "w") as file:
        group = file.create_group("stem_conv")
        group.attrs["weight_names"] = [b"kernel"]
        group["kernel"] = np.zeros(3, "f4")
        file.attrs["passport"] = text
    return keras_files.open_file


def safetensors(path, text):
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = {"__metadata__": {"passport": text}, "conv_stem.weight": tensor}
    content = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + bytes(8))
    return torch_files.open_file


@pytest.mark.parametrize("kind", ["nested and closed", "lines", "a long key", "null"])
@pytest.mark.parametrize("write", [hdf5, safetensors])
def test_the_file_is_named(write, kind, tmp_path):
    path = tmp_path / ("w.h5" if write is hdf5 else "w.safetensors")
    open_file = write(path, GARBAGE[kind])
    with pytest.raises(ValueError) as raised:
        open_file(str(path))
    line = str(raised.value)
    assert line.startswith(f"{path}: its passport is") and "\n" not in line


@pytest.mark.parametrize("value", [3, [1.5, 2], b"\xff"], ids=str)
def test_a_passport_that_is_no_text_is_damage(value, tmp_path):
    path = tmp_path / "w.h5"
    open_file = hdf5(path, value)
    with pytest.raises(ValueError) as raised:
        open_file(str(path))
    assert str(raised.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "kind", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F4", "F6_E2M3", "C64"]
)
def test_safetensors_of_other_types_name_tensor_and_type(kind, tmp_path):
    bits = {"C64": 64, "F4": 4, "F6_E2M3": 6}.get(kind, 8)
    tensor = {"dtype": kind, "shape": [8], "data_offsets": [0, bits]}
    header = json.dumps({"conv_stem.weight": tensor}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(bits))
    with pytest.raises(ValueError) as raised:
        torch_files.open_file(str(path))
    words = f"{path}: conv_stem.weight has type {kind}, which is not read"
    unknown = f"{path}: is no safetensors file"  # a type that the library has not
    assert str(raised.value).startswith((words, unknown))
    assert kind == "F8_E4M3FNUZ" or str(raised.value).startswith(words)


def test_a_shape_that_overflows_is_refused_by_name(tmp_path):
    tensor = {"dtype": "F32", "shape": [0, 1 << 62], "data_offsets": [0, 0]}
    header = json.dumps({"conv_stem.weight": tensor}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ValueError) as raised:
        torch_files.open_file(str(path))
    assert str(raised.value).startswith(f"{path}: conv_stem.weight: ")
