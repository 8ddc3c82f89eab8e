"""What a run says before it trains: the data that it found and the settings chosen."""

import math

from efficientnet_tf.config import Config
from efficientnet_tf.data import tfrecord
from efficientnet_tf.data.inventory import Inventory, Part

_MOST_LEFT = 0.05  # of a value at the start, in an average at the end
_LEAST_BATCH = 8  # images; below, batch norm's statistics are mostly noise


def inventory(config: Config, splits: tfrecord.Splits) -> Inventory:
    """Returns what the data of a run holds, and what was left out.

    Args:
        config: configuration of the run.
        splits: the splits of its data.
    """
    there = (splits.train, splits.minival, splits.validation)
    parts = []
    for split in filter(None, there):
        counts = split.class_counts()
        files = len(split.files)
        known = None if counts is None else tuple(counts)
        parts.append(Part(split.name, split.images, files, known))
    return Inventory(
        config.dataset,
        config.data_dir,
        tuple(parts),
        splits.class_names,
        splits.left_out,
        splits.notes,
    )


def lines(config: Config, splits: tfrecord.Splits) -> list[str]:
    """Returns the lines that a run begins with.

    Args:
        config: configuration of the run.
        splits: the splits of its data.
    """
    images = splits.train_images
    told = inventory(config, splits).lines()
    warmup = config.warmup_steps(train_images=images)
    every = config.interval(config.eval_epochs, train_images=images)
    told.append(
        f"chosen        recipe {config.recipe}: {config.train_epochs:g} epochs in "
        f"batches of {config.train_batch_size}, {config.image_size} pixels, "
        f"{config.optimizer}, warm-up {warmup} steps, evaluation each {every} steps; "
        "--mode=show tells all settings"
    )
    return told + [f"warning       {w}" for w in warnings(config, train_images=images)]


def warnings(config: Config, *, train_images: int) -> list[str]:
    """Says of what a run is too short or its batch too small, a line for each.

    An average of momentum m that begins at a value keeps m^t of it after t steps; the
    averages of weights begin with small momenta, see `ema`. Steps on `fake` data are
    taken for their time alone.

    Args:
        config: configuration of the run.
        train_images: int, images in an epoch.
    """
    if config.dataset == "fake":
        return []
    steps = config.steps(config.train_epochs, train_images=train_images)
    warmup = config.warmup_steps(train_images=train_images)
    told = [*_batch_norm(config, steps), *_averages(config, steps)]
    if warmup > steps / 2:
        told.append(
            f"the learning rate rises in {warmup} of {steps} steps, up to "
            f"{min(1.0, steps / warmup):.0%} of its peak: fewer --warmup_epochs or "
            "more --train_epochs help"
        )
    return told


def _batch_norm(config: Config, steps: int) -> list[str]:
    """Says how batch norm's statistics lag behind, or what makes them noise."""
    if config.batch_norm == "frozen" or config.trains_classifier_only:
        return []
    told = []
    left = config.variant.batch_norm_momentum**steps
    if left > _MOST_LEFT and not config.recalibration_batches:
        told.append(
            f"in {steps} steps batch norm's averages keep {left:.0%} of their "
            "beginning: more --train_epochs, a smaller --train_batch_size, "
            "--recalibration_batches=10, or --recipe=finetune with --weights helps"
        )
    if config.train_batch_size < _LEAST_BATCH:
        told.append(
            f"batch norm sees {config.train_batch_size} images at a time, few for its "
            "statistics: a larger --train_batch_size or --recipe=finetune with "
            "--weights helps"
        )
    return told


def _averages(config: Config, steps: int) -> list[str]:
    """Says how the weights' averages lag behind."""
    left = math.prod(
        min(config.moving_average_decay, (1 + step) / (10 + step))
        for step in range(min(steps, 100))
    )
    if left <= _MOST_LEFT:
        return []
    return [
        f"in {steps} steps the weights' averages keep {left:.0%} of their beginning: "
        "more --train_epochs or --moving_average_decay=0 helps"
    ]
