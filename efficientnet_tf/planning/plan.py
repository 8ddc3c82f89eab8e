"""Plans a run's step: whether it fits a device, and how fast it can be at most."""

import dataclasses
import functools
import time
import typing
from collections.abc import Callable

from efficientnet_tf import files
from efficientnet_tf.config import Config
from efficientnet_tf.hardware import devices, packages
from efficientnet_tf.planning import (
    cached_compiler,
    chips,
    local_compiler,
    lowering,
    own_process,
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """The compiler's plan of one replica's step; sizes are of one device's memory."""

    model: str
    step: str
    chip: str
    topology: str
    replicas: int
    batch: int  # images in one replica's step
    image_size: int
    fits: bool
    hbm_limit_bytes: int
    hbm_bytes: int | None = None  # None if it does not fit a TPU, like all to `bound`
    argument_bytes: int | None = None  # the batch, and variables that are only read
    state_bytes: int | None = None  # variables that are updated in place
    output_bytes: int | None = None
    temp_bytes: int | None = None
    code_bytes: int | None = None
    peak_bytes: int | None = None  # most bytes that are alive at once, before packing
    remat_ops: int | None = None  # operations that are done twice to save memory
    remat_flops: float | None = None
    flops: float | None = None
    bytes_accessed: float | None = None
    all_reduce_bytes: int | None = None
    roofline_s: float | None = None  # lower bound of the step's seconds
    roofline_images_per_s: float | None = None  # upper bound for one chip
    bound: str | None = None  # "memory" or "compute", whichever takes longer
    lower_s: float | None = None
    compile_s: float | None = None
    effort: float | None = None
    cached: bool | None = None
    layers: dict = dataclasses.field(default_factory=dict)  # FLOPs, bytes, seconds
    largest: tuple = ()  # the instructions that move most bytes
    at_peak: tuple = ()  # the largest values when memory is fullest
    message: str | None = None  # the compiler's message if the step does not fit


def plan(
    config: Config,
    *,
    chip: str,
    step: str = "train",
    shape: str | None = None,
    effort: float = cached_compiler.EFFORT,
    dump: str | None = None,
    make_model: lowering.MakeModel | None = None,
) -> Plan:
    """Compiles a run's step for a chip, which need not be in this machine.

    Args:
        config: configuration of the run; its batch sizes are for the whole slice.
        chip: a name in `chips.CHIPS` or `chips.LOCAL_DEVICES`.
        step: one of `lowering.STEPS`.
        shape: shape of the slice, such as "4x4"; None plans one device by itself.
        effort: float from -1 to 1, the compiler's optimisation effort.
        dump: folder to write the step's HLO to, for TPUs before optimisation too; it
            compiles even if a report is cached. None writes nothing.
        make_model: builds another model in place of the run's, from pixels to float32
            logits; None builds the run's.

    Raises:
        ValueError: naming the setting that is not allowed, or the missing package.
    """
    packages.check_compiles_here()
    if chip in chips.LOCAL_DEVICES:
        if shape is not None:
            raise ValueError(f"slice={shape}: allowed is none for {chip}")
        return own_process.call(
            _plan_here, config, chip, step=step, dump=dump, make_model=make_model
        )
    of = chips.find(chip)
    topology, replicas = chips.slice_of(of, shape)
    cached_compiler.check_ready()  # before the step is lowered
    batch, module, lower_s = lowered(config, step, replicas, make_model)
    if dump is not None:
        files.write_whole(f"{dump}/step.hlo.pb", module)
    report = cached_compiler.compile_for(
        of, module, topology=topology, replicas=replicas, effort=effort, dump=dump
    )
    described = Plan(
        model=config.variant.name,
        step=step,
        chip=chip,
        topology=topology,
        replicas=replicas,
        batch=batch,
        image_size=_image_size(config, step),
        fits="error" not in report,
        hbm_limit_bytes=of.hbm_bytes,
        lower_s=lower_s,
        effort=effort,
        cached=report["cached"],
        message=report.get("message"),
    )
    if not described.fits:
        return described
    return dataclasses.replace(
        described, **_findings(report), **_bounds(report, of, batch)
    )


@functools.lru_cache(maxsize=8)  # several chips compile the same lowered step
def lowered(
    config: Config, step: str, replicas: int, make_model: lowering.MakeModel | None
) -> tuple[int, bytes, float]:
    """Returns a replica's batch, the step's HLO and the seconds that lowering took.

    Args:
        config: configuration of the run.
        step: "train", "eval" or "serve".
        replicas: int, devices that share the batch.
        make_model: builds another model in place of the run's; None builds the run's.
    """
    began = time.monotonic()
    batch, module = own_process.call(_lower, config, step, replicas, make_model)
    return batch, module, time.monotonic() - began


def _lower(
    config: Config, step: str, replicas: int, make_model: lowering.MakeModel | None
) -> tuple[int, bytes]:
    devices.make_strategy("cpu")  # hides accelerators: other processes may use them
    prepared = lowering.prepare(
        config, step=step, replicas=replicas, make_model=make_model
    )
    return prepared.batch, lowering.lower(prepared)


def _image_size(config: Config, step: str) -> int:
    return config.train_size if step == "train" else config.image_size


def _plan_here(
    config: Config,
    device: str,
    *,
    step: str,
    dump: str | None,
    make_model: lowering.MakeModel | None,
) -> Plan:
    """Plans for a device of this machine; its peak rates are not known."""
    if device == "cpu":
        devices.make_strategy("cpu")  # hides accelerators
    limit = local_compiler.memory_bytes(device)
    prepared = lowering.prepare(config, step=step, device=device, make_model=make_model)
    report = local_compiler.compile_here(prepared, device, dump=dump)
    found = _findings(report)
    return Plan(
        model=config.variant.name,
        step=step,
        chip=device,
        topology=f"{device}:0",
        replicas=1,
        batch=prepared.batch,
        image_size=_image_size(config, step),
        fits=found["hbm_bytes"] <= limit,
        hbm_limit_bytes=limit,
        lower_s=0.0,  # `compile_s` includes it
        cached=False,
        layers=report["layers"],
        **found,
    )


def _findings(report: dict) -> dict:
    """Picks sizes and counts from a compiler's report."""
    state = report["alias_bytes"]
    memory = {
        "argument_bytes": report["argument_bytes"] - state,
        "state_bytes": state,
        "output_bytes": report["output_bytes"] - state,
        "temp_bytes": report["temp_bytes"],
        "code_bytes": report["code_bytes"],
    }
    same = ("peak_bytes", "remat_ops", "remat_flops", "flops", "bytes_accessed")
    return {
        **memory,
        **{name: report[name] for name in (*same, "all_reduce_bytes", "compile_s")},
        "hbm_bytes": sum(memory.values()),
        "largest": tuple(report["largest"]),
        "at_peak": tuple(report["at_peak"]),
    }


def _bounds(report: dict, chip: chips.Chip, batch: int) -> dict:
    """Computes bounds of a chip's speed, in all and by layer."""
    flops, moved = report["flops"], report["bytes_accessed"]
    seconds = chip.seconds(flops=flops, bytes_accessed=moved)
    by_memory = chip.seconds(flops=0, bytes_accessed=moved)
    layers = {
        name: of
        | {"seconds": chip.seconds(flops=of["flops"], bytes_accessed=of["bytes"])}
        for name, of in report["layers"].items()
    }
    return {
        "roofline_s": seconds,
        "roofline_images_per_s": batch * chip.devices_per_chip / seconds,
        "bound": "memory" if by_memory >= seconds else "compute",
        "layers": layers,
    }


class Batches(typing.NamedTuple):
    """Plans of the largest batches of a device; None where not even 1 image fits."""

    without_remat: Plan | None
    with_remat: Plan | None


def find_batch(at: Callable[[int], Plan], *, start: int, steps: int = 8) -> Batches:
    """Finds the largest batches that fit without recomputation, and with it.

    Args:
        at: returns the plan of a batch (int, images of one device).
        start: int from 1, the batch to try first.
        steps: int, a power of two: candidate batches from each power of two to the
            next. With 1 only the powers are tried, with 8 also 9, 10, ... 15, 18, 20.
    """
    tried: dict[int, Plan] = {}

    def attempt(index: int) -> Plan:
        batch = batch_at(index, steps)
        if batch not in tried:
            tried[batch] = at(batch)
        return tried[batch]

    first = index_of(start, steps)
    while first and not attempt(first).fits:
        first = max(0, first - steps)
    if not attempt(first).fits:
        return Batches(None, None)
    guess = index_of(_guess(attempt(first)), steps)
    plain = _largest(lambda index: attempt(index).remat_ops == 0, guess)
    whole = _largest(lambda index: attempt(index).fits, first if plain < 0 else plain)
    return Batches(attempt(plain) if plain >= 0 else None, attempt(whole))


def batch_at(index: int, steps: int) -> int:
    """Returns a candidate batch; there are `steps` from each power of two to the next.

    Args:
        index: int from 0; larger indexes have batches at least as large.
        steps: int, a power of two.
    """
    power, step = divmod(index, steps)
    return 2**power * (steps + step) // steps


def index_of(batch: int, steps: int) -> int:
    """Returns the first index of the largest candidate that is at most a batch.

    Args:
        batch: int from 1.
        steps: int, a power of two.
    """
    power = batch.bit_length() - 1
    return power * steps + (batch - 2**power) * steps // 2**power


def _guess(fitting: Plan) -> int:
    """Guesses the batch that fills the memory; all but state and code grow with it."""
    growing = fitting.temp_bytes + fitting.argument_bytes + fitting.output_bytes
    fixed = fitting.state_bytes + fitting.code_bytes
    room = fitting.hbm_limit_bytes - fixed
    return max(1, int(fitting.batch * room / growing))


def _largest(fits: Callable[[int], bool], start: int) -> int:
    """Finds the largest number that fits, or -1; assumes that all below it fit too."""
    low, high = -1, None
    at, stride, before = start, 1, 0
    while low < 0 or high is None:
        if fits(at):
            low, at = at, at + stride
        elif at == 0:
            return -1
        else:
            high, at = at, max(0, at - stride)
        stride, before = stride + before, stride  # 1, 1, 2, 3, 5; most starts are close
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
