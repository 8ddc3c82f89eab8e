"""Names of the models in other projects and spellings, and guesses at misspelt ones."""

import pytest
from flag_support import refuse

import efficientnet_tf as en
from efficientnet_tf import config, model_names, spelling

NAMES = {
    "b0": "efficientnet-b0",
    "B7": "efficientnet-b7",
    "EfficientNetB0": "efficientnet-b0",
    "EfficientNet-B0": "efficientnet-b0",
    "efficientnet_b0": "efficientnet-b0",
    "efficientnetb3": "efficientnet-b3",
    "Efficientnet B4": "efficientnet-b4",
    "effnet-b1": "efficientnet-b1",
    "tf_efficientnet_b0": "efficientnet-b0",
    "tf_efficientnet_b5_ns": "efficientnet-b5",
    "tf_efficientnet_b8_ap": "efficientnet-b8",
    "tf_efficientnet_b2.aa_in1k": "efficientnet-b2",
    "efficientnet_b0.ra_in1k": "efficientnet-b0",
    "tf_efficientnet_l2_ns": "efficientnet-l2",
    "tf_efficientnet_l2_ns_475": "efficientnet-l2-475",
    "lite0": "efficientnet-lite0",
    "efficientnet-lite-4": "efficientnet-lite4",
    "tf_efficientnet_lite3": "efficientnet-lite3",
    "efficientnet-edgetpu-S": "efficientnet-edgetpu-s",
    "efficientnet_es": "efficientnet-edgetpu-s",
    "tf_efficientnet_em": "efficientnet-edgetpu-m",
    "efficientnet_el": "efficientnet-edgetpu-l",
    "tf_efficientnet_cc_b0_4e": "efficientnet-condconv-b0-4e",
    "tf_efficientnet_cc_b0_8e": "efficientnet-condconv-b0-8e",
    "tf_efficientnet_cc_b1_8e": "efficientnet-condconv-b0-8e-depth",
    "EfficientNetV2B3": "efficientnetv2-b3",
    "EfficientNetV2S": "efficientnetv2-s",
    "efficientnetv2_m": "efficientnetv2-m",
    "v2-l": "efficientnetv2-l",
    "tf_efficientnetv2_xl_in21ft1k": "efficientnetv2-xl",
    "MobileNet": "mobilenet-v1",
    "MobileNetV2": "mobilenet-v2",
    "mobilenetv2_100": "mobilenet-v2",
    "resnet50": "resnet-50",
    "ResNet152": "resnet-152",
}
# Networks that none of ours is, although names are alike.
OTHERS = (
    *("efficientnetv2_rw_s", "efficientnet_b1_pruned", "efficientnet_b3_g8_gn"),
    *("mobilenetv2_140", "resnet50d", "vit_base_patch16_224", "b9", "", "efficientnet"),
)


@pytest.mark.parametrize("name", NAMES)
def test_another_spelling_is_answered_with_the_models_name(name):
    meant = NAMES[name]
    with pytest.raises(ValueError, match=f"; did you mean {meant}\\? Known: "):
        en.get_variant(name)
    with pytest.raises(ValueError, match=f"; did you mean {meant}\\?$"):
        config.create(model=name)
    line = refuse(f"--model={name}").line
    assert line.startswith(f"--model={name}: now --model={meant}; the command is now: ")


@pytest.mark.parametrize("name", en.list_variants())
def test_every_name_of_ours_means_itself(name):
    for spelt in (name, name.upper(), name.replace("-", "_"), name.replace("-", "")):
        assert model_names.meant(spelt, en.list_variants()) == name


@pytest.mark.parametrize("name", OTHERS)
def test_another_network_is_none_of_ours(name):
    assert model_names.meant(name, en.list_variants()) is None
    with pytest.raises(ValueError, match="Known: efficientnet-b0, efficientnet-b1, "):
        en.get_variant(name)


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("modle", ["mode", "model"]),
        ("epochs", ["eval_epochs", "train_epochs"]),
        ("rate", []),
        ("ra", []),  # too short to look for it inside names
        ("drop_connect", []),
        ("", []),
    ],
)
def test_names_are_guessed_where_they_are_alike(word, near):
    known = ["mode", "model", "train_epochs", "eval_epochs", "dropout", "seed"]
    found = spelling.nearest(word, known, most=2, alike=spelling.ALIKE)
    assert sorted(found) == sorted(near)


def test_the_flag_that_drop_connect_rate_is_not_is_not_guessed():
    for other in ("dropout_rate", "lr_decay_rate"):
        assert not spelling.nearest("drop_connect_rate", [other], alike=spelling.ALIKE)
