"""What training scripts save around their weights."""

import pytest

from efficientnet_tf.weights import torch_wrappers
from efficientnet_tf.weights.torch_pickle import Storage, Tensor

NAMES = ("conv_stem.weight", "bn1.bias")


def state(key, *names):
    """A dictionary of tensors, told from others by the key of their storage."""
    storage = Storage(key, "float32", 1)
    tensor = Tensor(storage, "float32", 0, (1,), (1,))
    return dict.fromkeys(names or NAMES, tensor)


RAW, AVERAGES = state("raw"), state("averages")
STRANGE = state("strange", "a.weight", "a.bias")
BESIDE = {
    "epoch": 3,
    "arch": "tf_efficientnet_b0",
    "optimizer": {"state": {0: state("x", "square_avg")}, "param_groups": [{}]},
    "lr_scheduler": {"last_epoch": 3},
    "scaler": {},
}


def wrapped(tensors, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("beside", [{}, BESIDE])
@pytest.mark.parametrize(
    ("content", "averaged"),
    [
        ({"state_dict": RAW}, None),
        ({"model": RAW}, None),
        ({"model": RAW, "state_dict": RAW}, None),
        ({"state_dict": {"model": RAW}}, None),
        ({"model": {"state_dict": RAW, "epoch": 3}}, None),
        ({"state_dict_ema": RAW}, True),
        ({"model_ema": RAW}, True),
        ({"model_ema": {"state_dict": RAW}}, True),
        ({"model": {"model_ema": RAW}}, True),
        (RAW, None),
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
        ("model_state_dict", "ema_state_dict"),
        ("net", "emaModel"),
        ("weights", "swa_model"),
        ("net", "averaged_net"),
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


COUNT = state("counter", "n_averaged")


@pytest.mark.parametrize(
    ("content", "places"),
    [
        # AveragedModel's counter tells what its key does not.
        (
            {"net": RAW, "best": wrapped(AVERAGES, "module.") | COUNT},
            ("best", "net"),
        ),
        # Lightning has one dictionary, whose names begin with attributes.
        (
            {
                "state_dict": wrapped(RAW, "model.")
                | wrapped(AVERAGES, "model_ema.module."),
            },
            ("state_dict.model_ema.module", "state_dict.model"),
        ),
        (
            wrapped(RAW, "net.")
            | wrapped(AVERAGES, "other.module.")
            | wrapped(COUNT, "other."),
            ("other.module", "net"),
        ),
        (RAW | {"ema": AVERAGES}, ("ema", "the top level")),
        (RAW | wrapped(AVERAGES, "ema."), ("ema", "the top level")),
        (
            RAW | wrapped(AVERAGES, "x.module.") | wrapped(COUNT, "x."),
            ("x.module", "the top level"),
        ),
    ],
)
def test_counters_and_prefixes_tell_averages(content, places):
    averages, raw = places
    for ema, expected in ((True, AVERAGES), (False, RAW)):
        found = torch_wrappers.find(content | BESIDE, ema=ema)
        counters = {name for name in found.tensors if name.endswith("n_averaged")}
        tensors = {n: v for n, v in found.tensors.items() if n not in counters}
        assert (tensors, found.averaged) == (expected, ema)
        assert f"({averages})" in found.notes[0]
        assert f"({raw})" in found.notes[0]


def test_averages_alone_are_known_by_their_counter():
    content = {"state_dict": wrapped(AVERAGES, "module.") | COUNT}
    found = torch_wrappers.find(content, ema=True)
    assert found.averaged is True
    assert found.tensors == AVERAGES | COUNT
    with pytest.raises(ValueError, match=r"no raw weights.*\(state_dict\); ema=True"):
        torch_wrappers.find(content, ema=False)


def test_raw_weights_that_are_not_there_are_not_replaced():
    with pytest.raises(ValueError, match=r"no raw weights.*\(model_ema\); ema=True"):
        torch_wrappers.find({"model_ema": AVERAGES} | BESIDE, ema=False)
    assert torch_wrappers.find({"model": RAW}, ema=False).tensors == RAW
    assert torch_wrappers.find(RAW, ema=False) == torch_wrappers.Found(RAW)


@pytest.mark.parametrize(
    "key", ["model_state_dict", "net", "weights", "params", "schema", "a\nb"]
)
def test_the_only_network_is_taken_and_named(key):
    found = torch_wrappers.find({key: RAW, "loss": STRANGE} | BESIDE, ema=True)
    assert (found.tensors, found.averaged) == (RAW, None)
    assert len(found.notes) == 1
    assert f"took {'a' if key[0] == 'a' else key}" in found.notes[0].replace("'", "")
    assert found.notes[0].isprintable()


def test_others_beside_a_known_key_are_named():
    found = torch_wrappers.find({"model": RAW, "teacher": AVERAGES}, ema=True)
    assert (found.tensors, found.averaged) == (RAW, None)
    assert found.notes == ("took model and left out teacher",)


@pytest.mark.parametrize(
    "averages",
    [
        {"ema": {"decay": 0.999, "shadow_params": [RAW["bn1.bias"]]}},
        {"model_ema": STRANGE},
        {"swaModel": [RAW["bn1.bias"]]},
    ],
    ids=lambda content: next(iter(content)),
)
def test_averages_of_no_known_network_are_named(averages):
    (key,) = averages
    content = {"model": RAW, "ema_decay": 0.999, "ema_steps": None, **averages}
    found = torch_wrappers.find(content, ema=True)
    assert (found.tensors, found.averaged) == (RAW, None)
    assert found.notes == (f"left out {key}, in which no network is known",)


def nested(content, depth):
    for _ in range(depth):
        content = {"deeper": content}
    return content


CIRCLE = {"epoch": 3}
CIRCLE["itself"] = CIRCLE


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"net": RAW, "best": AVERAGES}, r"several .* \(net, best\)"),
        ({"state_dict": RAW, "model": AVERAGES}, r"several .* \(state_dict, model\)"),
        (
            wrapped(RAW, "student.") | wrapped(RAW, "teacher."),
            r"several .* \(student, teacher\)",
        ),
        ({}, r"its keys: none"),
        (BESIDE, "its keys: epoch, arch, optimizer, lr_scheduler, scaler"),
        ({"state_dict": {}}, "its keys: state_dict"),
        (
            {"weights": STRANGE, "net": state("x", "b")},
            r"its names \(a\.bias, a\.weight \.\.\.\).* are in: weights, net",
        ),
        ({0: RAW["bn1.bias"], 1: RAW["bn1.bias"]}, "its keys: 0, 1"),
        (STRANGE | {"net": STRANGE.copy()}, "are in: the top level, net"),
        ({f"k{i}": i for i in range(11)}, "k6, k7 and 3 more"),
        ({"a\nb": 1}, r"its keys: 'a\\nb'"),
        (CIRCLE, "its keys: epoch, itself"),
        (nested(RAW, 9), "its keys: deeper"),
        ([RAW], "it is a list"),
        (RAW["bn1.bias"], "it is a tensor"),
        (None, "it is a nonetype"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_says_not_where_its_weights_are_is_refused(content, words):
    with pytest.raises(ValueError, match=words) as raised:
        torch_wrappers.find(content, ema=True)
    assert "\n" not in str(raised.value)


PREFIXES = (
    *("module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model."),
    *("backbone.", "encoder.", "net.", "a.b-1.c_2.", "model.module.features_of."),
)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("mark", ["conv_stem", "_conv_stem", "features.1.0.block.0.0"])
def test_a_prefix_that_makes_names_known_is_dropped(prefix, mark):
    names = [f"{mark}.weight", "bn.num_batches_tracked", "x.weight"]
    found = torch_wrappers.find_names([f"{prefix}{n}" for n in names], ema=True)
    assert found.tensors == {name: f"{prefix}{name}" for name in names}
    assert found.notes == (f"dropped {prefix} from all names",)


def test_names_beside_a_network_stay_as_they_are():
    names = ["backbone.conv_stem.weight", "backbone.x.bias", "head.weight"]
    found = torch_wrappers.find_names(names, ema=True)
    assert found.tensors == {
        "conv_stem.weight": names[0],
        "x.bias": names[1],
        "head.weight": "head.weight",
    }
    assert found.notes == ("dropped backbone. from 2 of 3 names",)


def test_a_name_inside_and_beside_a_network_is_refused():
    names = ["net.conv_stem.weight", "net.classifier.bias", "classifier.bias"]
    with pytest.raises(ValueError, match=r"classifier\.bias twice, beside net\.class"):
        torch_wrappers.find_names(names, ema=True)


def test_of_no_known_network_all_tensors_are_returned():
    """So that a damaged file is called damaged before its names are read."""
    assert torch_wrappers.find(STRANGE | {"epoch": 3}, ema=True).tensors == STRANGE
    for names in ([], ["n_averaged"], ["xconv_stem.weight", "b"]):
        found = torch_wrappers.find_names(names, ema=True)
        assert found == torch_wrappers.Found({name: name for name in names})
