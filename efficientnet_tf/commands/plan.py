"""--mode=plan: asks the compiler whether a step fits a device, and its speed."""

from typing import Any

from efficientnet_tf import files
from efficientnet_tf.planning import plan, planned_run, report


def run(
    *,
    fields: dict[str, Any],
    chip: str,
    step: str = "train",
    slice: str | None = None,
    effort: float = -1.0,
    dump: str | None = None,
    find_batch: bool = False,
    start: int = planned_run.BATCH,
    steps: int = 8,
) -> dict:
    """Plans a step, or the largest batch, and prints the plan.

    Args:
        fields: the settings that the user chose, by name; None counts as not chosen.
        chip: a name in `chips.CHIPS` or `chips.LOCAL_DEVICES`.
        step: one of `lowering.STEPS`.
        slice: shape of the TPU slice, such as "4x4"; None plans one device alone.
        effort: float from -1 to 1, the effort of the TPU's compiler.
        dump: folder for the step's HLO and tables.
        find_batch: whether to plan the largest batch that fits one device.
        start: int, the batch that the search tries first.
        steps: int, batches tried between powers of two, see `plan.find_batch`.

    Returns:
        The plan as plain data, see `report.single` and `report.batches`.
    """
    if dump:
        files.make_folder(dump, label="--dump=")
    replicas = planned_run.replicas(chip, slice)

    def at(batch: int | None = None) -> plan.Plan:
        config = planned_run.planned(fields, replicas=replicas, batch=batch)
        return plan.plan(
            config, chip=chip, step=step, shape=slice, effort=effort, dump=dump
        )

    if find_batch:
        return report.batches(plan.find_batch(at, start=start, steps=steps))
    return report.single(at(), dump=dump)
