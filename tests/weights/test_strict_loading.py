"""Every tensor is accounted for, or the load fails and changes nothing."""

import dataclasses
import os
import re

import h5py
import networks
import numpy as np
import pytest
import weight_helpers as helpers
from slow_cases import slow
from weight_helpers import assert_same, build, images, values
from weights_support import FILES, TEST, refuses

import efficientnet_tf as en
from efficientnet_tf.weights import checksums

ONE = (networks.ONE,)


def edit(path, change):
    """Changes an own file and takes its passport away, and so its checksum."""
    with h5py.File(path, "a") as file:
        del file.attrs["passport"], file.attrs[checksums.PASSPORT]
        groups = {group["vars"].attrs["name"]: group for group in _groups(file)}
        change(groups)
    return path


def _groups(file):
    return [g for g in file["layers"].values() if len(g.get("vars", ()))]


def replace(group, index, array):
    del group["vars"][index]
    group["vars"][index] = array


def test_a_missing_tensor_is_named(model, saved):
    edit(saved[0], lambda groups: replace(groups["top_bn"], "3", np.zeros(3)))

    def remove(groups):
        groups["top_bn"]["vars"].attrs["name"] = "other_bn"

    with h5py.File(saved[0], "a") as file:
        remove({g["vars"].attrs["name"]: g for g in _groups(file)})
    refuses(
        model,
        saved[0],
        r"top_bn/gamma \(128,\): the file has no top_bn/gamma",
        r"other_bn/gamma \(128,\): the model has no place for it",
    )


def test_a_wrong_shape_names_both(model, saved):
    edit(saved[0], lambda groups: replace(groups["top_bn"], "1", np.zeros(127)))
    refuses(model, saved[0], r"top_bn/beta \(128,\): top_bn/beta is \(127,\)")


def test_a_wrong_shape_names_both_names(model, tmp_path):
    path = str(tmp_path / "w.safetensors")
    en.save_weights(model, path)
    edited = rewrite_safetensors(path, lambda t: t.update({"bn1.bias": np.zeros(9)}))
    refuses(model, edited, r"stem_bn/beta \(8,\): bn1.bias is \(9,\)")


def rewrite_safetensors(path, change):
    from safetensors import numpy

    tensors = numpy.load_file(path)
    change(tensors)
    numpy.save_file(tensors, path)
    return path


def test_an_extra_tensor_is_named(model, tmp_path):
    path = str(tmp_path / "w.safetensors")
    en.save_weights(model, path)
    rewrite_safetensors(path, lambda t: t.update({"extra.weight": np.zeros((2, 3))}))
    refuses(
        model,
        path,
        r"extra.weight \(2, 3\): the model has no place",
        "timm",
        "does not",
    )


def test_many_problems_are_counted(model, tmp_path):
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(build(TEST, width=2.0), path)
    edit(path, lambda groups: None)
    count = int(re.search(r"and (\d+) more", refuses(model, path)).group(1))
    assert count > 50


def test_another_number_of_classes_says_what_to_do(model, tmp_path):
    source = build(TEST, classes=7)
    for name, format in FILES.values():
        path = str(tmp_path / f"{format}-{name}")
        en.save_weights(source, path, format=format)
        wanted = (r"predictions/kernel \(128, 10\)", r'skip=\["predictions"\]')
        refuses(model, path, *wanted)


@pytest.mark.parametrize("file", ["own", "timm", "tf1"])
def test_what_is_skipped_stays_as_it_was(model, file, tmp_path):
    path = str(tmp_path / FILES[file][0])
    en.save_weights(model, path, format=FILES[file][1])
    theirs = values(model)
    for skip in ("predictions", "block2b", "stem_bn/beta", "top_bn"):
        before = values(helpers.randomize(model))
        en.load_weights(model, path, skip=[skip])
        left = {p for p in before if p == skip or re.match(rf"{skip}[_/]", p)}
        assert left
        assert_same(model, {p: before[p] if p in left else theirs[p] for p in before})
        assert set(model.load_report.skipped) == left == set(model.passport.skipped)
        assert model.load_report.loaded == len(before) - len(left)


