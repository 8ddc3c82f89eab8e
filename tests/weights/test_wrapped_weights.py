"""Wrappers' keys and prefixes in PyTorch's files of both formats."""

import dataclasses
import functools

import networks
import numpy as np
import pytest
import torch_saving as support
import weight_helpers as helpers
from torch_states import TEST, lukemelas, state_dict, write
from weight_helpers import assert_same, values

import efficientnet_tf as en

PREFIXES = (
    "_orig_mod.",
    "module._orig_mod.",
    "model.",
    "backbone.",
    "encoder.",
    "a.b.",
)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_any_prefix_is_dropped_in_every_format(suffix, prefix, one, tmp_path):
    state = {f"{prefix}{n}": v for n, v in one_state(one).items()}
    path = write_any(tmp_path / f"w{suffix}", state)
    model = load_one(path)
    assert_same(model, values(one))
    assert model.load_report.notes == (f"dropped {prefix} from all names",)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "encoder."])
def test_a_module_beside_the_network_is_left_out_on_request(
    suffix, prefix, one, tmp_path
):
    state = {f"{prefix}{n}": v for n, v in one_state(one).items()}
    state |= {"decoder.0.weight": np.ones((2, 3), "f4"), "decoder.1.bias": np.ones(2)}
    path = write_any(tmp_path / f"w{suffix}", state)
    with pytest.raises(ValueError, match=r'decoder\.0\.weight \(2, 3\).*\["decoder"\]'):
        load_one(path)
    model = load_one(path, skip=["decoder"])
    assert_same(model, values(one))
    assert {"decoder.0.weight", "decoder.1.bias"} <= set(model.load_report.unused)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_names_of_no_known_network_are_shown(suffix, tmp_path):
    state = {"xconv_stem.weight": np.ones(2, "f4"), "a.bias": np.ones(2, "f4")}
    path = write_any(tmp_path / f"w{suffix}", state)
    with pytest.raises(ValueError, match=r"names \(a\.bias, xconv_stem\.weight"):
        load_one(path)


@pytest.mark.parametrize("ema", [True, False])
def test_both_kinds_in_one_dictionary(ema, one, tmp_path):
    """As Lightning has them, and safetensors files of such a module."""
    raw = build_one()
    state = {f"model.{n}": v for n, v in one_state(raw).items()}
    state |= {f"ema_model.module.{n}": v for n, v in one_state(one).items()}
    state |= {"ema_model.n_averaged": np.array(7)}
    for path in (
        write(tmp_path / "w.safetensors", state),
        support.save(tmp_path / "w.ckpt.pth", {"state_dict": support.tensors(state)}),
    ):
        model = load_one(path, ema=ema)
        assert_same(model, values(one if ema else raw))
        assert model.passport.averaged is ema
        assert f"--weights_ema={str(not ema).lower()}" in model.load_report.notes[0]


@pytest.mark.parametrize("key", ["model_state_dict", "net", "weights"])
def test_weights_under_another_key_are_taken_and_said(key, one, tmp_path):
    content = {key: support.tensors(one_state(one)), "epoch": 3}
    model = load_one(support.save(tmp_path / "w.pth", content))
    assert_same(model, values(one))
    assert model.load_report.notes == (f"took {key}, the only network in the file",)


BLOCK = networks.ONE.replace("_e4", "_e1").replace("_i8_o16", "_i8_o8")
VARIANT = dataclasses.replace(en.get_variant(TEST), blocks=(BLOCK,))


def build_one():
    return helpers.build(VARIANT)


@pytest.fixture(scope="module")
def one():
    return build_one()


def one_state(model):
    return state_dict(lukemelas, model, VARIANT)


def write_any(path, state):
    if path.suffix == ".safetensors":
        return write(path, state)
    return support.save(path, support.tensors(state))


def load_one(path, **kwargs):
    return en.load_weights(_loaded(), path, **kwargs)


@functools.cache
def _loaded():
    return build_one()
