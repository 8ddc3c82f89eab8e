"""TF1 checkpoints, made with TF1 itself and with a table of names of our own."""

import dataclasses
import functools
import itertools
import os
import pathlib

import networks
import numpy as np
import pytest
import tensorflow as tf
import weight_helpers as helpers
from weight_helpers import assert_same, values

import efficientnet_tf as en

ROOT = pathlib.Path(__file__).parents[2]
DATA = os.environ.get("EFFICIENTNET_TF_TEST_DATA", ROOT.parent / "shared" / "data")
REFERENCE = pathlib.Path(DATA).parent / "reference"
AVERAGE = "/ExponentialMovingAverage"
TEST = "efficientnet-test"
SMALL = {"input_shape": (32, 32, 3), "classes": 10}


def variables_of(
    variant, *, classes, first_cond_conv=0, first_depthwise=0, outer="model/"
):
    """(name, shape, our path, our shape) of every variable, after the original's code.

    A block makes a fused, an expanding and a projecting convolution, in this order.
    Convolutions of `tf.layers` are numbered in the order of their use in the block,
    CondConvs (Keras layers) in the order of their creation in the process; these are
    also in the scope of the Keras model, `outer`.
    """
    network = en.expand(variant)

    def norm(scope, path, filters):
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            yield f"{scope}/{name}", (filters,), f"{path}/{name}", (filters,)

    def kernel(scope, path, *shape, name="kernel"):
        yield f"{scope}/{name}", shape, f"{path}/kernel", shape

    def numbered(base, number):
        return f"{base}_{number}" if number else base

    cond_convs, depthwise = first_cond_conv, first_depthwise
    stem = network.stem_filters
    yield from kernel("stem/conv2d", "stem_conv", 3, 3, 3, stem)
    yield from norm("stem/tpu_batch_normalization", "stem_bn", stem)
    for index, block in enumerate(network):
        scope, path = f"blocks_{index}", block.name
        made = {"conv2d": itertools.count(), "norm": itertools.count()}
        middle, size = block.expanded_filters, block.kernel_size

        def conv(role, inputs, outputs, size=1, *, place):
            if not block.experts:  # noqa: B023
                base = numbered("conv2d", next(made["conv2d"]))  # noqa: B023
                shape = (size, size, inputs, outputs)
                yield from kernel(f"{scope}/{base}", f"{path}_{role}_conv", *shape)  # noqa: B023
                return
            base = numbered("cond_conv2d", cond_convs + place)  # noqa: B023
            shape = (block.experts, inputs * outputs)  # noqa: B023
            ours = (block.experts, 1, 1, inputs, outputs)  # noqa: B023
            name = f"{outer}{scope}/{base}/condconv_kernel"  # noqa: B023
            yield name, shape, f"{path}_{role}_conv/kernel", ours  # noqa: B023

        def next_norm(role, filters):
            number = next(made["norm"])  # noqa: B023
            base = numbered("tpu_batch_normalization", number)
            yield from norm(f"{scope}/{base}", f"{path}_{role}bn", filters)  # noqa: B023

        if block.experts:
            shape = (block.input_filters, block.experts)
            yield from kernel(f"{scope}/dense", f"{path}_routing", *shape)
            bias = (block.experts,)
            yield f"{scope}/dense/bias", bias, f"{path}_routing/bias", bias
        if block.expand_ratio != 1:
            full = size if block.kind in ("edge", "fused") else 1
            yield from conv("expand", block.input_filters, middle, full, place=1)
            yield from next_norm("expand_", middle)
        if block.kind == "mbconv":
            if block.experts:
                base = numbered("depthwise_cond_conv2d", depthwise)
                shape = (block.experts, size * size * middle)
                ours = (block.experts, size, size, middle, 1)
                name = f"{outer}{scope}/{base}/depthwise_condconv_kernel"
                yield name, shape, f"{path}_dwconv/kernel", ours
            else:
                name = f"{scope}/depthwise_conv2d"
                shape = (size, size, middle, 1)
                yield from kernel(
                    name, f"{path}_dwconv", *shape, name="depthwise_kernel"
                )
            yield from next_norm("", middle)
        if block.se_filters:
            for base, role, shape in (
                ("conv2d", "reduce", (1, 1, middle, block.se_filters)),
                ("conv2d_1", "expand", (1, 1, block.se_filters, middle)),
            ):
                name, bias = f"{scope}/se/{base}", shape[-1:]
                yield from kernel(name, f"{path}_se_{role}", *shape)
                yield f"{name}/bias", bias, f"{path}_se_{role}/bias", bias
        full = size if block.kind == "fused" and block.expand_ratio == 1 else 1
        yield from conv("project", middle, block.output_filters, full, place=2)
        yield from next_norm("project_", block.output_filters)
        cond_convs += 3 * bool(block.experts)
        depthwise += bool(block.experts)
    head, last = network.head_filters, network.blocks[-1].output_filters
    yield from kernel("head/conv2d", "top_conv", 1, 1, last, head)
    yield from norm("head/tpu_batch_normalization", "top_bn", head)
    yield from kernel("head/dense", "predictions", head, classes)
    yield "head/dense/bias", (classes,), "predictions/bias", (classes,)