def test_a_transferred_network_leaves_the_classifier_and_its_labels(tmp_path):
    source = build(TEST, blocks=ONE, classes=7)
    source.passport = dataclasses.replace(
        source.passport, label_set="seven", label_offset=1
    )
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(source, path)
    model = build(TEST, blocks=ONE, classes=10)
    en.load_weights(model, path, skip=["predictions"])
    assert model.passport.classes == 10
    assert (model.passport.label_set, model.passport.label_offset) == (None, 0)


@pytest.mark.parametrize("skip", ["block9z", "", "block", "predictions/kern"])
def test_skipping_an_unknown_name_is_refused(model, saved, skip):
    refuses(model, saved[0], re.escape(f"skip={skip!r}"), skip=[skip])


def test_skip_is_a_list(model, saved):
    refuses(model, saved[0], "skip='predictions'", skip="predictions")


def test_report_and_passport_say_what_was_loaded(model, tmp_path):
    path = str(tmp_path / "w.safetensors")
    en.save_weights(model, path)
    en.load_weights(model, path, skip=["predictions"])
    report = model.load_report
    assert (report.source, report.project) == (path, "timm")
    assert report.skipped == ("predictions/kernel", "predictions/bias")
    assert {"classifier.weight", "classifier.bias"} <= set(report.unused)
    others = set(report.unused) - {"classifier.weight", "classifier.bias"}
    assert others
    assert all(name.endswith("num_batches_tracked") for name in others)
    assert model.passport.source == path


@pytest.fixture
def saved_one(tmp_path):
    """A file of a network of one block, and what is in it."""
    model, path = build(TEST, blocks=ONE), str(tmp_path / "one.weights.h5")
    en.save_weights(model, path)
    return path, values(model)


def test_a_stem_takes_other_channels(saved_one):
    path, expected = saved_one
    kernel = expected.pop("stem_conv/kernel")
    for channels in (1, 5):
        model = build(TEST, blocks=ONE, input_shape=(32, 32, channels))
        en.load_weights(model, path)
        found = values(model)
        stem = found.pop("stem_conv/kernel")
        assert all(np.array_equal(found[p], expected[p]) for p in expected)
        (adapted,) = model.load_report.adapted
        assert "stem_conv/kernel" in adapted
        assert f"from 3 channels to {channels}" in adapted
        if channels == 1:
            grey = kernel[:, :, 0] + kernel[:, :, 1] + kernel[:, :, 2]
            np.testing.assert_allclose(stem[:, :, 0], grey, rtol=1e-5, atol=1e-6)
        else:
            for channel, origin in enumerate((0, 1, 2, 0, 1)):
                np.testing.assert_allclose(
                    stem[:, :, channel], kernel[:, :, origin] * 0.6, rtol=1e-5
                )


def test_a_grey_image_means_what_it_meant_in_colour(saved_one):
    path, _ = saved_one
    # No preprocessing: that of colours differs from channel to channel.
    kwargs = {"include_preprocessing": False, "weights": path, "classes": 10}
    kwargs["blocks"] = ONE
    grey = en.EfficientNet(TEST, input_shape=(32, 32, 1), **kwargs)
    colour = en.EfficientNet(TEST, input_shape=(32, 32, 3), **kwargs)
    x = (images(channels=1) - 127) / 64
    np.testing.assert_allclose(
        helpers.outputs(grey, x),
        helpers.outputs(colour, np.repeat(x, 3, axis=-1)),
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("efficientnet-b0", "efficientnet-b1"),
        ("efficientnet-lite0", "mobilenet-v2"),
        *slow(
            ("efficientnet-b0", "efficientnet-lite0"),
            ("efficientnet-b0", "efficientnetv2-b0"),
            ("efficientnetv2-s", "efficientnetv2-m"),
            ("resnet-50", "resnet-152"),
        ),
    ],
)
def test_a_file_of_another_variant_is_refused(ours, theirs, tmp_path):
    """All are scaled down alike, and still say which they are."""
    scaled = {"width": 0.25, "depth": 0.1}
    path = str(tmp_path / "w.weights.h5")
    source = build(theirs, **scaled)
    en.save_weights(source, path)
    if theirs in ("efficientnet-b1", "efficientnetv2-m", "resnet-152"):
        scaled["depth"] = 0.2
    with pytest.raises(ValueError, match=re.escape(theirs)):
        en.EfficientNet(ours, weights=path, classes=10, **scaled)
    refuses(build(ours, **scaled), path, re.escape(theirs))


