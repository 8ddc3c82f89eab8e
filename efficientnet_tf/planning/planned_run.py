"""Completes the run that a plan is made for, where the user leaves parts open."""

from typing import Any

from efficientnet_tf import config
from efficientnet_tf.planning import chips

BATCH = 128  # images of a device, where no batch size is given


def planned(
    fields: dict[str, Any], *, replicas: int, batch: int | None = None
) -> config.Config:
    """Returns the run to plan, as far as a step is concerned.

    Args:
        fields: the settings that the user chose, by name; None counts as not chosen.
        replicas: devices that share the batch.
        batch: images of one device, in place of the user's.

    Raises:
        ValueError: naming a field and what is allowed.
    """
    fields = dict(fields)
    if fields["dataset"] in (None, "imagenet"):
        fields["dataset"] = "fake"  # the same shapes, and no folder to be there
    for name in ("train_batch_size", "eval_batch_size"):
        if batch or fields[name] is None:
            fields[name] = (batch or BATCH) * replicas
    return config.create(**fields)


def replicas(chip: str, slice: str | None) -> int:
    """Returns how many devices share a plan's batch.

    Args:
        chip: name of a chip.
        slice: topology of a slice, such as "2x4"; None is one chip.
    """
    if chip in chips.LOCAL_DEVICES:
        return 1
    _, count = chips.slice_of(chips.find(chip), slice)
    return count
