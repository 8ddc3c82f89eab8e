"""Recipes, facts and choices, and where each value is from."""

import json

import pytest
from config_support import IMAGENET

from efficientnet_tf import config
from efficientnet_tf.recipes import digits, fake, finetune, paper, scratch


@pytest.mark.parametrize(
    ("model", "resize"),
    [
        ("efficientnet-b0", "bicubic"),
        ("efficientnet-lite3", "bilinear"),
        ("efficientnet-edgetpu-l", "bilinear"),
        ("efficientnet-condconv-b0-4e", "bicubic"),
    ],
)
def test_models_are_resized_as_they_were_trained(model, resize):
    assert config.create(model=model).resize == resize


def test_what_weights_state_comes_between_recipes_and_choices():
    stated = {"model": "efficientnet-b1", "image_size": 100, "num_classes": 7}
    made = config.create(stated, dataset="fake", num_classes=8)
    assert (made.model, made.image_size, made.num_classes) == (
        *("efficientnet-b1", 100, 8),
    )
    assert made.dropout_rate == 0.2 and made.augment == "none"


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("cifar10", 10),
        ("cifar100", 100),
        ("birdsnap", 500),
        ("cars196", 196),
        ("oxford_flowers102", 102),
        ("fgvc_aircraft", 100),
        ("oxford_iiit_pet", 37),
        ("food101:2.0.0", 101),
    ],
)
def test_the_papers_transfer_data_sets_have_their_classes(name, classes):
    dataset = f"tfds:{name}"
    made = config.create(dataset=dataset)
    assert (made.num_classes, made.data_dir, made.image_size) == (classes, None, 224)
    offset = config.create(dataset=dataset, label_offset=1)
    assert (offset.num_classes, offset.label_offset) == (classes + 1, 1)
    with pytest.raises(ValueError) as error:
        config.create(dataset=dataset, num_classes=classes - 1)
    assert str(error.value) == (
        f"num_classes={classes - 1}: dataset={dataset} has {classes} classes; the two "
        "must agree"
    )


def test_another_data_set_of_tfds_needs_the_number_of_classes():
    assert config.create(dataset="tfds:mnist", num_classes=10).num_classes == 10
    with pytest.raises(ValueError) as error:
        config.create(dataset="tfds:mnist")
    assert str(error.value).startswith(
        "num_classes is missing: dataset=tfds:mnist is not among those whose classes "
        "are known, cifar10, cifar100, "
    )


@pytest.mark.parametrize(
    "dataset", ["tfds", "tfds:", "tfds: cifar10", "cifar10", "tfd"]
)
def test_a_data_set_of_tfds_has_a_name(dataset):
    with pytest.raises(ValueError) as error:
        config.create(dataset=dataset)
    assert str(error.value) == (
        f"dataset={dataset}: allowed is digits, imagenet, folder, csv, fake, tfds:NAME"
    )


def test_the_images_of_tfds_are_known():
    with pytest.raises(ValueError, match=r"num_train_images=5: .*those of tfds known"):
        config.create(dataset="tfds:cifar10", num_train_images=5)


FINETUNE = {"recipe": "finetune", "weights": "b3.h5", "model": "efficientnet-b3"}


def test_the_finetune_recipe_comes_after_the_models_and_data_sets():
    made = config.create(dataset="tfds:oxford_flowers102", **FINETUNE)
    assert made.skipped_weights == ("predictions",)
    assert (made.augment, made.flip, made.batch_norm) == ("none", True, "frozen")
    assert (made.optimizer, made.lr_schedule) == ("adamw", "cosine")
    assert (made.image_size, made.dropout_rate, made.num_classes) == (300, 0.3, 102)
    digits = config.create(dataset="digits", **FINETUNE)
    assert (digits.image_size, digits.flip, digits.num_classes) == (32, False, 10)


@pytest.mark.parametrize(
    ("images", "batch"),
    [
        (None, 256),
        (1, 8),
        (900, 8),
        (1100, 16),
        (2934, 32),
        (10_000, 128),
        (10**6, 256),
    ],
)
def test_the_batch_of_finetuning_follows_the_number_of_images(images, batch):
    made = config.create(dataset="fake", num_train_images=images, **FINETUNE)
    assert made.train_batch_size == batch
    # The highest rate of AdamW is the same for every batch.
    assert made.learning_rate * batch / 256 == pytest.approx(3e-4)


@pytest.mark.parametrize(
    ("model", "last"),
    [
        ("efficientnet-lite0", "block3"),
        ("efficientnet-b7", "block3"),
        ("resnet-50", "block2"),
        ("mobilenet-v1", "block3"),
    ],
)
def test_finetuning_freezes_the_stages_of_large_maps(model, last):
    made = config.create(**FINETUNE | {"model": model}, dataset="tfds:cars196")
    assert made.freeze == last


