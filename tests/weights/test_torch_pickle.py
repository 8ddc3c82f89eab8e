"""The machine that reads PyTorch's pickles: what it knows, and what it refuses."""

import collections
import io
import pickle
import re
import time
import tracemalloc

import numpy as np
import pytest
import torch_saving as support

from efficientnet_tf.weights import torch_pickle

EMPTY = b"\x80\x02}."


def load(pickled):
    return torch_pickle.load(io.BytesIO(pickled)).value


def of(content, protocol=2):
    return load(support.dumps(content, protocol=protocol)[0])


PLAIN = {
    "epoch": 3,
    "rate": 0.1,
    "done": [True, False, None],
    "big": 2**80,
    "negative": -(2**31) - 1,
    "text": "Grüße " * 50,
    "nested": {"state": {0: {"step": 4}, 1: {}}, "groups": [{"lr": 1.5, "p": (0, 1)}]},
    "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_is_what_was_pickled(protocol):
    assert of(PLAIN, protocol) == PLAIN
    ordered = of(collections.OrderedDict(PLAIN), protocol)
    assert type(ordered) is dict
    assert list(ordered.items()) == list(PLAIN.items())


def test_many_names_need_long_places_in_the_memo():
    many = {f"layer{i}": [f"value{i}", f"value{i}"] for i in range(400)}
    assert of(many) == many


def test_an_ordered_dict_may_have_attributes():
    content = collections.OrderedDict(a=1)
    content._metadata = {"": {"version": 1}}
    assert of(content) == {"a": 1}


def test_text_and_ordered_dicts_of_python_2():
    pickled = (
        b"\x80\x02ccollections\nOrderedDict\nq\x00]q\x01]q\x02(U\x01aq\x03K\x07ea\x85"
        b"q\x04Rq\x05."
    )
    assert load(pickled) == pickle.loads(pickled) == {"a": 7}


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_tensor_is_described_and_not_read(protocol):
    view = support.Tensor(support.storage(np.arange(6, dtype="f4")), 1, (2,), (3,))
    found = of({"a": view, "b": support.Parameter(view)}, protocol)
    storage = torch_pickle.Storage("0", "float32", 6)
    assert found["a"] == torch_pickle.Tensor(storage, "float32", 1, (2,), (3,))
    assert found["b"] == found["a"]


# Calls of a function that creates the file `trace` in the working folder, as each
# protocol writes them.
CALL = b"(X\x05\x00\x00\x00tracetR"
CALLS = {
    "GLOBAL": (b"cos\nmkdir\n" + CALL, r"os\.mkdir"),
    "STACK_GLOBAL": (b"\x8c\x02os\x8c\x05mkdir\x93" + CALL, r"os\.mkdir"),
    "INST": (b"(X\x05\x00\x00\x00traceios\nmkdir\n", "INST .os mkdir"),
    "OBJ": (b"(cos\nmkdir\nX\x05\x00\x00\x00traceo", r"os\.mkdir"),
    "NEWOBJ": (b"cos\nmkdir\n(X\x05\x00\x00\x00tracet\x81", r"os\.mkdir"),
    "getattr": (b"cbuiltins\ngetattr\n" + CALL, r"builtins\.getattr"),
    "Python 2": (b"c__builtin__\neval\n" + CALL, r"__builtin__\.eval"),
    "dotted": (b"\x8c\x05torch\x8c\x0d_utils.os.sys\x93" + CALL, r"torch\._utils\.os"),
    "extension": (b"\x82\x01" + CALL, "EXT1"),
    "two lines": (b"\x8c\x04a\nb\n\x8c\x01c\x93" + CALL, r"'a\\nb\\n\.c'"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_is_refused_by_name_and_not_made(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, name = CALLS[call]
    with pytest.raises(ValueError, match=name) as raised:
        load(b"\x80\x04}X\x01\x00\x00\x00a" + code + b"s.")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "trace").exists()


def test_the_calls_would_have_left_a_trace(tmp_path, monkeypatch):
    """Python's own reader makes them."""
    monkeypatch.chdir(tmp_path)
    for name in ("GLOBAL", "STACK_GLOBAL", "INST", "OBJ"):
        pickle.loads(b"\x80\x04}X\x01\x00\x00\x00a" + CALLS[name][0] + b"s.")
        (tmp_path / "trace").rmdir()


def test_hooks_of_known_objects_are_not_called(tmp_path, monkeypatch):
    """BUILD and REDUCE work on what the machine knows alone."""
    monkeypatch.chdir(tmp_path)
    for code in (
        b"X\x01\x00\x00\x00a(X\x05\x00\x00\x00tracetR.",  # a call of text
        b"ctorch\nFloatStorage\n)R.",  # a call of a type
        b"ccollections\nOrderedDict\nK\x07\x85R.",  # of a number
        b"]}b.",  # attributes of a list
        b"ccollections\nOrderedDict\n}b.",  # attributes of a class
    ):
        with pytest.raises(ValueError):
            load(b"\x80\x02" + code)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"bytes", "_codecs.encode|__builtin__.bytes"),
        ({1, 2}, "__builtin__.set|builtins.set"),
        (1 + 2j, "complex"),
        (support.Named("torch._utils", "_rebuild_qtensor"), "_rebuild_qtensor"),
        (support.Named("torch._utils", "_rebuild_sparse_tensor"), "sparse_tensor"),
        (support.Named("torch", "QInt8Storage"), r"torch\.QInt8Storage"),
        (support.Named("torch", "float8_e4m3fn"), r"torch\.float8_e4m3fn"),
        (support.Named("stranger", "Model", 1), r"stranger\.Model"),
    ],
)
def test_other_objects_are_refused_by_name(content, name):
    with pytest.raises(ValueError, match=name):
        of({"a": content})


