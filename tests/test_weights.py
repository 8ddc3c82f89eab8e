"""Weights in and out of models: round trips, strictness, saving."""

import dataclasses
import os
import re

import h5py
import keras
import numpy as np
import pytest
import weight_helpers as helpers
from weight_helpers import SMALL, assert_same, build, images, models_of, small, values

import efficientnet_tf as en
from efficientnet_tf.weights import writing

TEST = "efficientnet-test"
FILES = {
    "own": ("w.weights.h5", "efficientnet_tf"),
    "keras-h5": ("w.h5", "keras"),
    "keras-weights-h5": ("w.weights.h5", "keras"),
    "timm": ("w.safetensors", "timm"),
    "tf1": ("model.ckpt", "tf1"),
}
REPLACEABLE = [name for name in FILES if name != "tf1"]


@pytest.fixture(scope="module")
def built():
    model = build(TEST)
    return model, model.passport


@pytest.fixture
def model(built):
    """Built once, and for each test as if it were new."""
    model, model.passport = built
    if hasattr(model, "load_report"):
        del model.load_report
    return helpers.randomize(model, seed=0)


@pytest.fixture
def saved(model, tmp_path):
    """A file of ours, and what is in it."""
    path = str(tmp_path / "saved.weights.h5")
    en.save_weights(model, path)
    expected = values(model)
    helpers.randomize(model)
    return path, expected


def edit(path, change):
    """Changes an own file and takes its passport away, and so its checksum."""
    with h5py.File(path, "a") as file:
        del file.attrs["passport"]
        groups = {group["vars"].attrs["name"]: group for group in _groups(file)}
        change(groups)
    return path


def _groups(file):
    return [g for g in file["layers"].values() if len(g.get("vars", ()))]


def replace(group, index, array):
    del group["vars"][index]
    group["vars"][index] = array


# Round trips.


# Under our own names the three files of Keras differ in their layout alone.
SOME = [
    pytest.param(name, file, marks=() if default else pytest.mark.slow)
    for name in SMALL
    for file in FILES
    for default in [name == TEST or file != "keras-h5"]
]


@pytest.mark.parametrize(("name", "file"), SOME)
def test_every_tensor_survives_bit_for_bit(name, file, tmp_path):
    source, target = models_of(name)
    file_name, format = FILES[file]
    path = str(tmp_path / file_name)
    helpers.randomize(source)
    en.save_weights(source, path, format=format)
    en.load_weights(target, path)
    assert_same(target, values(source))
    report = target.load_report
    assert report.loaded == len(values(source))
    assert (report.skipped, report.adapted) == ((), ())


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", en.list_variants())
def test_every_variant_survives_bit_for_bit(name, file, tmp_path):
    variant, kwargs = name, {"classes": 1000, "input_shape": (64, 64, 3)}
    if name.startswith(("efficientnet-l2", "efficientnetv2-xl")):
        variant = dataclasses.replace(en.get_variant(name), width=0.25)
    source = build(variant, **kwargs)
    expected = values(source)
    file_name, format = FILES[file]
    path = str(tmp_path / file_name)
    en.save_weights(source, path, format=format)
    keras.backend.clear_session()
    target = en.EfficientNet(variant, weights=path, **kwargs)
    assert_same(target, expected)


@pytest.mark.parametrize("name", SMALL)
def test_a_passport_rebuilds_the_same_function(name, tmp_path):
    source, _ = models_of(name)
    for file in ("own", "timm"):
        path = str(tmp_path / FILES[file][0])
        en.save_weights(source, path, format=FILES[file][1])
        target = en.EfficientNet(
            small(name), weights=path, classes=10, input_shape=(32, 32, 3)
        )
        x = images()
        np.testing.assert_array_equal(
            helpers.outputs(target, x), helpers.outputs(source, x)
        )


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("include_top", [True, False])
def test_files_with_and_without_a_top_fill_a_model_without(file, include_top, tmp_path):
    source = build(TEST, include_top=include_top)
    path = str(tmp_path / FILES[file][0])
    en.save_weights(source, path, format=FILES[file][1])
    target = en.EfficientNet(
        TEST, weights=path, include_top=False, input_shape=(32, 32, 3)
    )
    expected = values(source)
    expected.pop("predictions/kernel", None)
    expected.pop("predictions/bias", None)
    assert_same(target, expected)


