"""What an index states is compared with the data before TensorFlow takes memory."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import tensor_bundle_pb2

from efficientnet_tf.weights import tf1, tf1_index


def save(prefix, names, slices, tensors):
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=names, shape_and_slices=slices, tensors=tensors
    )


@pytest.fixture
def prefix(tmp_path):
    """A checkpoint of 24 bytes of floats, a text and a counter."""
    path = str(tmp_path / "m.ckpt")
    tensors = [np.zeros((2, 3), "f4"), np.array(b"text"), np.int64(7)]
    save(path, ["net/w", "net/text", "global_step"], ["", "", ""], tensors)
    return path


def test_a_whole_checkpoint_is_read(prefix):
    tf1_index.check(prefix)
    names = {name for name, _ in tf1_index._entries(read(prefix))}
    assert names == {b"", b"net/w", b"net/text", b"global_step"}


def read(prefix):
    with open(f"{prefix}.index", "rb") as file:
        return file.read()


def test_variables_in_parts_are_read(tmp_path):
    prefix = str(tmp_path / "m.ckpt")
    whole = np.arange(6, dtype="f4")
    parts = [whole[:2], whole[2:]]
    save(prefix, ["net/w", "net/w"], ["6 0,2", "6 2,4"], parts)
    tf1_index.check(prefix)
    tensors = tf1.open_file(prefix, ema=False).tensors
    np.testing.assert_array_equal(tensors["net/w"], whole)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 25}, "gives net/w the shape"),
        ({"size": 2**40}, "outside of the data"),
        ({"size": -1}, "outside of the data"),
        ({"offset": 2**62}, "outside of the data"),
        ({"offset": -8}, "outside of the data"),
        ({"shard_id": 3}, "outside of the data"),
        ({"dtype": 2}, "gives net/w the shape"),  # float64
        ({"dtype": 9999}, "its index is damaged"),
        ({"shape": (2, 4)}, "gives net/w the shape [2, 4]"),
        ({"shape": (2**40, 2**40)}, "gives net/w the shape"),
        ({"shape": (-2, -3)}, "outside of the data"),
    ],
    ids=str,
)
def test_what_does_not_fit_the_data_is_refused(changes, words, prefix, monkeypatch):
    entries = dict(tf1_index._entries(read(prefix)))
    entry = tensor_bundle_pb2.BundleEntryProto.FromString(entries[b"net/w"])
    shape = changes.pop("shape", None)
    for name, value in changes.items():
        setattr(entry, name, value)
    if shape:
        for dimension, size in zip(entry.shape.dim, shape, strict=True):
            dimension.size = size
    entries[b"net/w"] = entry.SerializeToString()
    monkeypatch.setattr(tf1_index, "_entries", lambda content: entries.items())
    with pytest.raises(ValueError) as raised:
        tf1.open_file(prefix, ema=False)
    assert str(raised.value).startswith(f"{prefix}: ") and words in str(raised.value)


@pytest.mark.parametrize("value", [b"\xff" * 9, b"\x0a"], ids=["garbage", "cut"])
@pytest.mark.parametrize("name", [b"", b"net/w"])
def test_an_entry_that_cannot_be_parsed_is_damage(name, value, prefix, monkeypatch):
    entries = dict(tf1_index._entries(read(prefix))) | {name: value}
    monkeypatch.setattr(tf1_index, "_entries", lambda content: entries.items())
    with pytest.raises(ValueError, match="its index is damaged"):
        tf1_index.check(prefix)


def test_one_run_of_bytes_is_not_the_values_of_many(prefix, monkeypatch):
    entries = dict(tf1_index._entries(read(prefix)))
    many = [(b"", entries[b""])] + [(b"net/w", entries[b"net/w"])] * 3
    monkeypatch.setattr(tf1_index, "_entries", lambda content: many)
    with pytest.raises(ValueError, match="states more values than the data"):
        tf1_index.check(prefix)
