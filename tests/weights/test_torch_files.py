"""Names of PyTorch's projects, from tables of our own; parity: test_weights_torch."""

import builtins
import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy
import torch_saving as support
import weight_helpers as helpers
from torch_states import lukemelas, state_dict, torchvision, write
from weight_helpers import assert_same, values

import efficientnet_tf as en
from efficientnet_tf.weights import conventions, torch_files

TEST = "efficientnet-test"
SMALL = {"input_shape": (32, 32, 3), "classes": 10}


@pytest.fixture
def source():
    return helpers.build(TEST)


@pytest.mark.parametrize("table", [lukemelas, torchvision], ids=lambda t: t.__name__)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
def test_names_of_the_project_are_read(table, prefix, source, tmp_path):
    state = {f"{prefix}{n}": v for n, v in state_dict(table, source).items()}
    path = write(tmp_path / "w.safetensors", state)
    model = en.EfficientNet(TEST, weights=path, **SMALL)
    assert_same(model, values(source))
    report = model.load_report
    assert report.project == table.__name__
    counters = [name for name in state if name.endswith("tracked")]
    assert len(report.unused) == len(counters)
    said = (f"dropped {prefix} from all names",) if prefix else ()
    assert report.notes == said


def test_conventions_of_the_project_are_built(source, tmp_path):
    path = write(tmp_path / "w.safetensors", state_dict(torchvision, source))
    variant = en.EfficientNet(TEST, weights=path, **SMALL).passport.variant
    assert (variant.padding, variant.batch_norm_epsilon) == ("symmetric", 1e-5)
    path = write(tmp_path / "w.safetensors", state_dict(lukemelas, source))
    variant = en.EfficientNet(TEST, weights=path, **SMALL).passport.variant
    assert variant == en.get_variant(TEST)


@pytest.mark.parametrize(
    ("name", "epsilon"),
    [
        *(("efficientnet-b4", 1e-5), ("efficientnet-b5", 1e-3)),
        *(("efficientnet-b7", 1e-3), ("efficientnetv2-s", 1e-3)),
    ],
)
def test_torchvisions_large_networks_have_another_epsilon(name, epsilon):
    """Torchvision's models/efficientnet.py: norm_layer of each network."""
    variant = en.get_variant(name)
    (said,) = conventions.of_project(variant, "torchvision")
    assert said.values["batch_norm_epsilon"] == epsilon


def test_a_model_built_already_is_told_what_to_do(source, tmp_path):
    path = write(tmp_path / "w.safetensors", state_dict(torchvision, source))
    model = helpers.build(TEST)
    before = values(model)
    message = "needs padding=symmetric, .* with same; EfficientNet"
    with pytest.raises(ValueError, match=message):
        en.load_weights(model, path)
    assert_same(model, before)
    fitting = dataclasses.replace(
        en.get_variant(TEST), padding="symmetric", batch_norm_epsilon=1e-5
    )
    assert_same(en.load_weights(helpers.build(fitting), path), values(source))


def test_a_state_dict_of_half_precision_is_read(source, tmp_path):
    state = {
        name: value.astype("float16") if value.dtype == np.float32 else value
        for name, value in state_dict(lukemelas, source).items()
    }
    model = en.EfficientNet(
        TEST, weights=write(tmp_path / "w.safetensors", state), **SMALL
    )
    expected = values(source)
    assert_same(
        model, {p: v.astype("float16").astype("float32") for p, v in expected.items()}
    )


def test_bfloat16_is_read(source, tmp_path):
    import ml_dtypes

    halves = {
        name: value.astype(ml_dtypes.bfloat16)
        for name, value in state_dict(lukemelas, source).items()
    }
    path = write(tmp_path / "w.safetensors", halves)
    model = en.EfficientNet(TEST, weights=path, **SMALL)
    found, expected = values(model), values(source)
    for path in expected:
        rounded = expected[path].astype(ml_dtypes.bfloat16).astype("float32")
        np.testing.assert_array_equal(found[path], rounded)


