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
    warning = few_steps(config, train_images=images)
    return told + ([f"warning       {warning}"] if warning else [])


def few_steps(config: Config, *, train_images: int) -> str | None:
    """Says that a run is too short for its averages, batch norm or warm-up, if it is.

    An average of momentum m that begins at a value keeps m^t of it after t steps; the
    averages of weights begin with small momenta, see `ema`.

    Args:
        config: configuration of the run.
        train_images: int, images in an epoch.
    """
    steps = config.steps(config.train_epochs, train_images=train_images)
    reasons = []
    moves = not (config.batch_norm == "frozen" or config.trains_classifier_only)
    if moves and not config.recalibration_batches:
        left = config.variant.batch_norm_momentum**steps
        if left > _MOST_LEFT:
            reasons.append(f"batch norm's averages keep {left:.0%} of their beginning")
    left = math.prod(
        min(config.moving_average_decay, (1 + step) / (10 + step))
        for step in range(min(steps, 100))
    )
    if left > _MOST_LEFT:
        reasons.append(f"the weights' averages keep {left:.0%} of theirs")
    if moves and config.train_batch_size < _LEAST_BATCH:
        reasons.append(
            f"batch norm sees {config.train_batch_size} images at a time, few for its "
            "statistics"
        )
    warmup = config.warmup_steps(train_images=train_images)
    if warmup > steps / 2:
        reasons.append(f"{warmup} steps of warm-up hardly end (--warmup_epochs)")
    if not reasons:
        return None
    return (
        f"in {steps} steps {', and '.join(reasons)}; more --train_epochs, another "
        "--train_batch_size, or --recipe=finetune with --weights helps"
    )
