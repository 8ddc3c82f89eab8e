"""Compound scaling (paper section 3.3): one number, phi, scales any network.

Depth grows by alpha ** phi, width by beta ** phi, resolution by gamma ** phi, and FLOPS
grow by about (alpha * beta**2 * gamma**2) ** phi.
"""

import dataclasses
import math
import numbers

from efficientnet_tf import expansion
from efficientnet_tf.variants import Variant, get_variant


@dataclasses.dataclass(frozen=True)
class Coefficients:
    """The growth of each dimension for each phi; the paper's values by default.

    Raises:
        ValueError: if a coefficient is below 1; equation 3 does not allow it.
    """

    alpha: float = 1.2  # depth
    beta: float = 1.1  # width
    gamma: float = 1.15  # resolution

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not (isinstance(value, numbers.Real) and 1 <= float(value) < math.inf):
                raise ValueError(f"{name}={value}: allowed are numbers from 1")

    @property
    def flops_factor(self) -> float:
        """Factor by which FLOPS grow for each phi; the paper aims at 2 and has 1.92."""
        return self.alpha * self.beta**2 * self.gamma**2

    def at(self, phi: float) -> tuple[float, float, float]:
        """Returns the multipliers of depth, width and resolution."""
        return self.alpha**phi, self.beta**phi, self.gamma**phi


PAPER = Coefficients()


def scale(
    base: str | Variant,
    phi: float,
    *,
    coefficients: Coefficients = PAPER,
    resolution_step: int = 8,
) -> Variant:
    """Scales a network in all three dimensions; raises what `multiply` raises.

    Args:
        base: name of a variant of any family, or a `Variant`, such as
            `expansion.customize` makes from block strings of your own.
        phi: float; 0 gives the base, a negative number a smaller network.
        coefficients: growth of depth, width and resolution.
        resolution_step: int from 1; the image size becomes the nearest multiple of it.

    Returns:
        A variant to count, build or train, named after the base and phi. As for every
        variant, filters are rounded to multiples of 8, and repeats are rounded up.
    """
    if not (isinstance(phi, numbers.Real) and math.isfinite(phi)):
        raise ValueError(f"phi={phi}: allowed are finite numbers")
    depth, width, resolution = coefficients.at(phi)
    return multiply(
        base,
        depth=depth,
        width=width,
        resolution=resolution,
        resolution_step=resolution_step,
        name=f"{get_variant(base).name}-phi{phi:g}",
    )


def multiply(
    base: str | Variant,
    *,
    depth: float = 1.0,
    width: float = 1.0,
    resolution: float = 1.0,
    resolution_step: int = 8,
    name: str | None = None,
) -> Variant:
    """Scales each dimension by a factor of its own, or only one of them (figure 3).

    Args:
        base: name of a variant, or a `Variant`.
        depth: float above 0, factor of the base's depth coefficient.
        width: float above 0, factor of the base's width coefficient.
        resolution: float above 0, factor of the base's image size; 1 keeps the size.
        resolution_step: int from 1; any other size becomes the nearest multiple of it.
        name: name of the result; None makes one, as "efficientnet-b0-d2-w1-r1.3".

    Raises:
        ValueError: naming the wrong argument.
    """
    base = get_variant(base)
    factors = {"depth": depth, "width": width, "resolution": resolution}
    for key, value in factors.items():
        if not (isinstance(value, numbers.Real) and 0 < value < math.inf):
            raise ValueError(f"{key}={value}: allowed is more than 0")
    scaled = expansion.customize(
        base,
        width=base.width * width,
        # Rounded to 12 digits: in floats 1.1 * 1.1 is just above 1.21, which can add a
        # repeat.
        depth=float(f"{base.depth * depth:.12g}"),
    )
    return dataclasses.replace(
        scaled,
        name=name or f"{base.name}-d{depth:g}-w{width:g}-r{resolution:g}",
        resolution=base.resolution
        if resolution == 1
        else round_resolution(base.resolution * resolution, resolution_step),
    )


def round_resolution(pixels: float, step: int = 8) -> int:
    """Rounds to the nearest multiple of `step`, at least `step` itself.

    257.6 becomes 256, as in the published walk-throughs of the method.

    Args:
        pixels: float, the size to round.
        step: int from 1, in pixels.
    """
    if not isinstance(step, numbers.Integral) or step < 1:
        raise ValueError(f"resolution_step={step}: allowed are whole numbers from 1")
    return max(1, math.floor(pixels / step + 0.5)) * step


@dataclasses.dataclass(frozen=True)
class Dimensions:
    """A network as three numbers: enough for the method's arithmetic."""

    layers: int
    filters: int
    resolution: int  # pixels

    def scaled(self, phi: float, *, coefficients: Coefficients = PAPER) -> "Dimensions":
        """Scales all three; layers and filters become the nearest whole numbers.

        18 layers, 64 filters and 224 pixels become 22, 70 and 256 at phi = 1.

        Args:
            phi: float, the compound coefficient.
            coefficients: the growth of each dimension.
        """
        depth, width, resolution = coefficients.at(phi)
        return Dimensions(
            math.floor(self.layers * depth + 0.5),
            math.floor(self.filters * width + 0.5),
            round_resolution(self.resolution * resolution) if phi else self.resolution,
        )

    def flops_ratio(self, base: "Dimensions") -> float:
        """Returns the FLOPS divided by another network's, by d * w**2 * r**2."""
        return (
            self.layers
            / base.layers
            * (self.filters / base.filters) ** 2
            * (self.resolution / base.resolution) ** 2
        )
