"""Values that are refused, files of a Config, and steps."""

import dataclasses
import json

import pytest
from config_support import IMAGENET

from efficientnet_tf import config


def _replaced(**changed) -> config.Config:
    return dataclasses.replace(config.create(), **changed)


def _loaded(**changed) -> config.Config:
    """A Config read from a file with some values changed."""
    return config.loads(json.dumps(json.loads(config.dumps(config.create())) | changed))


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("model", "efficientnet-b9", "efficientnet-b0, efficientnet-b1"),
        ("model", 5, "efficientnet-b0, efficientnet-b1"),
        ("width_coefficient", 0, "more than 0"),
        ("depth_coefficient", -1.0, "more than 0"),
        ("image_size", 7, "8 and more"),
        ("image_size", "large", "8 and more"),
        ("num_classes", 0, "1 and more"),
        ("dropout_rate", 1, "0 to below 1"),
        ("dropout_rate", -0.1, "0 to below 1"),
        ("survival_prob", 0, "above 0, at most 1"),
        ("survival_prob", 1.1, "above 0, at most 1"),
        ("precision", "float16", "auto, float32, float32_no_tf32, bfloat16"),
        ("dataset", "imagnet", "digits, imagenet"),
        ("num_train_images", 0, "1 and more"),
        ("minival_shards", -1, "0, a fraction below 1 or a whole number"),
        ("minival_shards", 1.5, "0, a fraction below 1 or a whole number"),
        ("minival_shards", float("inf"), "0, a fraction below 1 or a whole number"),
        (
            "augment",
            "autoaugmnet",
            "autoaugment, autoaugment-reduced_cifar10, "
            "autoaugment-svhn, randaugment, trivialaugment, none",
        ),
        ("randaugment_num_layers", 0, "1 and more"),
        ("randaugment_magnitude", 31, "0 to 30"),
        ("mixup_alpha", -0.2, "0 and more"),
        ("cutmix_alpha", -1.0, "0 and more"),
        ("random_erasing", 1.5, "0 to 1"),
        ("cutout", -2, "0 and more"),
        ("augment_on", "gpu", "host, device"),
        ("crop_area_min", 0, "above 0, at most 1"),
        ("eval_crop", "centre", "padded, fixed, exact"),
        ("shuffle_buffer", 0, "1 and more"),
        ("train_batch_size", 0, "1 and more"),
        ("eval_batch_size", 0, "1 and more"),
        ("train_epochs", 0, "more than 0"),
        ("train_epochs", float("nan"), "more than 0"),
        ("learning_rate", 0, "more than 0"),
        ("lr_decay_epochs", -2.4, "more than 0"),
        ("lr_decay_rate", 1.5, "above 0, at most 1"),
        ("warmup_epochs", -1, "0 and more"),
        ("rmsprop_decay", 1, "0 to below 1"),
        ("momentum", 1, "0 to below 1"),
        ("rmsprop_epsilon", 0, "more than 0"),
        ("weight_decay", -1e-5, "0 and more"),
        ("label_smoothing", 1, "0 to below 1"),
        ("moving_average_decay", 1, "0 to below 1"),
        ("seed", -1, "0 to 2147483647"),
        ("seed", 2**31, "0 to 2147483647"),
        ("steps_per_loop", 0, "1 and more"),
        ("checkpoint_epochs", 0, "more than 0"),
        ("eval_epochs", 0, "more than 0"),
        ("early_stopping_evals", -1, "0 and more"),
    ],
)
def test_bad_values_name_field_value_and_what_is_allowed(field, value, allowed):
    for make in (config.create, _replaced, _loaded):
        with pytest.raises(ValueError) as error:
            make(**{field: value})
        message = str(error.value)
        assert f"{field}={value}: allowed is" in message
        assert allowed in message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_size", 32.5),
        ("seed", 1.5),
        ("train_batch_size", 64.5),
        ("train_epochs", float("inf")),
        ("flip", "no"),
        ("weights", 5),
    ],
)
def test_values_of_another_type_name_field_and_value(field, value):
    with pytest.raises(ValueError, match=f"{field}={value}: "):
        config.create(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "nearest"),
    [
        ("model", "efficientnet-b9", "efficientnet-b8"),
        ("dataset", "imagnet", "imagenet"),
        ("augment", "autoaugmnet", "autoaugment"),
        ("eval_crop", "fix", "fixed"),
        ("precision", "bf16", "bfloat16"),
    ],
)
def test_bad_choices_suggest_the_nearest(field, value, nearest):
    with pytest.raises(ValueError, match=f"; did you mean {nearest}\\?"):
        config.create(**{field: value})


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [
        ("lerning_rate", "learning_rate"),
        ("imagesize", "image_size"),
        ("train_epoch", "train_epochs"),
    ],
)
def test_unknown_settings_suggest_the_nearest(unknown, nearest):
    with pytest.raises(ValueError) as error:
        config.create(**{unknown: 1})
    assert str(error.value) == f"unknown setting {unknown}; did you mean {nearest}?"


