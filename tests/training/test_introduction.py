"""What a run says before it trains."""

import math

import pytest

from efficientnet_tf import config
from efficientnet_tf.data import tfrecord
from efficientnet_tf.training import introduction

FAKE = {"dataset": "fake"}
# Numbers alone decide; nothing in the bucket is read.
PAPER = {"dataset": "imagenet", "data_dir": "gs://b/c", "recipe": "paper"}


def few(images, **chosen) -> list[str]:
    made = config.create(**PAPER | {"num_train_images": images} | chosen)
    return introduction.warnings(made, train_images=images)


def test_few_steps_for_batch_norm_are_told_with_what_it_keeps():
    # 285 photos by the paper's recipe: 350 epochs in batches of 2,048 are 48 steps.
    (message,) = few(285, train_epochs=350.0)
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
    assert few(285, **{"train_epochs": 350.0} | chosen) == []


def test_averages_that_keep_their_beginning_are_told():
    # min(0.9999, (1 + t) / (10 + t)) is 1/10 after one step.
    chosen = {"train_epochs": 1.0, "batch_norm": "frozen", "warmup_epochs": 0.0}
    (message,) = few(2048, **chosen)
    assert "in 1 steps the weights' averages keep 10% of their beginning" in message
    assert "--moving_average_decay" in message


def test_a_warm_up_that_hardly_ends_is_told_with_the_rate_it_reaches():
    chosen = {"batch_norm": "frozen", "train_epochs": 8.0}
    (message,) = few(40_000, warmup_epochs=4.1, **chosen)  # 156 steps
    assert "rises in 80 of 156 steps, up to 100% of its peak" in message
    (message,) = few(40_000, warmup_epochs=16.0, **chosen)
    assert "rises in 312 of 156 steps, up to 50% of its peak" in message
    assert few(40_000, warmup_epochs=3.9, **chosen) == []


def test_each_reason_is_a_warning_of_its_own():
    told = few(2048, train_epochs=1.0, train_batch_size=4, warmup_epochs=1.0)
    assert len(told) == 2  # 512 steps are enough for both averages
    assert len(few(2048, train_epochs=1.0, warmup_epochs=1.0)) == 3


def test_small_batches_are_told():
    chosen = {"train_batch_size": 4, "train_epochs": 100.0}
    (message,) = few(285, **chosen)
    assert "batch norm sees 4 images at a time" in message
    assert few(285, **chosen | {"batch_norm": "frozen"}) == []


@pytest.mark.parametrize("images", [6, 40, 285, 2934, 50_000])
def test_recipes_for_few_images_say_nothing(images):
    photos = {"dataset": "imagenet", "data_dir": "gs://b/c", "num_train_images": images}
    made = config.create(**photos)
    assert made.recipe == "scratch"
    assert introduction.warnings(made, train_images=images) == []
    tuned = config.create(**photos, recipe="finetune", weights="imagenet")
    assert introduction.warnings(tuned, train_images=images) == []


def test_other_default_runs_say_nothing():
    digits = config.create(dataset="digits")
    assert introduction.warnings(digits, train_images=1347) == []
    imagenet = config.create(dataset="imagenet", data_dir="gs://b/c")
    assert introduction.warnings(imagenet, train_images=1_281_167) == []
    fake = config.create(**FAKE)  # one epoch, for its time
    assert introduction.warnings(fake, train_images=1_281_167) == []


@pytest.mark.parametrize("images", [1, 6, 40, 285, 1440, 2934, 199_999])
def test_the_rhythm_of_a_run_follows_its_images(images):
    made = config.create(
        dataset="imagenet", data_dir="gs://b/c", num_train_images=images
    )
    steps = made.steps(made.train_epochs, train_images=images)
    assert steps >= min(9_000, 1_000 * images // 16)
    warmup = made.warmup_steps(train_images=images)
    assert warmup == pytest.approx(steps / 20, rel=0.05)
    for epochs in (made.eval_epochs, made.checkpoint_epochs):
        assert 10 <= steps / made.interval(epochs, train_images=images) <= 50


def test_a_run_tells_its_data_and_what_is_chosen():
    made = config.create(**PAPER, num_train_images=4096, train_epochs=1.0)
    train = tfrecord.Split("train", ("a", "b"), 4096)
    validation = tfrecord.Split("validation", ("c",), 10)
    splits = tfrecord.Splits(train, None, validation, notes=("n",))
    told = introduction.lines(made, splits)
    assert told[2].split()[:3] == ["train", "4096", "2"]
    assert told[4] == "note          n"
    assert "recipe paper: 1 epochs in batches of 2048, 224 pixels" in told[5]
    assert told[6].startswith("warning       in 2 steps")
    # Batch norm keeps 98% of its beginning, and the warm-up has 10 steps.
    assert [line.split()[0] for line in told[6:]] == ["warning"] * 2