def test_custom_blocks_are_not_those_of_a_file(saved):
    with pytest.raises(ValueError, match="blocks"):
        en.EfficientNet(
            TEST, blocks=("r1_k3_s11_e1_i8_o8",), weights=saved[0], classes=10
        )


def test_a_deeper_file_does_not_fill_a_shallower_model(tmp_path):
    path = str(tmp_path / "w.h5")
    en.save_weights(build("efficientnet-b0", width=0.25, depth=0.5), path)
    with h5py.File(path, "a") as file:
        del file.attrs["passport"], file.attrs[checksums.PASSPORT]
    with pytest.raises(ValueError, match="block"):
        en.EfficientNet(
            "efficientnet-b0", width=0.25, depth=0.25, include_top=False, weights=path
        )


def test_a_part_of_a_network_takes_its_part_of_the_file(saved):
    path, expected = saved
    model = en.EfficientNet(
        TEST, weights=path, endpoints=["reduction_2"], input_shape=(32, 32, 3)
    )
    found = values(model)
    assert 0 < len(found) < len(expected)
    assert_same(model, {p: expected[p] for p in found})
    assert set(model.load_report.unused) == set(expected) - set(found)


def test_a_symmetric_file_is_refused_by_a_same_padded_model(tmp_path):
    variant = dataclasses.replace(TEST, padding="symmetric", batch_norm_epsilon=1e-5)
    source = build(variant, blocks=ONE)
    path = str(tmp_path / "w.safetensors")
    en.save_weights(source, path)
    refuses(
        build(TEST, blocks=ONE),
        path,
        "needs padding=symmetric, .* with same",
        re.escape(f"EfficientNet({TEST.name!r}, weights={path!r}) builds it"),
    )
    kwargs = {"blocks": ONE, "classes": 10, "input_shape": (32, 32, 3)}
    target = en.EfficientNet(TEST, weights=path, **kwargs)
    np.testing.assert_array_equal(
        helpers.outputs(target, images()), helpers.outputs(source, images())
    )


@pytest.mark.parametrize("file", ["keras-h5", "tf1"])
def test_a_convention_that_a_format_cannot_tell_is_not_written(file, tmp_path):
    variant = dataclasses.replace(en.get_variant(TEST), padding="symmetric")
    path = str(tmp_path / FILES[file][0])
    with pytest.raises(ValueError, match="padding"):
        en.save_weights(build(variant, blocks=ONE), path, format=FILES[file][1])
    assert os.listdir(tmp_path) == []


def test_a_scaled_network_of_keras_is_written_under_our_names(tmp_path):
    model = build("efficientnet-b0", width=0.25, depth=0.25)
    path = str(tmp_path / "w.h5")
    en.save_weights(model, path)
    expected = values(model)
    helpers.randomize(model)
    en.load_weights(model, path)
    assert_same(model, expected)


def test_values_that_are_no_numbers_change_nothing(model, saved):
    def break_last(groups):
        replace(groups["predictions"], "1", np.array([b"abc"] * 10))

    edit(saved[0], break_last)
    refuses(model, saved[0], "predictions/bias")
