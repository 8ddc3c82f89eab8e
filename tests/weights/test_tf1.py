"""TF1 checkpoints, made with TF1 itself and with a table of names of our own."""

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import weight_helpers as helpers
from slow_cases import all_but
from tf1_checkpoints import (
    AVERAGE,
    COND_CONV,
    ONE,
    SMALL,
    TEST,
    built,
    checkpoint,
    save,
    variables_of,
)
from weight_helpers import assert_same, values

import efficientnet_tf as en

ROOT = pathlib.Path(__file__).parents[2]
DATA = os.environ.get("EFFICIENTNET_TF_TEST_DATA", ROOT.parent / "shared" / "data")
REFERENCE = pathlib.Path(DATA).parent / "reference"


FAMILY = (
    *(TEST, "efficientnet-lite0", "efficientnet-edgetpu-s"),
    *("efficientnet-condconv-b0-4e", "efficientnetv2-b0", "efficientnetv2-s"),
)
# The others have no kind of layer that these have not.
NAMED_APART = ("efficientnet-condconv-b0-4e", "efficientnetv2-s")


@pytest.mark.parametrize("letter", ["b0", "b3"])
def test_names_are_those_of_the_reference(letter):
    """Keeps the table of this file honest."""
    file = REFERENCE / f"tf1_variables_{letter}.txt"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    lines = file.read_text().splitlines()
    assert sorted(lines) == sorted(expected_lines(f"efficientnet-{letter}"))


def expected_lines(name):
    lines = ["global_step []"]
    for variable, shape, _, _ in variables_of(en.get_variant(name), classes=1000):
        for suffix in ("", AVERAGE):
            lines.append(f"{name}/{variable}{suffix} {list(shape)}")
    return lines


def test_we_write_all_names_of_the_original(tmp_path):
    path = str(tmp_path / "model.ckpt")
    en.save_weights(en.EfficientNet("efficientnet-b0"), path)
    shapes = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    written = [f"{name} {shapes[name]}" for name in shapes]
    assert sorted(written) == sorted(expected_lines("efficientnet-b0"))
    assert tf.train.load_checkpoint(path).get_tensor("global_step").dtype == np.int64


@pytest.mark.parametrize("name", all_but(NAMED_APART, FAMILY))
def test_every_variable_finds_its_place(name, tmp_path):
    variant = helpers.small(name) if name != TEST else en.get_variant(TEST)
    path, raw, averaged, arrays = checkpoint(tmp_path, variant)
    model = built(variant)
    for ema, expected in ((True, averaged), (False, raw)):
        en.load_weights(model, path, ema=ema)
        assert_same(model, expected)
        report = model.load_report
        assert (report.project, report.source) == ("tf1", path)
        assert report.loaded == len(raw) == len(arrays) // 2
        others = {n for n in arrays if n.endswith(AVERAGE) != ema}
        assert set(report.unused) == others | {"global_step"}
        assert model.passport.averaged is ema


@pytest.mark.parametrize("name", FAMILY)
def test_names_survive_our_writing(name, tmp_path):
    variant = helpers.small(name) if name != TEST else en.get_variant(TEST)
    model = helpers.randomize(built(variant))
    path = str(tmp_path / "model.ckpt")
    en.save_weights(model, path)
    reader = tf.train.load_checkpoint(path)
    found = values(model)
    names = {"global_step"}
    for name_, shape, our_path, _ in variables_of(variant, classes=10):
        for suffix in ("", AVERAGE):
            full = f"{variant.name}/{name_}{suffix}"
            value = reader.get_tensor(full)
            assert value.shape == shape
            np.testing.assert_array_equal(value.ravel(), found[our_path].ravel())
            names.add(full)
    assert set(reader.get_variable_to_shape_map()) == names


def test_a_folder_means_its_newest_checkpoint(tmp_path):
    _, _, averaged, _ = checkpoint(tmp_path, ONE)
    model = en.EfficientNet(ONE, weights=str(tmp_path), **SMALL)
    assert_same(model, averaged)


def test_without_averages_one_must_ask_for_the_raw_weights(tmp_path):
    path, raw, _, _ = checkpoint(tmp_path, ONE, average=False)
    model = helpers.randomize(built(ONE))
    before = values(model)
    with pytest.raises(ValueError, match="no moving averages; ema=False"):
        en.load_weights(model, path)
    assert_same(model, before)
    assert_same(en.load_weights(model, path, ema=False), raw)


def test_graphs_made_for_inference_say_batch_normalization(tmp_path):
    path, raw, averaged, _ = checkpoint(
        tmp_path, ONE, rename=lambda name: name.replace("tpu_batch", "batch")
    )
    assert_same(en.EfficientNet(ONE, weights=path, **SMALL), averaged)
    assert_same(en.load_weights(built(ONE), path, ema=False), raw)


def test_cond_convs_are_numbered_by_the_process(tmp_path):
    path, _, averaged, arrays = checkpoint(
        tmp_path, COND_CONV, first_cond_conv=30, first_depthwise=9
    )
    assert any("/cond_conv2d_31/" in name for name in arrays)
    model = built(COND_CONV)
    assert_same(en.load_weights(model, path), averaged)
    # 99 and 100 in one block would be the other way round as texts.
    folder = tmp_path / "hundred"
    folder.mkdir()
    path, _, averaged, arrays = checkpoint(
        folder, COND_CONV, first_cond_conv=98, first_depthwise=99
    )
    assert any("/cond_conv2d_100/" in name for name in arrays)
    assert_same(en.load_weights(model, path), averaged)


def test_a_background_class_offsets_the_labels(tmp_path):
    path, _, averaged, _ = checkpoint(tmp_path, ONE, classes=1001)
    model = en.EfficientNet(ONE, weights=path, classes=1001)
    assert_same(model, averaged)
    assert (model.passport.classes, model.passport.label_offset) == (1001, 1)
    with pytest.raises(ValueError, match=r'\(1001,\).*skip=\["predictions"\]'):
        en.EfficientNet(ONE, weights=path)
    fresh = en.EfficientNet(ONE, classes=1001)
    en.load_weights(fresh, path, skip=["predictions"])
    assert fresh.passport.label_offset == 0


def test_optimizer_slots_are_reported_as_unused(tmp_path):
    slots = ("RMSProp", "RMSProp_1", "Momentum")
    path, raw, averaged, _ = checkpoint(tmp_path, ONE, slots=slots)
    model = built(ONE)
    for ema, expected in ((True, averaged), (False, raw)):
        assert_same(en.load_weights(model, path, ema=ema), expected)
        found = {n for n in model.load_report.unused if n.split("/")[-1] in slots}
        assert len(found) == 3 * len(raw)


def test_an_unknown_variable_is_refused(tmp_path):
    path, _, _, arrays = checkpoint(tmp_path, ONE)
    arrays[f"{TEST}/blocks_0/other/kernel{AVERAGE}"] = np.zeros(3, "float32")
    path = save(tmp_path / "other.ckpt", arrays)
    with pytest.raises(ValueError, match=r"blocks_0/other/kernel \(3,\): the"):
        en.load_weights(built(ONE), path)


def test_experts_of_another_size_are_named(tmp_path):
    path, _, _, arrays = checkpoint(tmp_path, COND_CONV)
    name = next(n for n in arrays if "condconv_kernel" in n and n.endswith(AVERAGE))
    arrays[name] = np.zeros((4, 7), "float32")
    path = save(tmp_path / "other.ckpt", arrays)
    with pytest.raises(ValueError, match=r"\(4, 1, 1, .*condconv_kernel is \(4, 7\)"):
        en.load_weights(built(COND_CONV), path)
