"""Which run a plan is of, where the user leaves part of it open; no TensorFlow."""

from typing import Any

from efficientnet_tf import config

BATCH = 128  # images of a device, where no batch size is given


def planned(
    fields: dict[str, Any], *, replicas: int, batch: int | None = None
) -> config.Config:
    """The run that a plan is of, as far as a step is concerned.

    Args:
        fields: of Config, as the user chose them; None where not.
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
