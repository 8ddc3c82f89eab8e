"""Scopes of Keras models, layers and wrappers in the names of TF1 checkpoints."""

import functools

import pytest
from tf1_checkpoints import AVERAGE, COND_CONV, ONE, TEST, built, write
from tf1_checkpoints import checkpoint as slow_checkpoint
from weight_helpers import assert_same

import efficientnet_tf as en

checkpoint = functools.partial(slow_checkpoint, save=write)


@pytest.mark.parametrize("outer", ["", "model_1/", "net/mnas_net_model/"])
def test_cond_convs_may_be_in_the_scope_of_a_keras_model(outer, tmp_path):
    path, raw, averaged, arrays = checkpoint(tmp_path, COND_CONV, outer=outer)
    name = f"{COND_CONV.name}/{outer}blocks_0/cond_conv2d_1/condconv_kernel"
    assert {name, name + AVERAGE} <= set(arrays)
    model = built(COND_CONV)
    assert_same(en.load_weights(model, path), averaged)
    assert_same(en.load_weights(model, path, ema=False), raw)
    assert model.load_report.notes == ()


def test_cond_convs_may_be_in_scopes_of_their_own(tmp_path):
    """A Keras block's scope inside, another model's outside."""

    def rename(name):
        name = name.replace("/cond_conv2d", "/mb_conv_block/cond_conv2d")
        return name.replace(f"{COND_CONV.name}/model/", "again_1/model_1/")

    path, _, averaged, arrays = checkpoint(tmp_path, COND_CONV, rename=rename)
    assert any(name.startswith("again_1/") for name in arrays)
    assert_same(en.load_weights(built(COND_CONV), path), averaged)


def test_one_cond_conv_in_two_scopes_is_refused(tmp_path):
    path, _, _, arrays = checkpoint(tmp_path, COND_CONV)
    name = next(n for n in arrays if "condconv_kernel" in n and n.endswith(AVERAGE))
    arrays[name.replace("/model/", "/other/")] = arrays[name]
    path = write(tmp_path / "other.ckpt", arrays)
    with pytest.raises(ValueError, match=r"holds one layer as .*/other/blocks_"):
        en.load_weights(built(COND_CONV), path)


def test_scopes_of_a_wrapper_are_dropped_and_said(tmp_path):
    path, _, averaged, _ = checkpoint(
        tmp_path, ONE, rename=lambda name: f"outer/student/{name}"
    )
    model = en.load_weights(built(ONE), path)
    assert_same(model, averaged)
    (note,) = model.load_report.notes
    assert f"outer/student/{TEST}/" in note


def test_two_networks_are_refused(tmp_path):
    path, _, _, arrays = checkpoint(tmp_path, ONE)
    arrays |= {f"teacher/{name}": value for name, value in arrays.items()}
    path = write(tmp_path / "two.ckpt", arrays)
    with pytest.raises(ValueError, match=rf"several networks \({TEST}, teacher/{TEST}"):
        en.load_weights(built(ONE), path)
