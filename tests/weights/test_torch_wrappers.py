"""What training scripts save around their weights."""

import pytest

from efficientnet_tf.weights import torch_wrappers
from efficientnet_tf.weights.torch_pickle import Storage, Tensor


def state(key, *names):
    """A dictionary of tensors, told from others by the key of their storage."""
    storage = Storage(key, "float32", 1)
    tensor = Tensor(storage, "float32", 0, (1,), (1,))
    return dict.fromkeys(names or ("a.weight", "a.bias"), tensor)


RAW, AVERAGES = state("raw"), state("averages")
BESIDE = {
    "epoch": 3,
    "arch": "tf_efficientnet_b0",
    "optimizer": {"state": {0: state("x", "square_avg")}, "param_groups": [{}]},
    "lr_scheduler": {"last_epoch": 3},
    "scaler": {},
}


@pytest.mark.parametrize("beside", [{}, BESIDE])
@pytest.mark.parametrize(
    ("content", "averaged"),
    [
        ({"state_dict": RAW}, None),
        ({"model": RAW}, None),
        ({"state_dict": {"model": RAW}}, None),
        ({"model": {"state_dict": RAW, "epoch": 3}}, None),
        ({"state_dict_ema": RAW}, True),
        ({"model_ema": RAW}, True),
        ({"model_ema": {"state_dict": RAW}}, True),
        ({"model": {"model_ema": RAW}}, True),
    ],
)
def test_the_only_known_weights_are_taken(content, averaged, beside):
    found = torch_wrappers.find(content | beside, ema=True)
    assert found == torch_wrappers.Found(RAW, averaged)


@pytest.mark.parametrize(
    ("raw", "averages"),
    [
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("state_dict", "model_ema"),
    ],
)
@pytest.mark.parametrize("within", [None, "model", "state_dict"])
def test_of_both_kinds_ema_takes_one_and_says_so(raw, averages, within):
    content = {raw: RAW, averages: AVERAGES} | BESIDE
    content = {within: content} if within else content
    prefix = f"{within}." if within else ""
    found = torch_wrappers.find(content, ema=True)
    assert (found.tensors, found.averaged) == (AVERAGES, True)
    assert found.notes == (
        f"took the moving averages ({prefix}{averages}); --weights_ema=false takes the "
        f"raw weights ({prefix}{raw})",
    )
    found = torch_wrappers.find(content, ema=False)
    assert (found.tensors, found.averaged) == (RAW, False)
    assert found.notes == (
        f"took the raw weights ({prefix}{raw}); --weights_ema=true takes the moving "
        f"averages ({prefix}{averages})",
    )


def test_raw_weights_that_are_not_there_are_not_replaced():
    with pytest.raises(ValueError, match=r"no raw weights.*\(model_ema\); ema=True"):
        torch_wrappers.find({"model_ema": AVERAGES} | BESIDE, ema=False)
    assert torch_wrappers.find({"model": RAW}, ema=False).tensors == RAW
    assert torch_wrappers.find(RAW, ema=False) == torch_wrappers.Found(RAW)


@pytest.mark.parametrize("key", ["model_state_dict", "net", "ema"])
def test_the_only_dictionary_of_tensors_is_taken_and_named(key):
    found = torch_wrappers.find({key: RAW} | BESIDE, ema=True)
    assert (found.tensors, found.averaged) == (RAW, None)
    assert found.notes == (f"took {key}, the only dictionary of tensors by name",)


def test_others_beside_a_known_key_are_named():
    found = torch_wrappers.find({"model": RAW, "teacher": AVERAGES}, ema=True)
    assert (found.tensors, found.averaged) == (RAW, None)
    assert found.notes == ("took model and left out teacher",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"net": RAW, "ema": AVERAGES}, r"several .* \(net, ema\)"),
        ({}, r"its keys: none"),
        (BESIDE, "its keys: epoch, arch, optimizer, lr_scheduler, scaler"),
        ({"state_dict": {}}, "its keys: state_dict"),
        ({0: RAW["a.bias"], 1: RAW["a.bias"]}, "its keys: 0, 1"),
        (RAW | {"epoch": 3}, "its keys: a.weight, a.bias, epoch"),
        ({f"k{i}": i for i in range(11)}, "k6, k7 and 3 more"),
        ({"a\nb": 1}, r"its keys: 'a\\nb'"),
        ([RAW], "it is a list"),
        (RAW["a.bias"], "it is a tensor"),
        (None, "it is a nonetype"),
    ],
)
def test_what_says_not_where_its_weights_are_is_refused(content, words):
    with pytest.raises(ValueError, match=words) as raised:
        torch_wrappers.find(content, ema=True)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
)
def test_a_prefix_of_all_names_is_taken_away(prefix):
    names = ["conv.weight", "bn.num_batches_tracked"]
    theirs = [prefix + name for name in names]
    assert torch_wrappers.strip(theirs) == dict(zip(theirs, names, strict=True))
    counted = [*theirs, "n_averaged"]
    assert torch_wrappers.strip(counted)["n_averaged"] == "n_averaged"
    assert list(torch_wrappers.strip(counted).values()) == [*names, "n_averaged"]


def test_a_prefix_of_some_names_stays():
    names = ["module.conv.weight", "head.weight"]
    assert torch_wrappers.strip(names) == {name: name for name in names}
    assert torch_wrappers.strip(["n_averaged"]) == {"n_averaged": "n_averaged"}
    assert torch_wrappers.strip([]) == {}
