"""Completes the configuration that a plan is made for."""

from typing import Any

from efficientnet_tf import config
from efficientnet_tf.planning import chips

BATCH = 128  # images of a device, if the user gives no batch size


def planned(
    fields: dict[str, Any], *, replicas: int, batch: int | None = None
) -> config.Config:
    """Returns a configuration that has the same step as the user's.

    Args:
        fields: settings by name; None counts as not chosen.
        replicas: int, devices that share the batch.
        batch: int, images of one device in place of the user's batch sizes; None keeps
            those.

    Raises:
        ValueError: naming a field and its allowed values.
    """
    fields = dict(fields)
    if fields["dataset"] in (None, "imagenet"):
        fields["dataset"] = "fake"  # the same shapes, without a folder of data
    for name in ("train_batch_size", "eval_batch_size"):
        if batch or fields[name] is None:
            fields[name] = (batch or BATCH) * replicas
    return config.create(**fields)


def replicas(chip: str, slice: str | None) -> int:
    """Returns how many devices share a plan's batch.

    Args:
        chip: name of a chip.
        slice: chips along each axis of a slice, such as "2x4"; None is one device.
    """
    if chip in chips.LOCAL_DEVICES:
        return 1
    _, count = chips.slice_of(chips.find(chip), slice)
    return count