@pytest.mark.parametrize(
    ("chosen", "recipe", "origin"),
    [
        ({"dataset": "tfds:cifar10"}, "scratch", "fact of the data"),
        ({"dataset": "tfds:cifar10", "recipe": "paper"}, "paper", "flag"),
        ({"dataset": "tfds:mnist", "num_classes": 10}, "paper", "default"),
        (IMAGENET, "paper", "default"),
        (IMAGENET | {"num_train_images": 199_999}, "scratch", "fact of the data"),
        (IMAGENET | {"num_train_images": 200_000}, "paper", "default"),
        ({"dataset": "digits"}, "paper", "default"),
        ({"dataset": "fake", "num_train_images": 9}, "paper", "default"),
    ],
)
def test_few_images_have_a_recipe_of_their_own(chosen, recipe, origin):
    resolved = config.resolve(**chosen)
    assert resolved.config.recipe == recipe
    assert resolved.origins["recipe"] == origin


@pytest.mark.parametrize(
    ("images", "batch", "epochs"),
    [
        (1, 16, 1000),
        (285, 16, 1000),
        (600, 16, 500),
        (2934, 32, 102.2),
        (50_000, 256, 100),
    ],
)
def test_the_length_of_training_from_scratch_follows_the_images(images, batch, epochs):
    made = config.create(**IMAGENET, num_train_images=images)
    assert made.train_batch_size == batch
    assert made.train_epochs == pytest.approx(epochs, rel=1e-3)
    assert made.learning_rate * batch / 256 == pytest.approx(1e-3)


def test_choices_come_before_the_finetune_recipe():
    made = config.create(
        dataset="tfds:cars196",
        weights_skip="",
        augment="autoaugment",
        learning_rate=0.016,
        **FINETUNE,
    )
    assert (made.skipped_weights, made.augment) == ((), "autoaugment")
    assert (made.learning_rate, made.optimizer) == (0.016, "adamw")


def test_the_papers_recipe_is_the_default_and_skips_no_weights():
    made = config.create(weights="b0.h5", **IMAGENET)
    assert made == config.create(weights="b0.h5", recipe="paper", **IMAGENET)
    assert (made.weights_skip, made.train_epochs) == (None, 350)


def test_finetuning_needs_weights():
    with pytest.raises(ValueError, match="weights is missing: recipe=finetune"):
        config.create(recipe="finetune")
    with pytest.raises(ValueError, match=r"recipe=finetun: .*mean finetune\?"):
        config.create(recipe="finetun")


def test_a_choice_has_a_default_and_a_recipes_value_has_none():
    of_recipes = config.FIELDS.keys() - config.DEFAULTS.keys()
    assert {"weights_skip", "train_epochs", "warmup_epochs", "image_size"} <= of_recipes
    assert not {"dataset", "recipe", "weights", "seed"} & of_recipes
    with pytest.raises(TypeError, match="train_epochs"):
        config.Config()


@pytest.mark.parametrize("recipe", [paper, digits, fake, finetune, scratch])
@pytest.mark.parametrize("dataset", ["imagenet", "digits", "fake", "tfds:cifar10"])
def test_a_recipe_has_every_value_that_is_its_to_give(recipe, dataset):
    wanted = config.FIELDS.keys() - config.DEFAULTS.keys() - {"num_classes"}
    given = recipe.recipe("efficientnet-b0", dataset, 1000).keys()
    assert wanted <= given <= config.FIELDS.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.pop("flip"), "flip is missing in the recipe paper"),
        (
            lambda values: values.update(flop=True),
            "the recipe paper gives flop",
        ),
    ],
)
def test_a_forgotten_or_unknown_value_fails_at_once(change, message, monkeypatch):
    values = paper.recipe("efficientnet-b0", "imagenet", None)
    change(values)
    monkeypatch.setattr(paper, "recipe", lambda *_: values)
    with pytest.raises(ValueError) as error:
        config.create(**IMAGENET)
    assert str(error.value).startswith(message)


def test_every_value_says_where_it_comes_from():
    origins = config.resolve(
        {"num_classes": 7}, dataset="digits", train_epochs=3.0, seed=None
    ).origins
    assert origins.keys() == config.FIELDS.keys()
    named = ("learning_rate", "num_classes", "train_epochs", "seed", "dataset")
    assert [origins[name] for name in named] == [
        *("recipe digits", "fact of the weights", "flag", "default", "flag")
    ]
    origins = config.resolve(dataset="imagenet", data_dir="gs://b/i").origins
    assert origins["minival_shards"] == "fact of the data"
    finetune = config.resolve(dataset="digits", **FINETUNE).origins
    assert finetune["image_size"] == finetune["train_epochs"] == "recipe finetune"


def test_a_file_that_misses_a_setting_names_it():
    values = json.loads(config.dumps(config.create()))
    del values["flip"], values["weights_ema"]
    with pytest.raises(ValueError, match="settings flip are missing"):
        config.loads(json.dumps(values))
