"""Tensors of every kind in .pth files: loaded, or refused by what they are."""

import time

import numpy as np
import pytest
import torch_saving as support

from efficientnet_tf.weights import torch_files

FORMATS = pytest.mark.parametrize("format", ["zip", "old"])
NAME = "_conv_stem.weight"
KERNEL = np.arange(216, dtype="f4").reshape(8, 3, 3, 3)


def rebuilt(name, *arguments):
    return support.Named("torch._utils", name, *arguments)


def view(tensor, grad=False):
    """What PyTorch rebuilds a tensor from."""
    return tensor.storage, tensor.offset, tensor.shape, tensor.strides, grad, {}


def with_attributes():
    tensor = support.tensor(KERNEL)
    function = support.Global("torch._utils", "_rebuild_tensor_v2")
    kind = support.Global("torch", "Tensor")
    arguments = (function, kind, view(tensor), {"tag": 3})
    return support.Named("torch._tensor", "_rebuild_from_type_v2", *arguments)


LOADED = {
    "a parameter": support.Parameter(support.tensor(KERNEL)),
    "a parameter with attributes": rebuilt(
        "_rebuild_parameter_with_state", support.tensor(KERNEL), True, {}, {"tag": 3}
    ),
    "a tensor that requires gradients": rebuilt(
        "_rebuild_tensor_v2", *view(support.tensor(KERNEL), grad=True)
    ),
    "a tensor with attributes": with_attributes(),
}


@FORMATS
@pytest.mark.parametrize("kind", LOADED)
def test_its_values_are_loaded(kind, format, tmp_path):
    content = {NAME: LOADED[kind], "_bn0.bias": support.tensor(np.ones(8, "f4"))}
    path = support.save(tmp_path / "w.pth", content, format=format)
    found = torch_files.open_file(path).tensors
    np.testing.assert_array_equal(found[NAME], KERNEL)
    np.testing.assert_array_equal(found["_bn0.bias"], np.ones(8))


REFUSED = {
    "_rebuild_sparse_tensor": "makes a sparse tensor",
    "_rebuild_sparse_csr_tensor": "makes a sparse tensor",
    "_rebuild_qtensor": "makes a quantized tensor",
    "_rebuild_meta_tensor_no_storage": "makes a meta tensor, which has no values",
    "_rebuild_nested_tensor": "makes a nested tensor",
    "_rebuild_device_tensor_from_numpy": "makes a tensor of another device",
    "_rebuild_wrapper_subclass": "is no plain data and no dense tensor",
}


def refusal(content, path, **kwargs):
    support.save(path, content, **kwargs)
    with pytest.raises(ValueError) as raised:
        torch_files.open_file(str(path))
    line = str(raised.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line


@FORMATS
@pytest.mark.parametrize("function", REFUSED)
def test_it_is_refused_by_what_it_is(function, format, tmp_path):
    content = {"_bn0.bias": support.tensor(np.ones(8, "f4")), NAME: rebuilt(function)}
    line = refusal(content, tmp_path / "w.pth", format=format)
    assert f"torch._utils.{function}, which {REFUSED[function]} at {NAME}" in line


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("QInt8Storage", "makes a quantized tensor"),
        ("QUInt4x2Storage", "makes a quantized tensor"),
        ("ComplexFloatStorage", "is a type of complex numbers"),
        ("complex64", "is a type of complex numbers"),
        ("float8_e4m3fn", "is a type of 8 bits or fewer"),
        ("float4_e2m1fn_x2", "is a type of 8 bits or fewer"),
        ("quint8", "is a type of 8 bits or fewer"),
    ],
)
def test_so_is_a_type(name, words, tmp_path):
    line = refusal({NAME: support.Named("torch", name)}, tmp_path / "w.pth")
    assert f"torch.{name}, which {words}" in line


@FORMATS
@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ((0, 1), "0, 1"),
        ((1.5,), "a float as a key"),
        ((None,), "a NoneType as a key"),
        (((1, 2),), "a tuple as a key"),
    ],
    ids=str,
)
def test_keys_that_are_no_names_are_named(keys, words, format, tmp_path):
    content = {key: support.tensor(KERNEL) for key in keys}
    assert words in refusal(content, tmp_path / "w.pth", format=format)


@pytest.mark.parametrize("content", [None, 3, [], {}, "text", support.tensor(KERNEL)])
def test_what_is_no_dictionary_is_named(content, tmp_path):
    assert "is no dictionary of tensors" in refusal(content, tmp_path / "w.pth")


@FORMATS
def test_a_tensor_of_a_tensor_is_damage(format, tmp_path):
    tensor = support.tensor(KERNEL)
    nested = rebuilt("_rebuild_tensor_v2", tensor, 0, (1,), (1,), False, {})
    assert "Tensor where a storage belongs" in refusal(
        {NAME: nested}, tmp_path / "w.pth", format=format
    )


def doubled(depth):
    """A tuple whose text would have 2**depth numbers."""
    found = (1,)
    for _ in range(depth):
        found = (found, found)
    return found


@pytest.mark.parametrize("field", ["offset", "shape", "strides"])
def test_a_number_that_is_a_nest_of_tuples_is_refused_at_once(field, tmp_path):
    nest = doubled(60)
    value = nest if field == "offset" else (8, 3, 3, nest)
    tensor = support.tensor(KERNEL, **{field: value})
    began = time.perf_counter()
    line = refusal({NAME: tensor}, tmp_path / "w.pth")
    assert f"{NAME}: has tuple in its offset, shape or strides" in line
    assert time.perf_counter() - began < 2
