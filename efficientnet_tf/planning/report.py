"""Prints plans, and returns them as plain data."""

import dataclasses
from collections.abc import Iterator

from efficientnet_tf import files
from efficientnet_tf.planning import plan

_GIB = 2**30
_PARTS = ("state", "argument", "temp", "output", "code")


def single(one: plan.Plan, *, dump: str | None = None) -> dict:
    """Prints a plan, writes its tables to `dump`, and returns it as plain data.

    Args:
        one: the plan.
        dump: folder to write the tables to; None writes none.
    """
    print(*_lines(one), sep="\n")
    if dump is not None and one.fits:
        _write_tables(one, dump)
        print(f"{'tables':<14}{dump}: layers.csv, largest.csv, at_peak.csv, HLO")
    return dataclasses.asdict(one)


def batches(found: plan.Batches) -> dict:
    """Prints the largest batches that fit, and returns the plans as plain data."""
    if found.with_remat is None:
        print("not even one image fits")
        return found._asdict()
    print(*_lines(found.with_remat), sep="\n")
    plain = found.without_remat.batch if found.without_remat else 0
    print(
        f"{'largest batch':<14}{found.with_remat.batch}; {plain} without recomputation "
        "by the compiler"
    )
    return {
        name: dataclasses.asdict(one) if one else None
        for name, one in found._asdict().items()
    }


def _lines(one: plan.Plan) -> Iterator[str]:
    replicas = f" x {one.replicas} replicas" if one.replicas > 1 else ""
    yield (
        f"{one.model}, {one.step} step, {one.image_size} pixels, batch {one.batch}"
        f"{replicas} on {one.chip} ({one.topology})"
    )
    limit = f"{one.hbm_limit_bytes / _GIB:.2f} GiB"
    if not one.fits:
        yield f"{'fits':<14}no: more than {limit}; try --find_batch or a larger chip"
        return
    parts = ", ".join(
        f"{part} {getattr(one, f'{part}_bytes') / _GIB:.2f}" for part in _PARTS
    )
    yield f"{'fits':<14}yes: {one.hbm_bytes / _GIB:.2f} of {limit} ({parts})"
    # Both FLOPs are counted by `hlo.costs`; the compiler's own count is larger.
    products = sum(of["flops"] for of in one.layers.values())
    share = one.remat_flops / products if products else 0
    yield (
        f"{'recomputed':<14}{one.remat_ops} operations by the compiler, {share:.1%} of "
        "the FLOPs"
    )
    yield (
        f"{'moves':<14}{one.bytes_accessed / 1e9:.1f} GB and computes "
        f"{one.flops / 1e9:.0f} GFLOP a step; all-reduces "
        f"{one.all_reduce_bytes / 1e6:.1f} MB"
    )
    if one.roofline_s is not None:
        yield (
            f"{'at best':<14}{1000 * one.roofline_s:.1f} ms a step, "
            f"{one.roofline_images_per_s:.0f} images/s a chip, bound by {one.bound}: a "
            "bound from peak rates, not a forecast"
        )
    recalled = ", recalled" if one.cached else ""
    effort = "" if one.effort is None else f", at effort {one.effort:g}"
    yield (
        f"{'compiled in':<14}{one.compile_s:.0f} s{recalled}{effort}; lowered in "
        f"{one.lower_s:.0f} s"
    )


def _write_tables(one: plan.Plan, directory: str) -> None:
    layers = [{"layer": name, **of} for name, of in one.layers.items()]
    tables = {"layers": layers, "largest": one.largest, "at_peak": one.at_peak}
    for name, rows in tables.items():
        files.write_csv(f"{directory}/{name}.csv", rows)