def test_other_channels_survive(tmp_path):
    for channels in (1, 5):
        source = build(TEST, input_shape=(32, 32, channels))
        target = build(TEST, input_shape=(32, 32, channels))
        for file_name, format in FILES.values():
            path = str(tmp_path / f"{channels}{file_name}")
            helpers.randomize(source)
            en.save_weights(source, path, format=format)
            en.load_weights(target, path)
            assert_same(target, values(source))
            assert target.load_report.adapted == ()


def test_keras_itself_loads_our_file(saved):
    path, expected = saved
    target = build(TEST)
    target.load_weights(path)
    assert_same(target, expected)


def test_format_goes_by_suffix(model, tmp_path):
    for file_name in ("a.weights.h5", "b.h5", "d.safetensors", "e"):
        en.save_weights(model, str(tmp_path / file_name))
    with h5py.File(tmp_path / "a.weights.h5") as file:
        assert "passport" in file.attrs
    with h5py.File(tmp_path / "b.h5") as file:
        assert "layer_names" in file.attrs
    assert sorted(os.listdir(tmp_path)) == [
        "a.weights.h5",
        "b.h5",
        "d.safetensors",
        "e.data-00000-of-00001",
        "e.index",
    ]


def test_a_variants_name_builds_the_model(tmp_path):
    source = build(TEST, classes=1000)
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(source, path)
    target = en.load_weights(TEST, path)
    assert_same(target, values(source))
    assert target.input_shape == (None, 32, 32, 3)