def test_a_timm_name_tells_its_own_trainings(source, tmp_path):
    """Timm's tf_... are conversions and pad as TensorFlow; its own pad alike."""
    for name, padding in (
        ("tf_efficientnet_b0_aa-827b6e33", "same"),
        ("efficientnet_b0_ra-3dd342df", "symmetric"),
    ):
        path = str(tmp_path / f"{name}.safetensors")
        en.save_weights(source, path)
        from safetensors import numpy

        numpy.save_file(numpy.load_file(path), path)  # without our passport
        model = en.EfficientNet(TEST, weights=path, **SMALL)
        assert model.passport.variant.padding == padding


@pytest.mark.parametrize("layer", ["predictions", "stem_conv"])
def test_a_missing_tensor_is_named(layer, source, tmp_path):
    state = state_dict(lukemelas, source)
    del state[{"predictions": "_fc.bias", "stem_conv": "_bn1.weight"}[layer]]
    path = write(tmp_path / "w.safetensors", state)
    with pytest.raises(ValueError, match=r"the file has no (_fc.bias|_bn1.weight)"):
        en.EfficientNet(TEST, weights=path, **SMALL)


@pytest.mark.parametrize("format", ["zip", "old"])
@pytest.mark.parametrize("key", [None, "state_dict", "state_dict_ema", "model"])
def test_a_pth_is_read_without_pytorch(key, format, source, tmp_path, monkeypatch):
    state = support.tensors(state_dict(lukemelas, source))
    content = {key: state, "epoch": 3} if key else state
    path = support.save(tmp_path / "w.pth", content, format=format)
    monkeypatch.setattr(builtins, "__import__", without_torch)
    model = en.EfficientNet(TEST, weights=path, **SMALL)
    assert_same(model, values(source))
    assert model.passport.averaged is (True if key == "state_dict_ema" else None)
    assert model.load_report.notes == ()


def test_a_config_in_safetensors_is_checked_by_the_files_name(tmp_path):
    norms = {"stem_bn": 1e-3, "top_bn": 1e-5}
    layers = [
        {"name": name, "class_name": "BatchNormalization", "config": {"epsilon": value}}
        for name, value in norms.items()
    ]
    stem = {"kernel_size": 1, "padding": "same"}
    layers.append({"name": "stem_conv", "class_name": "Conv2D", "config": stem})
    path = str(tmp_path / "w.safetensors")
    safetensors.numpy.save_file(
        {"conv_stem.weight": np.ones((8, 3, 1, 1), "f4")},
        path,
        metadata={"model_config": json.dumps({"config": {"layers": layers}})},
    )
    with pytest.raises(ValueError, match="different values of epsilon") as raised:
        torch_files.open_file(path)
    assert str(raised.value).startswith(f"{path}: ")


IMPORT = builtins.__import__


def without_torch(name, *args, **kwargs):
    """Python's import, which must not be asked for PyTorch."""
    assert name.split(".")[0] != "torch"
    return IMPORT(name, *args, **kwargs)


@pytest.mark.parametrize("ema", [True, False])
def test_both_sets_of_weights_are_in_a_pth(ema, source, tmp_path, capsys):
    """Torchvision's layout, in which the averages have a prefix and a counter."""
    raw = helpers.build(TEST)
    averages = {
        f"module.{n}": v for n, v in state_dict(torchvision, source).items()
    } | {"n_averaged": np.int64(7)}
    content = {
        "model": support.tensors(state_dict(torchvision, raw)),
        "optimizer": {"state": {0: {"step": 7}}, "param_groups": [{"lr": 0.1}]},
        "model_ema": support.tensors(averages),
    }
    path = support.save(tmp_path / "w.pth", content)
    model = en.load_weights(TEST, path, ema=ema)
    assert_same(model, values(source if ema else raw))
    assert model.passport.averaged is ema
    assert ("n_averaged" in model.load_report.unused) is ema
    note, *dropped = model.load_report.notes
    assert dropped == (["dropped module. from all names"] if ema else [])
    taken, left = ("model_ema", "model") if ema else ("model", "model_ema")
    assert f"({taken}); --weights_ema={str(not ema).lower()} takes" in note
    assert f"({left})" in note
    assert capsys.readouterr() == ("", "")  # only commands print it
