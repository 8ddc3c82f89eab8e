import pytest
from config_support import IMAGENET

from efficientnet_tf import config


@pytest.mark.parametrize(
    ("chosen", "image_size"),
    [
        ({"model": "efficientnet-b7", **IMAGENET}, 600),
        ({"model": "efficientnet-b7", "dataset": "digits"}, 32),
        ({"model": "efficientnet-b7", "dataset": "digits", "image_size": 48}, 48),
        ({"model": "efficientnet-b7", "image_size": None}, 32),
    ],
    ids=["model", "dataset", "chosen", "none-chosen"],
)
def test_choices_come_before_the_recipe(chosen, image_size):
    assert config.create(**chosen).image_size == image_size


def test_values_that_are_false_count_as_chosen():
    made = config.create(flip=False, minival_shards=0, mixup_alpha=0, **IMAGENET)
    assert (made.flip, made.minival_shards, made.mixup_alpha) == (False, 0, 0)
    assert config.create(**IMAGENET).minival_shards == 20
    assert config.create(**IMAGENET).flip is True


@pytest.mark.parametrize(
    ("model", "image_size", "dropout_rate", "magnitude"),
    [
        ("b0", 224, 0.2, 10),
        ("b1", 240, 0.2, 10),
        ("b2", 260, 0.3, 10),
        ("b3", 300, 0.3, 10),
        ("b4", 380, 0.4, 10),
        ("b5", 456, 0.4, 17),
        ("b6", 528, 0.5, 10),
        ("b7", 600, 0.5, 28),
        ("b8", 672, 0.5, 28),
        ("l2", 800, 0.5, 10),
    ],
)
def test_model_recipes_on_imagenet(model, image_size, dropout_rate, magnitude):
    made = config.create(model=f"efficientnet-{model}", **IMAGENET)
    assert (made.image_size, made.dropout_rate) == (image_size, dropout_rate)
    assert made.randaugment_magnitude == magnitude
    assert (made.survival_prob, made.augment) == (0.8, "autoaugment")


def test_the_recipe_on_imagenet_is_the_papers():
    made = config.create(**IMAGENET)
    assert made.num_classes == 1000
    assert (made.train_epochs, made.train_batch_size) == (350, 2048)
    assert (made.learning_rate, made.warmup_epochs) == (0.016, 5)
    assert (made.lr_decay_epochs, made.lr_decay_rate) == (2.4, 0.97)
    assert (made.rmsprop_decay, made.momentum) == (0.9, 0.9)
    assert (made.rmsprop_epsilon, made.weight_decay) == (0.001, 1e-5)
    assert (made.label_smoothing, made.moving_average_decay) == (0.1, 0.9999)


def test_digits_train_without_augmentation_or_mirroring():
    made = config.create()
    assert (made.dataset, made.num_classes) == ("digits", 10)
    assert (made.augment, made.flip, made.mixup_alpha) == ("none", False, 0)


def test_coefficients_replace_the_models():
    made = config.create(width_coefficient=0.5, depth_coefficient=2.0)
    assert (made.variant.width, made.variant.depth) == (0.5, 2.0)
    assert (made.variant.name, made.variant.resolution) == ("efficientnet-b0", 224)
    unchanged = config.create(model="efficientnet-b3").variant
    assert (unchanged.width, unchanged.depth) == (1.2, 1.4)