def test_imagenet_needs_its_folder():
    with pytest.raises(ValueError, match="data_dir is missing: dataset imagenet"):
        config.create(dataset="imagenet")


def test_a_run_that_keeps_features_keeps_no_images():
    with pytest.raises(
        ValueError, match=r"cache=encoded: .* none with freeze=backbone"
    ):
        config.create(cache="encoded", freeze="backbone")
    assert config.create(cache="encoded").cache == "encoded"


def test_early_stopping_needs_held_out_images():
    with pytest.raises(ValueError, match="early_stopping_evals=3: needs held-out"):
        config.create(early_stopping_evals=3, minival_shards=0)
    assert config.create(early_stopping_evals=3).early_stopping_evals == 3


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.create().image_size = 64


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        IMAGENET | {"model": "efficientnet-b7", "weights": "b7.weights.h5"},
        {"learning_rate": 0.1 + 0.2, "minival_shards": 3, "flip": True, "seed": 7},
        {"width_coefficient": 1.05, "num_train_images": 1437, "weight_decay": 1e-30},
    ],
)
def test_files_hold_every_value_exactly(chosen):
    made = config.create(**chosen)
    assert config.loads(config.dumps(made)) == made
    assert json.loads(config.dumps(made)).keys() == config.FIELDS.keys()


def test_a_loaded_config_takes_nothing_from_recipes():
    made = _loaded(model="efficientnet-b7", dataset="digits", image_size=224)
    assert (made.image_size, made.dropout_rate, made.num_classes) == (224, 0.2, 10)


def test_a_run_of_an_earlier_version_keeps_its_crop():
    values = json.loads(config.dumps(config.create(eval_crop="fixed")))
    assert config.loads(json.dumps(values)).eval_crop == "fixed"
    new = ("augment_on", "cutmix_alpha", "random_erasing", "cutout", "exif")
    earlier = {name: value for name, value in values.items() if name not in new}
    found = config.loads(json.dumps(earlier))
    assert (found.eval_crop, found.augment_on) == ("exact", "host")
    assert found.exif is False


def test_a_file_of_another_version_names_what_is_unknown():
    with pytest.raises(ValueError, match="unknown settings alpha, beta: "):
        _loaded(beta=1, alpha=2)


def test_only_settings_that_cannot_change_the_weights_so_far_may_change():
    may_change = {
        n for n, field in config.FIELDS.items() if field.metadata["may_change"]
    }
    assert may_change == {
        *("data_dir", "eval_batch_size", "train_epochs"),
        *("steps_per_loop", "checkpoint_epochs", "nan_policy"),
        *("on_bad_record", "bad_record_limit", "cache"),
    }


@pytest.mark.parametrize(
    ("changed", "conflicts"),
    [
        ({}, []),
        ({"train_epochs": 80.0, "steps_per_loop": 5, "data_dir": "elsewhere"}, []),
        ({"seed": 1}, ["seed"]),
        ({"learning_rate": 0.1, "image_size": 64}, ["image_size", "learning_rate"]),
        ({"flip": True, "eval_batch_size": 7}, ["flip"]),
    ],
)
def test_conflicts_lists_what_a_resumed_run_must_not_change(changed, conflicts):
    saved = config.create()
    wanted = dataclasses.replace(saved, **changed)
    assert config.conflicts(saved, wanted) == conflicts
    assert config.conflicts(wanted, saved) == conflicts