def save(path, arrays):
    """Saves with TF1's own Saver."""
    with tf.compat.v1.Graph().as_default():
        for name, value in arrays.items():
            tf.compat.v1.get_variable(name, initializer=value, use_resource=False)
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            saver = tf.compat.v1.train.Saver()
            return saver.save(session, str(path), write_meta_graph=False)


def checkpoint(
    tmp_path, variant, *, classes=10, average=True, slots=(), rename=str, **kwargs
):
    """Random variables; returns the path, and raw and averaged values by our paths."""
    variant = en.get_variant(variant)
    rng = np.random.default_rng(0)
    arrays = {"global_step": np.int64(109375)}
    raw, averaged = {}, {}
    for name, shape, path, ours in variables_of(variant, classes=classes, **kwargs):
        full = rename(f"{variant.name}/{name}")
        for suffix, found in [("", raw)] + [(AVERAGE, averaged)] * average:
            value = rng.normal(size=shape).astype("float32")
            arrays[full + suffix] = value
            found[path] = value.reshape(ours)
        for slot in slots:
            arrays[f"{full}/{slot}"] = np.zeros(shape, "float32")
    return save(tmp_path / "model.ckpt-109375", arrays), raw, averaged, arrays


@functools.cache
def built(variant):
    """A model of a variant, for all tests that load or write its weights."""
    return en.EfficientNet(variant, **SMALL)


# For what depends on no block: TF1 takes longest to write.
ONE = dataclasses.replace(en.get_variant(TEST), blocks=(networks.ONE,))
COND_CONV = dataclasses.replace(
    en.get_variant("efficientnet-condconv-b0-4e"),
    blocks=("r2_k3_s11_e6_i32_o32_se0.25_cc",),
    head_filters=16,
)
FAMILY = (
    *(TEST, "efficientnet-lite0", "efficientnet-edgetpu-s"),
    *("efficientnet-condconv-b0-4e", "efficientnetv2-b0", "efficientnetv2-s"),
)


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


@pytest.mark.parametrize("name", FAMILY)
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


@pytest.mark.parametrize("outer", ["", "model/", "model_1/", "net/mnas_net_model/"])
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
    path = save(tmp_path / "other.ckpt", arrays)
    with pytest.raises(ValueError, match="holds one layer as .*/other/blocks_"):
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
    path = save(tmp_path / "two.ckpt", arrays)
    with pytest.raises(ValueError, match=rf"several networks \({TEST}, teacher/{TEST}"):
        en.load_weights(built(ONE), path)


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
