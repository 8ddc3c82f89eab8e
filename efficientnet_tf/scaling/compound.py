"""Compound scaling (paper section 3.3): one number makes any network larger.

Depth grows by alpha ** phi, width by beta ** phi, resolution by gamma ** phi, and FLOPS
by about (alpha * beta**2 * gamma**2) ** phi.
"""

import dataclasses
import math
import numbers

from efficientnet_tf import expansion
from efficientnet_tf.variants import Variant, get_variant


@dataclasses.dataclass(frozen=True)
class Coefficients:
    """The growth of each dimension; the paper's values by default.

    Raises:
        ValueError: for one below 1, which would shrink what it should scale
            (equation 3).
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
        """The factor of FLOPS for each phi; the paper aims at 2 and takes 1.92."""
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
    """Scales a network in all three dimensions; see `multiply` for the errors.

    Args:
        base: a name or a `Variant`: any family, or `expansion.customize` with block
            strings of your own.
        phi: 0 gives the base; may be a fraction, or negative to shrink.
        coefficients: growth of depth, width and resolution.
        resolution_step: pixels, see `multiply`.

    Returns:
        A variant to count, build or train, named after the base and phi. Filters are
        rounded to multiples of 8 and repeats up, as for every variant.
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
    """Scales each dimension by a factor of its own, such as one alone (figure 3).

    Args:
        base: a name or a `Variant`.
        depth: multiplies the base's own depth coefficient.
        width: multiplies the base's own width coefficient.
        resolution: multiplies the base's image size.
        resolution_step: the image size becomes the nearest multiple of it; the size
            of the base itself stays.
        name: name of the result; None makes "efficientnet-b0-d2-w1-r1.3".

    Raises:
        ValueError: naming what is wrong.
    """
    base = get_variant(base)
    factors = {"depth": depth, "width": width, "resolution": resolution}
    for key, value in factors.items():
        if not (isinstance(value, numbers.Real) and 0 < value < math.inf):
            raise ValueError(f"{key}={value}: allowed is more than 0")
    scaled = expansion.customize(
        base,
        width=base.width * width,
        # Rounded to the decimal that is meant: just above 1.21 makes one repeat more.
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

    257.6 becomes 256, as the published walk-throughs of the method have it.

    Args:
        pixels: float, the size to round.
        step: int, from 1.
    """
    if not isinstance(step, numbers.Integral) or step < 1:
        raise ValueError(f"resolution_step={step}: allowed are whole numbers from 1")
    return max(1, math.floor(pixels / step + 0.5)) * step


@dataclasses.dataclass(frozen=True)
class Dimensions:
    """A network as three numbers, for the arithmetic of the method alone."""

    layers: int
    filters: int
    resolution: int  # pixels

    def scaled(self, phi: float, *, coefficients: Coefficients = PAPER) -> "Dimensions":
        """Scales layers and filters to whole numbers, and the resolution.

        18 layers, 64 filters, 224 pixels become 22, 70 and 256 at phi = 1.

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
        """Returns the FLOPS over another network's: proportional to d * w**2 * r**2."""
        return (
            self.layers
            / base.layers
            * (self.filters / base.filters) ** 2
            * (self.resolution / base.resolution) ** 2
        )