def test_override_changes_what_may_change():
    saved = config.create(eval_batch_size=120, train_epochs=40.0)
    changed = config.override(saved, eval_batch_size=30, image_size=None, seed=0)
    assert changed == dataclasses.replace(saved, eval_batch_size=30)


@pytest.mark.parametrize(
    ("field", "value", "saved"),
    [("image_size", 64, 32), ("model", "efficientnet-b1", "efficientnet-b0")],
)
def test_override_refuses_what_contradicts_the_run(field, value, saved):
    with pytest.raises(ValueError) as error:
        config.override(config.create(), **{field: value})
    assert str(error.value) == (
        f"{field}={value}: the run was trained with {saved}; leave it out"
    )


def test_override_checks_values():
    with pytest.raises(ValueError, match="eval_batch_size=0: allowed is 1 and more"):
        config.override(config.create(), eval_batch_size=0)


@pytest.mark.parametrize(
    ("batch", "train_images", "epochs", "steps"),
    [
        # ImageNet less its 20 minival shards: 1,281,167 - 25,022.
        (2048, 1_256_145, 1, 613),
        (2048, 1_256_145, 2.4, 1472),
        (2048, 1_256_145, 350, 214_673),
        # The digits less one of 16 shards.
        (64, 1437 - 90, 1, 21),
        (64, 1437 - 90, 40, 841),
        (2048, 100, 1, 1),
        (64, 64, 0.001, 1),
        (32, 960, 4.1, 123),  # 4.1 * 960 is below 3936 in floats
        (100, 3000, 2.3, 69),
    ],
)
def test_steps_are_the_whole_batches_of_all_epochs_together(
    batch, train_images, epochs, steps
):
    made = config.create(train_batch_size=batch)
    assert made.steps(epochs, train_images=train_images) == steps


@pytest.mark.parametrize(
    ("epochs", "floor", "ceiling"), [(1, 613, 614), (2, 1226, 1227), (0.0001, 1, 1)]
)
def test_totals_round_down_and_intervals_up(epochs, floor, ceiling):
    made = config.create(**IMAGENET)  # 1,256,145 / 2048 = 613.35 steps an epoch
    assert made.steps(epochs, train_images=1_256_145) == floor
    assert made.interval(epochs, train_images=1_256_145) == ceiling


def test_own_blocks_make_the_variant():
    blocks = "r1_k3_s11_e1_i16_o8, r2_k3_s22_e6_i8_o24_se0.25"
    made = config.create(blocks=blocks, activation="relu6").variant
    assert made.blocks == ("r1_k3_s11_e1_i16_o8", "r2_k3_s22_e6_i8_o24_se0.25")
    assert (made.stem_filters, made.activation) == (16, "relu6")
    assert made.name == "efficientnet-b0"


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ("r1_k3", "option 's' (strides) is missing"),
        (",", "allowed is one block string or more"),
        ("r1_k3_s11_e1_i8_o8_c9", "conv_type: c9 is not c0 to c4"),
        ("r1_k3_s11_e1_i8_o8_cc", "cc needs a variant with experts"),
    ],
)
def test_wrong_blocks_are_refused_with_the_setting(blocks, message):
    with pytest.raises(ValueError) as error:
        config.create(blocks=blocks)
    assert str(error.value).startswith(f"blocks={blocks}: ")
    assert message in str(error.value)


def test_layers_to_skip_are_listed():
    made = config.create(weights_skip="predictions, block7a")
    assert made.skipped_weights == ("predictions", "block7a")
    assert config.create().skipped_weights == ()


def test_the_label_offset_leaves_at_least_one_label():
    assert config.create(label_offset=9).label_offset == 9
    with pytest.raises(ValueError, match="label_offset=10: allowed is less than num_"):
        config.create(label_offset=10)
