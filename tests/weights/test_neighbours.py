"""Names, folders and config.json beside a file say which network its weights are."""

import json
import math

import networks
import numpy as np
import pytest
import weight_helpers as helpers
from weight_helpers import images

import efficientnet_tf as en
from efficientnet_tf import variants
from efficientnet_tf.runs import run_model
from efficientnet_tf.weights import conventions, evidence, neighbours

IMAGENET, HALF = variants.IMAGENET_PIXELS, variants.MOBILENET_PIXELS
SMALL = {"classes": 3, "input_shape": (16, 16, 3), "blocks": (networks.ONE,)}
HUB = "models--timm--{}/snapshots/0123abcd/model.safetensors"


def described(architecture="efficientnet_b0", **fields):
    """The config.json of a network on timm's hub, as timm 1.0 writes it."""
    preparation = {
        "tag": "ra_in1k",
        "input_size": [3, 224, 224],
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    top = {"architecture": architecture, "num_classes": 1000, "global_pool": "avg"}
    overridden = {k: v for k, v in fields.items() if k in preparation}
    return (
        top
        | {k: v for k, v in fields.items() if k not in preparation}
        | {"pretrained_cfg": preparation | overridden}
    )


def beside(path, config):
    """Writes the config.json beside a file, which need not exist; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "config.json").write_text(
        config if isinstance(config, str) else json.dumps(config)
    )
    return str(path)


def settled(path, name, project="timm"):
    """The network that is built for a file of this path."""
    variant = en.get_variant(name)
    statements = neighbours.find(str(path), project).statements(variant)
    statements += conventions.of_project(variant, project)
    return conventions.settle(variant, statements)


# File or Hugging Face folder, pixels and padding of timm 1.0.31's default_cfgs.
@pytest.mark.parametrize(
    ("path", "name", "pixels", "padding"),
    [
        ("mobilenetv2_100_ra-b33bc2c4.pth", "mobilenet-v2", IMAGENET, "symmetric"),
        ("mobilenetv1_100.ra4_e3600_r224_in1k/x", "mobilenet-v1", HALF, "symmetric"),
        (
            *("efficientnet_lite0_ra-37913777.pth", "efficientnet-lite0"),
            *(IMAGENET, "symmetric"),
        ),
        (
            *("efficientnet_es_ra-f111e99c.pth", "efficientnet-edgetpu-s"),
            *(IMAGENET, "symmetric"),
        ),
        ("efficientnet_b0_ra-3dd342df.pth", "efficientnet-b0", IMAGENET, "symmetric"),
        ("efficientnet_b0.ra_in1k/m", "efficientnet-b0", IMAGENET, "symmetric"),
        (
            *("efficientnet_b0.ra4_e3600_r224_in1k/m", "efficientnet-b0"),
            *(HALF, "symmetric"),
        ),
        (
            HUB.format("efficientnet_b0.ra_in1k"),
            "efficientnet-b0",
            IMAGENET,
            "symmetric",
        ),
        (HUB.format("tf_efficientnet_b0.ap_in1k"), "efficientnet-b0", HALF, "same"),
        (HUB.format("tf_efficientnet_b0.aa_in1k"), "efficientnet-b0", IMAGENET, "same"),
        ("tf_efficientnet_b0_aa-827b6e33.pth", "efficientnet-b0", IMAGENET, "same"),
        ("tf_efficientnet_b0_ap-f262efe1.pth", "efficientnet-b0", HALF, "same"),
        ("tf_efficientnet_b0_ap.safetensors", "efficientnet-b0", HALF, "same"),
        ("tf_efficientnet_b0.ap_in1k.safetensors", "efficientnet-b0", HALF, "same"),
        ("tf_efficientnet_b0_ap.bin", "efficientnet-b0", HALF, "same"),
        ("tf_efficientnet_b0.ap_in1k/m", "efficientnet-b0", HALF, "same"),
        ("tf_efficientnetv2_b3.in21k_ft_in1k/m", "efficientnetv2-b3", HALF, "same"),
        ("tf_efficientnetv2_b3-57773f13.pth", "efficientnetv2-b3", IMAGENET, "same"),
        ("tf_efficientnet_b0_maple.pth", "efficientnet-b0", IMAGENET, "same"),
        ("any.safetensors", "efficientnet-b0", IMAGENET, "same"),
        ("ap/tf_efficientnet_b0.pth", "efficientnet-b0", IMAGENET, "same"),
    ],
)
def test_timms_names_tell_pixels_and_padding(path, name, pixels, padding, tmp_path):
    variant = settled(tmp_path / path, name)
    assert (variant.pixels.mean, variant.pixels.stddev) == (pixels.mean, pixels.stddev)
    assert variant.padding == padding
    assert variant.batch_norm_epsilon == (1e-5 if padding == "symmetric" else 1e-3)


def test_a_relative_path_has_its_folders(tmp_path, monkeypatch):
    folder = tmp_path / "models--timm--efficientnet_b0.ra_in1k" / "snapshots" / "0a"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert settled("model.safetensors", "efficientnet-b0").padding == "symmetric"


@pytest.mark.parametrize(
    ("path", "project", "expected"),
    [
        ("adv-efficientnet-b0-b64d5a18.pth", "lukemelas", HALF),
        ("efficientnet-b0-355c32eb.pth", "lukemelas", IMAGENET),
        ("advprop/efficientnet-b0/model.ckpt", "tf1", HALF),
        ("ckptsaug/efficientnet-b0/model.ckpt", "tf1", IMAGENET),
        ("efficientnet-b0_advprop.h5", "efficientnet", HALF),
    ],
)
def test_other_projects_say_advprop_in_names_too(path, project, expected, tmp_path):
    variant = settled(tmp_path / path, "efficientnet-b0", project)
    assert (variant.pixels.mean, variant.pixels.stddev) == (
        expected.mean,
        expected.stddev,
    )


@pytest.mark.parametrize("project", ["torchvision", "resnet", "mobilenet-v2"])
def test_projects_without_advprop_do_not(project, tmp_path):
    path = str(tmp_path / "advprop/w.h5")
    assert neighbours.find(path, project) == neighbours.NONE


def test_a_files_own_statistics_count_more_than_a_name(tmp_path):
    beside = neighbours.find(str(tmp_path / "advprop_runs/w.h5"), "efficientnet")
    assert beside.by
    told = evidence.Evidence(
        project="efficientnet",
        tensors={
            "normalization/mean": np.array(IMAGENET.mean) / 255,
            "normalization/variance": (np.array(IMAGENET.stddev) / 255) ** 2,
        },
        passport=None,
        config=None,
        config_says={},
        beside=beside,
    )
    assert told.adapt(en.get_variant("efficientnet-b0")).pixels == IMAGENET


@pytest.mark.parametrize(
    ("architecture", "padding", "epsilon"),
    [
        ("efficientnet_b0", "symmetric", 1e-5),
        ("tf_efficientnet_b0", "same", 1e-3),
    ],
)
@pytest.mark.parametrize("is_flat", [False, True], ids=["nested", "flat"])
def test_a_config_says_all(architecture, padding, epsilon, is_flat, tmp_path):
    config = described(
        architecture, mean=[0.5] * 3, std=[0.25] * 3, interpolation="bilinear"
    )
    if is_flat:  # as before timm 0.8
        config |= config.pop("pretrained_cfg")
    path = beside(tmp_path / "model.safetensors", config)
    variant = settled(path, "efficientnet-b0")
    assert (variant.padding, variant.batch_norm_epsilon) == (padding, epsilon)
    assert variant.pixels == variants.Pixels((127.5,) * 3, (63.75,) * 3, "bilinear")
    found = neighbours.find(path, "timm")
    assert found.network == "efficientnet-b0"
    assert found.preparation == {"image_size": 224, "crop": "padded"}
    told = conventions.decided(variant, found.statements(variant))
    assert told == [
        f"padding={padding}, batch_norm_epsilon={epsilon}, activation=swish, "
        "pixels=(x - 127.5 127.5 127.5) / 63.75 63.75 63.75, resize=bilinear: "
        f"by the config.json beside it, of {architecture}.ra_in1k"
    ]


@pytest.mark.parametrize(
    ("share", "size", "crop"),
    [
        (0.875, 224, "padded"),  # of which 224 / 256 is the same
        (0.882, 240, "padded"),  # 240 / 272, rounded
        (0.875, 300, "exact"),
        (0.95, 224, None),
        (1.0, 256, None),
    ],
)
def test_the_crop_is_one_of_ours_or_said(share, size, crop, tmp_path):
    config = described(crop_pct=share, input_size=[3, size, size])
    found = neighbours.find(beside(tmp_path / "m", config), "timm")
    assert found.crop == crop and found.image_size == size
    assert bool(found.notes) is (crop is None)
    if crop is None:
        assert f"crop_pct={share}" in found.notes[0]


def test_arguments_of_timm_change_conventions(tmp_path):
    arguments = {"bn_eps": 0.01, "pad_type": "same", "act_layer": "relu"}
    path = beside(tmp_path / "m", described(model_args=arguments | {"drop_rate": 0.2}))
    said = neighbours.find(path, "timm").values
    assert {
        key: said[key] for key in ("batch_norm_epsilon", "padding", "activation")
    } == {
        "batch_norm_epsilon": 0.01,
        "padding": "same",
        "activation": "relu",
    }


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (described("efficientnet_blur_b0"), "architecture=efficientnet_blur_b0"),
        (described("resnetblur50"), "architecture=resnetblur50"),
        (described("efficientnet_b3_gn"), "architecture=efficientnet_b3_gn"),
        (described(global_pool="max"), "global_pool=max"),
        (described(model_args={"aa_layer": "blur"}), "model_args.aa_layer=blur"),
        (described(model_args={"pad_type": "valid"}), "model_args.pad_type=valid"),
        (described(interpolation="nearest"), "interpolation=nearest"),
        (described(std=[0.1, 0, 0.1]), "std="),
        (described(mean="x"), "could not convert"),
        (described(mean=[0.5, 0.5]), "mean="),
        (described(mean=[0.5, math.nan, 0.5]), "mean="),
        (described(std=[0.5, math.inf, 0.5]), "std="),
        (described(std=[10**400] * 3), "too large"),
        (described(model_args={"bn_eps": math.nan}), "model_args.bn_eps=nan"),
        (described(model_args={"bn_eps": -1e-3}), "model_args.bn_eps=-0.001"),
        (described(model_args={"bn_eps": 10**400}), "too large"),
        ('{"architecture": "effi', "damaged"),
        ("[" * 100_000, "damaged"),
        ("", "damaged"),
    ],
    ids=(
        *("blur", "resnetblur", "group-norm", "max-pool", "aa", "valid", "nearest"),
        *("zero", "text", "two-channels", "nan-mean", "infinite-std", "huge-std"),
        *("nan-epsilon", "negative-epsilon", "huge-epsilon", "cut", "deep", "empty"),
    ),
)
def test_what_cannot_be_followed_is_refused_by_name(config, named, tmp_path):
    path = beside(tmp_path / "model.safetensors", config)
    with pytest.raises(ValueError, match=named) as caught:
        settled(path, "efficientnet-b0")
    assert str(tmp_path / "config.json") in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        {"model": "efficientnet-b0"},
        {"architectures": ["X"]},
        {"architecture": 3},
        [],
        3,
    ],
    ids=("ours", "transformers", "number", "list", "bare-number"),
)
def test_another_projects_config_says_nothing(config, tmp_path):
    path = beside(tmp_path / "model.safetensors", config)
    assert neighbours.find(path, "timm") == neighbours.NONE


@pytest.mark.parametrize(
    ("file", "architecture"),
    [
        ("tf_efficientnet_b0_ap.safetensors", "efficientnet_b0"),
        ("efficientnet_b1_ft-533bc792.pth", "efficientnet_b0"),
        (HUB.format("tf_efficientnet_b0.ap_in1k"), "efficientnet_b0"),
    ],
)
def test_a_name_and_a_config_that_differ_are_refused(file, architecture, tmp_path):
    path = beside(tmp_path / file, described(architecture))
    with pytest.raises(ValueError, match=r"config\.json: says efficientnet_b0.*but"):
        neighbours.find(path, "timm")


def test_a_config_is_not_read_for_other_projects(tmp_path):
    path = beside(tmp_path / "w.pth", described("efficientnet_blur_b0"))
    assert neighbours.find(path, "torchvision") == neighbours.NONE


@pytest.fixture(scope="module")
def weights():
    """A small network of timm's own conventions, and its tensors without a passport."""
    padded = {"padding": "symmetric", "batch_norm_epsilon": 1e-5}
    variant = conventions.settle(
        en.get_variant("efficientnet-test"), [conventions.Statement("", padded)]
    )
    return helpers.build(variant, **SMALL)


def write(model, path):
    """Writes timm's file."""
    from safetensors import numpy

    path.parent.mkdir(parents=True, exist_ok=True)
    en.save_weights(model, path)
    numpy.save_file(numpy.load_file(path), path)
    return str(path)


@pytest.mark.parametrize("is_described", [True, False], ids=["config", "folder"])
def test_a_file_in_the_hubs_cache_is_timms(weights, is_described, tmp_path):
    file = tmp_path / HUB.format("efficientnet_b0.ra_in1k")
    path = write(weights, file)
    if is_described:
        beside(file, described())
    ours = en.EfficientNet("efficientnet-test", weights=path, **SMALL)
    x = images(16)
    np.testing.assert_array_equal(helpers.outputs(ours, x), helpers.outputs(weights, x))
    first, *_ = ours.load_report.decided
    by = "config.json" if is_described else "hub folder's name efficientnet_b0.ra_in1k"
    assert "padding=symmetric, batch_norm_epsilon=1e-05" in first and by in first


def test_what_lies_beside_prepares_images(weights, tmp_path):
    file = tmp_path / "model.safetensors"
    path = write(weights, file)
    beside(
        file,
        described(crop_pct=0.882, input_size=[3, 240, 240], interpolation="bilinear"),
    )
    config, found = run_model.open_weights(path)
    assert (config.model, config.image_size) == ("efficientnet-b0", 240)
    assert (config.eval_crop, config.resize) == ("padded", "bilinear")
    assert found.adapt(config.variant).padding == "symmetric"


def test_timms_tensors_alone_are_assumed_to_be_googles(weights, tmp_path):
    path = write(weights, tmp_path / "model.safetensors")
    ours = en.EfficientNet("efficientnet-test", weights=path, **SMALL)
    (said,) = ours.load_report.decided
    assert said.startswith("padding=same, batch_norm_epsilon=0.001, ")
    assert said.endswith(": assumed, because nothing states it")
