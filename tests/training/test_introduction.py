"""What a run says before it trains."""

import math

import pytest

from efficientnet_tf import config
from efficientnet_tf.data import tfrecord
from efficientnet_tf.training import introduction

FAKE = {"dataset": "fake"}


def few(images, **chosen) -> str | None:
    return introduction.few_steps(config.create(**FAKE | chosen), train_images=images)


def test_few_steps_for_batch_norm_are_told_with_what_it_keeps():
    # 285 photos by the paper's recipe: 350 epochs in batches of 2,048 are 48 steps.
    message = few(285, train_epochs=350.0)
    left = 0.99 ** math.floor(350 * 285 / 2048)
    assert "in 48 steps " in message and f"keep {left:.0%} of" in message
    assert "--train_epochs" in message and "\n" not in message


@pytest.mark.parametrize(
    "chosen",
    [
        {"train_epochs": 2156.0},  # 300 steps keep 4.9%
        {"batch_norm": "frozen"},
        {"freeze": "backbone"},
        {"recalibration_batches": 10},
        {"model": "efficientnetv2-b0"},  # whose momentum is 0.9
    ],
)
def test_enough_steps_or_no_moving_batch_norm_say_nothing(chosen):
    assert few(285, **{"train_epochs": 350.0} | chosen) is None


def test_averages_that_keep_their_beginning_are_told():
    # min(0.9999, (1 + t) / (10 + t)) is 1/10 after one step.
    message = few(2048, train_epochs=1.0, batch_norm="frozen")
    assert "in 1 steps the weights' averages keep 10% of theirs" in message


def test_a_warm_up_that_never_ends_is_told():
    chosen = {"batch_norm": "frozen", "train_epochs": 8.0}
    assert "80 steps of warm-up hardly end" in few(40_000, warmup_epochs=4.1, **chosen)
    assert few(40_000, warmup_epochs=3.9, **chosen) is None


def test_small_batches_are_told():
    chosen = {"train_batch_size": 4, "train_epochs": 100.0}
    assert "batch norm sees 4 images at a time" in few(285, **chosen)
    assert few(285, **chosen | {"batch_norm": "frozen"}) is None


@pytest.mark.parametrize("images", [6, 40, 285, 2934, 50_000])
def test_recipes_for_few_images_say_nothing(images):
    photos = {"dataset": "imagenet", "data_dir": "gs://b/c", "num_train_images": images}
    made = config.create(**photos)
    assert made.recipe == "scratch"
    assert introduction.few_steps(made, train_images=images) is None
    tuned = config.create(**photos, recipe="finetune", weights="imagenet")
    assert introduction.few_steps(tuned, train_images=images) is None


@pytest.mark.parametrize("images", [1, 6, 40, 285, 1440, 2934, 199_999])
def test_the_rhythm_of_a_run_follows_its_images(images):
    made = config.create(
        dataset="imagenet", data_dir="gs://b/c", num_train_images=images
    )
    steps = made.steps(made.train_epochs, train_images=images)
    assert steps >= 9_000
    warmup = made.warmup_steps(train_images=images)
    assert 400 <= warmup <= steps / 10
    for epochs in (made.eval_epochs, made.checkpoint_epochs):
        assert 10 <= steps / made.interval(epochs, train_images=images) <= 50


def test_a_run_tells_its_data_and_what_is_chosen():
    made = config.create(**FAKE, num_train_images=4096)
    train = tfrecord.Split("train", ("a", "b"), 4096)
    validation = tfrecord.Split("validation", ("c",), 10)
    splits = tfrecord.Splits(train, None, validation, notes=("n",))
    told = introduction.lines(made, splits)
    assert told[2].split()[:3] == ["train", "4096", "2"]
    assert told[4] == "note          n"
    assert "recipe paper: 1 epochs in batches of 2048, 224 pixels" in told[5]
    assert told[6].startswith("warning       in 2 steps")
    assert len(told) == 7