@pytest.mark.parametrize(
    "pickled",
    [
        b"",
        b"\x80\x02",
        EMPTY[:-1],
        b"\x80\x02.",  # an empty stack
        b"\x80\x02e.",  # no mark
        b"\x80\x02\x86.",
        b"\x80\x02h\x07.",  # no such place in the memo
        b"\x80\x02}(X\x01\x00\x00\x00au.",  # a key without a value
        b"\x80\x02}}}s.",  # a dictionary as a key
        b"\x80\x02}\x85Q.",  # a tensor's storage that is none
        b"\x80\x02X\xff\xff\xff\xffa.",  # text longer than the file
        b"\x80\x02}\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01Ns.",  # 2**64 as a key
        b"\xff" * 20,
    ],
)
def test_damaged_pickles_are_refused(pickled):
    with pytest.raises(ValueError) as raised:
        load(pickled)
    assert "\n" not in str(raised.value)


def test_a_storage_of_two_types_is_refused():
    view = support.Tensor(support.storage(np.zeros(4, "f4")), 0, (4,), (1,))
    first = support.dumps(view)[0].removeprefix(b"\x80\x02").removesuffix(b".")
    second = first.replace(b"FloatStorage", b"HalfStorage")
    assert load(b"\x80\x02" + first + first + b"\x86.")
    with pytest.raises(ValueError, match="storage 0 has two types or sizes"):
        load(b"\x80\x02" + first + second + b"\x86.")


ORDERED = b"ccollections\nOrderedDict\nq\x00"
PAIRS = b"](" + b"K\x00K\x00\x86" * 50_000 + b"eq\x01"
BOMBS = {
    "deep lists": b"]" * 150_000 + b"a" * 149_999,
    "deep tuples as a key": b"})" + b"\x85" * 150_000 + b"Ns",
    "deep dictionaries": b"}K\x00" * 100_000 + b"N" + b"s" * 100_000,
    "too many operations": b"N" * 1_100_000,
    "marks": b"(" * 1_100_000,
    "one list of pairs made into many dictionaries": (
        ORDERED + PAIRS + b"h\x00h\x01\x85R" * 50_000
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_end_soon(bomb):
    began = time.monotonic()
    try:
        load(b"\x80\x02" + BOMBS[bomb] + b".")
    except ValueError as error:
        assert "\n" not in str(error)
    assert time.monotonic() - began < 5  # 1 s alone on a core


@pytest.mark.parametrize(
    "code",
    [
        b"}r\xff\xff\xff\xff",  # a place in the memo
        b"X\xff\xff\xff\xffa",  # the length of a text
        b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f}",  # of a frame
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa",
        b"\x8b\xff\xff\xff\x7fa",  # of a number
    ],
)
def test_large_numbers_in_a_small_pickle_take_no_memory(code):
    tracemalloc.start()
    try:
        load(b"\x80\x04" + code + b".")
    except ValueError as error:
        assert "\n" not in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1e6


def test_long_names_are_cut():
    with pytest.raises(ValueError) as raised:
        load(b"\x80\x02c" + b"m" * 100_000 + b"\nname\n.")
    assert re.search("m{100}", str(raised.value))
    assert len(str(raised.value)) < 500
