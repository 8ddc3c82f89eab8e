"""TPU chips: the compiler's names for them, their memory and their peak rates."""

import dataclasses
import math
import re

LOCAL_DEVICES = ("cpu", "gpu")  # devices of this machine that a plan can be made for
_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One TPU generation. One replica runs on one device."""

    name: str
    topology: str  # the smallest slice, as libtpu names it
    most_chips: int  # of the largest slice
    devices_per_chip: int
    hbm_bytes: int  # memory of a device that the compiler lets a program use
    flops: float  # peak FLOPs a second of a device, in bfloat16
    bytes_per_s: float  # peak bandwidth of a device's memory

    def seconds(self, *, flops: float, bytes_accessed: float) -> float:
        """Returns the least seconds that a device takes for a step.

        Args:
            flops: float, the step's floating-point operations.
            bytes_accessed: float, the bytes that it reads from and writes to memory.
        """
        return max(flops / self.flops, bytes_accessed / self.bytes_per_s)


def _chip(
    name: str,
    topology: str,
    *,
    most: int,
    per_chip: int,
    hbm_gib: float,
    tflops: float,
    gb_per_s: float,
) -> Chip:
    return Chip(
        name=name,
        topology=topology,
        most_chips=most,
        devices_per_chip=per_chip,
        hbm_bytes=round(hbm_gib * _GIB),
        flops=tflops * 1e12 / per_chip,
        bytes_per_s=gb_per_s * 1e9 / per_chip,
    )


# Usable memory of a device: as libtpu 0.0.42.1's compiler reports it. Peak rates of a
# chip and the largest slice: cloud.google.com/tpu/docs, the page "TPU ..." of each
# generation.
CHIPS = {
    chip.name: chip
    for chip in (
        _chip(
            "v2", "v2:2x2", most=256, per_chip=2, hbm_gib=7.48, tflops=45, gb_per_s=700
        ),
        _chip(
            "v3",
            "v3:2x2",
            most=1024,
            per_chip=2,
            hbm_gib=15.48,
            tflops=123,
            gb_per_s=900,
        ),
        _chip(
            "v4",
            "v4:2x2x1",
            most=4096,
            per_chip=2,
            hbm_gib=15.25,
            tflops=275,
            gb_per_s=1228,
        ),
        _chip(
            "v5e",
            "v5e:2x2",
            most=256,
            per_chip=1,
            hbm_gib=15.75,
            tflops=197,
            gb_per_s=819,
        ),
        _chip(
            "v5p",
            "v5p:2x2x1",
            most=6144,
            per_chip=1,
            hbm_gib=95.74,
            tflops=459,
            gb_per_s=2765,
        ),
        _chip(
            "v6e",
            "v6e:2x2",
            most=256,
            per_chip=1,
            hbm_gib=31.25,
            tflops=918,
            gb_per_s=1640,
        ),
    )
}


def slice_of(chip: Chip, shape: str | None) -> tuple[str, int]:
    """Returns the topology to compile for, and how many of its devices run the step.

    Args:
        chip: the chip that the slice is made of.
        shape: chips along each axis of a slice, such as "4x4", whose devices all run
            the step; None is one device of the smallest slice.

    Raises:
        ValueError: if `shape` is not one number of chips for each axis.
    """
    if shape is None:
        return chip.topology, 1
    axes = chip.topology.count("x") + 1
    sizes = [int(s) for s in shape.split("x") if re.fullmatch("[0-9]{1,4}", s)]
    if len(sizes) != axes or shape.count("x") != axes - 1 or 0 in sizes:
        example = chip.topology.split(":")[1]
        raise ValueError(
            f"slice={shape}: allowed for {chip.name} are {axes} numbers of chips, such "
            f"as {example}"
        )
    chips = math.prod(sizes)
    if chips > chip.most_chips:
        raise ValueError(
            f"slice={shape}: has {chips} chips; allowed for {chip.name} are "
            f"{chip.most_chips} at most"
        )
    return f"{chip.name}:{shape}", chips * chip.devices_per_chip


def find(name: str) -> Chip:
    """Finds a chip by name; raises ValueError with the known names otherwise."""
    if name not in CHIPS:
        raise ValueError(f"chip={name}: allowed are {', '.join(CHIPS)}, cpu and gpu")
    return CHIPS[name]