def test_models_loaded_by_keras_take_and_give_weights(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = values(loaded)
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(loaded, path)
    helpers.randomize(loaded)
    en.load_weights(loaded, path)
    assert_same(loaded, expected)


def test_a_compiled_models_optimizer_stays_out(tmp_path):
    model = build(TEST, blocks=("r1_k3_s11_e1_i8_o8_se0.25",))
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.train_on_batch(images(), np.zeros(2))
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(model, path)
    target = build(TEST, blocks=("r1_k3_s11_e1_i8_o8_se0.25",))
    en.load_weights(target, path)
    assert_same(target, values(model))


# Strictness.


def refuses(model, path, *patterns, **kwargs):
    """Loading raises a ValueError that matches, and changes nothing."""
    before = values(model)
    report, passport = getattr(model, "load_report", None), model.passport
    with pytest.raises(ValueError) as caught:
        en.load_weights(model, path, **kwargs)
    for pattern in patterns:
        assert re.search(pattern, str(caught.value)), str(caught.value)
    assert_same(model, before)
    assert getattr(model, "load_report", None) is report
    assert model.passport is passport
    return str(caught.value)


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
    wide = build(TEST, blocks=("r1_k3_s11_e1_i8_o8_se0.25",))
    path = str(tmp_path / "w.safetensors")
    en.save_weights(wide, path)
    edited = rewrite_safetensors(path, lambda t: t.update({"bn1.bias": np.zeros(9)}))
    refuses(
        build(TEST, blocks=("r1_k3_s11_e1_i8_o8_se0.25",)),
        edited,
        r"stem_bn/beta \(8,\): bn1.bias is \(9,\)",
    )


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


@pytest.mark.parametrize("file", FILES)
def test_another_number_of_classes_says_what_to_do(model, file, tmp_path):
    path = str(tmp_path / FILES[file][0])
    en.save_weights(build(TEST, classes=7), path, format=FILES[file][1])
    refuses(model, path, r"predictions/kernel \(128, 10\)", r'skip=\["predictions"\]')


@pytest.mark.parametrize("file", ["own", "timm", "tf1"])
@pytest.mark.parametrize("skip", ["predictions", "block5b", "stem_bn/beta", "top_bn"])
def test_what_is_skipped_stays_as_it_was(model, file, skip, tmp_path):
    source, _ = models_of(TEST)
    path = str(tmp_path / FILES[file][0])
    en.save_weights(source, path, format=FILES[file][1])
    before, theirs = values(model), values(source)
    en.load_weights(model, path, skip=[skip])
    left = {p for p in before if p == skip or re.match(rf"{skip}[_/]", p)}
    assert left
    assert_same(model, {p: before[p] if p in left else theirs[p] for p in before})
    assert set(model.load_report.skipped) == left == set(model.passport.skipped)
    assert model.load_report.loaded == len(before) - len(left)


def test_a_transferred_network_leaves_the_classifier_and_its_labels(tmp_path):
    source = build(TEST, classes=7)
    source.passport = dataclasses.replace(
        source.passport, label_set="seven", label_offset=1
    )
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(source, path)
    model = build(TEST, classes=10)
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


def test_a_stem_takes_other_channels(saved):
    path, expected = saved
    kernel = expected.pop("stem_conv/kernel")
    for channels in (1, 5):
        model = build(TEST, input_shape=(32, 32, channels))
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


def test_a_grey_image_means_what_it_meant_in_colour(saved):
    path, _ = saved
    # No preprocessing: that of colours differs from channel to channel.
    kwargs = {"include_preprocessing": False, "weights": path, "classes": 10}
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
        ("efficientnet-b0", "efficientnet-lite0"),
        ("efficientnet-b0", "efficientnetv2-b0"),
        ("efficientnetv2-b0", "efficientnet-b0"),
        ("efficientnetv2-s", "efficientnetv2-m"),
        ("efficientnet-lite0", "mobilenet-v2"),
        ("resnet-50", "resnet-152"),
    ],
)
def test_a_file_of_another_variant_is_refused(ours, theirs, tmp_path):
    """All are scaled down alike, and still say which they are."""
    scaled = {"width": 0.25, "depth": 0.25}
    path = str(tmp_path / "w.weights.h5")
    source = build(theirs, **scaled)
    en.save_weights(source, path)
    scaled["depth"] = 0.5
    if theirs not in ("efficientnet-b1", "efficientnetv2-m", "resnet-152"):
        scaled["depth"] = 0.25
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
    en.save_weights(build("efficientnet-b0", width=0.25, depth=1.5), path)
    with pytest.raises(ValueError, match="block"):
        en.EfficientNet(
            "efficientnet-b0", width=0.25, depth=1, include_top=False, weights=path
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
    variant = dataclasses.replace(
        en.get_variant(TEST), padding="symmetric", batch_norm_epsilon=1e-5
    )
    source = build(variant)
    path = str(tmp_path / "w.safetensors")
    en.save_weights(source, path)
    refuses(
        build(TEST),
        path,
        "wants padding=symmetric, the model was built with same",
        re.escape(f"EfficientNet({TEST!r}, weights={path!r}) builds it"),
    )
    target = en.EfficientNet(TEST, weights=path, classes=10, input_shape=(32, 32, 3))
    np.testing.assert_array_equal(
        helpers.outputs(target, images()), helpers.outputs(source, images())
    )


@pytest.mark.parametrize("file", ["keras-h5", "tf1"])
def test_a_convention_that_a_format_cannot_tell_is_not_written(file, tmp_path):
    variant = dataclasses.replace(en.get_variant(TEST), padding="symmetric")
    path = str(tmp_path / FILES[file][0])
    with pytest.raises(ValueError, match="padding"):
        en.save_weights(build(variant), path, format=FILES[file][1])
    assert os.listdir(tmp_path) == []


def test_a_scaled_network_of_keras_is_written_under_our_names(tmp_path):
    source = build("efficientnet-b0", width=0.25, depth=0.25)
    path = str(tmp_path / "w.h5")
    en.save_weights(source, path)
    target = build("efficientnet-b0", width=0.25, depth=0.25)
    en.load_weights(target, path)
    assert_same(target, values(source))


def test_values_that_are_no_numbers_change_nothing(model, saved):
    def break_last(groups):
        replace(groups["predictions"], "1", np.array([b"abc"] * 10))

    edit(saved[0], break_last)
    refuses(model, saved[0], "predictions/bias")


# Damaged files.


@pytest.mark.parametrize("file", FILES)
def test_a_truncated_file_is_refused_by_name(model, file, tmp_path):
    path = str(tmp_path / FILES[file][0])
    en.save_weights(build(TEST), path, format=FILES[file][1])
    real = f"{path}.data-00000-of-00001" if file == "tf1" else path
    size = os.path.getsize(real)
    for kept in (size - 100, size // 2, 100, 0):
        os.truncate(real, kept)
        refuses(model, path, re.escape(path))


@pytest.mark.parametrize("file", FILES)
def test_changed_bytes_end_in_a_value_error_or_in_other_values(model, file, tmp_path):
    path = str(tmp_path / FILES[file][0])
    en.save_weights(build(TEST), path, format=FILES[file][1])
    real = f"{path}.index" if file == "tf1" else path
    with open(real, "rb") as stream:
        content = stream.read()
    rng = np.random.default_rng(0)
    size = len(content)
    structure = [*range(0, 400, 23), *rng.integers(0, size, 20)]
    for position in structure:
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        with open(real, "wb") as stream:
            stream.write(damaged)
        try:
            en.load_weights(model, path)
        except ValueError as error:
            assert path in str(error), error


@pytest.mark.parametrize("file_name", ["w.weights.h5"])
def test_a_changed_weight_breaks_the_checksum(model, file_name, tmp_path):
    path = str(tmp_path / file_name)
    source = build(TEST)
    en.save_weights(source, path)
    with open(path, "rb") as stream:
        content = stream.read()
    place = content.index(values(source)["top_bn/gamma"].tobytes())
    with open(path, "wb") as stream:
        stream.write(content[:place] + b"\0\0\0\0" + content[place + 4 :])
    refuses(model, path, "SHA-256")


@pytest.mark.parametrize(
    "file_name", ["w.weights.h5", "w.h5", "w.keras", "w.safetensors", "w.ckpt", "w.bin"]
)
def test_a_file_of_something_else_is_refused(model, file_name, tmp_path):
    path = tmp_path / file_name
    path.write_bytes(b"nothing of the kind" * 100)
    refuses(model, str(path), re.escape(str(path)))


@pytest.mark.parametrize("file_name", ["w.h5", "w.safetensors", "w", "no/folder/w"])
def test_a_missing_path_is_named(model, file_name, tmp_path):
    path = str(tmp_path / file_name)
    refuses(model, path, re.escape(path), "does not exist")


def test_a_folder_without_a_checkpoint_is_refused(model, tmp_path):
    refuses(model, str(tmp_path), "is no weights file")


def test_an_hdf5_file_of_something_else_is_refused(model, tmp_path):
    path = str(tmp_path / "w.h5")
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(3)
    refuses(model, path, re.escape(path))


def test_safetensors_of_another_project_are_refused(model, tmp_path):
    from safetensors import numpy

    path = str(tmp_path / "w.safetensors")
    numpy.save_file({"encoder.weight": np.zeros(3)}, path)
    refuses(model, path, "encoder.weight", "none of")


def test_without_torch_a_pth_says_what_to_install(model, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    path = tmp_path / "w.pth"
    path.write_bytes(b"PK")
    refuses(model, str(path), "needs PyTorch", "pip install torch", "safetensors")


# Saving.


@pytest.mark.parametrize("file", REPLACEABLE)
@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failed_save_leaves_the_old_file(model, file, failure, tmp_path, monkeypatch):
    path = str(tmp_path / FILES[file][0])
    format = FILES[file][1]
    en.save_weights(model, path, format=format)
    expected = values(model)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    helpers.randomize(model)
    write = writing._WRITERS[format]

    def fail(*args):
        write(*args)
        raise failure("killed")

    monkeypatch.setitem(writing._WRITERS, format, fail)
    with pytest.raises(failure):
        en.save_weights(model, path, format=format)
    after = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    assert after == before
    en.load_weights(model, path)
    assert_same(model, expected)


def test_saving_again_replaces(model, tmp_path):
    for file_name, format in (FILES[name] for name in REPLACEABLE):
        path = str(tmp_path / file_name)
        for _ in range(2):
            helpers.randomize(model)
            en.save_weights(model, path, format=format)
        expected = values(model)
        en.load_weights(helpers.randomize(model), path)
        assert_same(model, expected)
    assert not [name for name in os.listdir(tmp_path) if "partial" in name]


def test_a_tf1_checkpoint_is_not_replaced(model, tmp_path):
    path = str(tmp_path / "model.ckpt")
    en.save_weights(model, path)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    with pytest.raises(ValueError, match=r"its two files cannot be replaced in one"):
        en.save_weights(helpers.randomize(model), path)
    after = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    assert after == before


def test_paths_may_be_path_objects(model, tmp_path):
    expected = values(model)
    en.save_weights(model, tmp_path / "w.weights.h5")
    en.load_weights(helpers.randomize(model), tmp_path / "w.weights.h5")
    assert_same(model, expected)


def test_changed_bytes_of_a_safetensors_file_are_noticed(model, tmp_path):
    path = tmp_path / "w.safetensors"
    en.save_weights(model, path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="the file is damaged or was changed"):
        en.load_weights(model, path)


def test_a_folder_with_a_releases_name_hides_no_release(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EFFICIENTNET_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EFFICIENTNET_TF_OFFLINE", "1")
    os.mkdir("imagenet")
    with pytest.raises(ValueError, match="fetching is off"):
        en.load_weights("efficientnet-b0", "imagenet")
    with pytest.raises(ValueError, match="is no weights file"):
        en.load_weights("efficientnet-b0", "./imagenet")


def test_saving_into_a_new_folder_makes_it(model, tmp_path):
    path = str(tmp_path / "a" / "b" / "w.weights.h5")
    en.save_weights(model, path)
    en.load_weights(model, path)


@pytest.mark.parametrize(
    ("file_name", "format", "match"),
    [
        ("w.h5", "efficientnet_tf", r"w\.h5: a efficientnet_tf file ends in"),
        ("w.h5", "timm", r"ends in \.safetensors"),
        ("w.safetensors", "keras", "ends in"),
        ("w.h5", "torch", "format='torch': allowed are"),
    ],
)
def test_wrong_formats_are_refused(model, file_name, format, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        en.save_weights(model, str(tmp_path / file_name), format=format)
    assert os.listdir(tmp_path) == []


def test_a_larger_model_is_told_to_pass_the_network(model, saved):
    outer = keras.Sequential([model, keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="is none of efficientnet_tf's"):
        en.load_weights(outer, saved[0])
    with pytest.raises(ValueError, match="is none of efficientnet_tf's"):
        en.save_weights(outer, f"{saved[0]}.weights.h5")


@pytest.mark.parametrize("name", ["w.keras", "w.pth", "w.hdf5"])
def test_suffixes_that_are_only_read_are_not_written(model, name, tmp_path):
    with pytest.raises(ValueError, match=r"written to \.weights\.h5, \.h5"):
        en.save_weights(model, tmp_path / name)
    assert os.listdir(tmp_path) == []
