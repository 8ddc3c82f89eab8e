"""Finds the largest network on a compound curve that a budget allows."""

import dataclasses
import math
import numbers
from collections.abc import Callable, Iterator

from efficientnet_tf import counting
from efficientnet_tf.scaling import compound
from efficientnet_tf.variants import Variant, get_variant

_UNITS = {
    "macs": "MACs",
    "params": "parameters",
    "latency_ms": "ms",
    "tpu_memory": "bytes",
}
_MEASURED = ("latency_ms", "tpu_memory")
_CLOSE = 0.99  # of a budget in MACs or parameters; a fit this near ends the search
_MEASUREMENTS = 6  # two or three suffice on a quiet machine
_TOLERANCE = 0.05  # of a measured budget; repeated measurements differ by as much


@dataclasses.dataclass(frozen=True)
class Fit:
    """A network and its cost, in the budget's unit."""

    variant: Variant
    phi: float
    cost: float
    budget: float
    unit: str


def fit_to_budget(
    base: str | Variant,
    *,
    macs: float | None = None,
    params: float | None = None,
    latency_ms: float | None = None,
    tpu_memory: float | None = None,
    coefficients: compound.Coefficients = compound.PAPER,
    resolution_step: int = 2,
    measure: Callable[[Variant], float] | None = None,
) -> Fit:
    """Scales a network up or down to one budget.

    Rounded filters, repeats and feature maps make the curve a staircase; width and
    image size leave it a little to come near the budget.

    Args:
        base: a name or a `Variant`.
        macs: multiply-accumulates of one image, with 1,000 classes.
        params: parameters, with 1,000 classes.
        latency_ms: milliseconds an image, as `measure` tells them. The fit is the one
            measured within 5% of it, else the nearest of six.
        tpu_memory: bytes of a TPU for a train step, as `measure` tells them. The fit
            is found as for latency, and is at most the budget if any of the six is.
        coefficients: the curve's.
        resolution_step: the image size becomes a multiple of it.
        measure: from a `Variant` to its latency or memory: `measures.latency_ms` or
            `measures.tpu_memory` of `experiments`, or one of a phone or another chip.

    Returns:
        A `Fit`; MACs and parameters are at most the budget.

    Raises:
        ValueError: if not exactly one budget is given, if `measure` is missing, or if
            the smallest network that can be built exceeds the budget.
    """
    budgets = {"macs": macs, "params": params, "latency_ms": latency_ms}
    budgets["tpu_memory"] = tpu_memory
    given = {name: value for name, value in budgets.items() if value is not None}
    if len(given) != 1:
        raise ValueError(f"budgets given: {', '.join(given) or 'none'}: allowed is one")
    ((name, budget),) = given.items()
    if not (isinstance(budget, numbers.Real) and 0 < budget < math.inf):
        raise ValueError(f"{name}={budget}: allowed is more than 0")
    curve = _Curve(get_variant(base), coefficients, resolution_step)
    if name not in _MEASURED:
        return curve.fit(name, budget)
    if measure is None:
        raise ValueError(
            f"{name}={budget}: measure is missing; experiments.measures.{name} is one"
        )
    return _fit_measured(curve, name, budget, measure)


@dataclasses.dataclass(frozen=True)
class _Curve:
    """The networks that a base can be scaled to."""

    base: Variant
    coefficients: compound.Coefficients
    resolution_step: int

    def fit(self, name: str, budget: float) -> Fit:
        """Finds the network nearest to the curve within 1% below the budget.

        If there is none, the largest nearby.
        """
        fits = []
        # The shape just below the budget comes up to it, the one above comes down.
        for phi in self._crossing(name, budget):
            for variant in self._neighbours(self._at(phi), sizes=name != "params"):
                cost = _cost(variant, name)
                if cost <= budget:
                    fits.append(Fit(variant, round(phi, 3), cost, budget, _UNITS[name]))
                    if cost >= _CLOSE * budget:
                        return fits[-1]
        return max(fits, key=lambda fit: fit.cost)

    def _crossing(self, name: str, budget: float) -> tuple[float, float]:
        """Finds the phi of the last network within the budget and the next one."""
        low, high = -24.0, 24.0  # 1.92**24 is 6 million
        if _cost(self._at(low), name) > budget:
            raise ValueError(
                f"{name}={budget:g}: the smallest {self.base.name} takes "
                f"{_cost(self._at(low), name):,} {_UNITS[name]}"
            )
        while high - low > 1e-4:
            middle = (low + high) / 2
            if _cost(self._at(middle), name) <= budget:
                low = middle
            else:
                high = middle
        return low, high

    def _at(self, phi: float) -> Variant:
        return compound.scale(
            self.base,
            phi,
            coefficients=self.coefficients,
            resolution_step=self.resolution_step,
        )

    def _neighbours(self, variant: Variant, *, sizes: bool) -> Iterator[Variant]:
        """Yields widths up to 10% and image sizes up to 12.5% off, nearest first."""
        step, size = self.resolution_step, variant.resolution
        reach = size // (8 * step) if sizes else 0
        shifts = [
            (width / 500, pixels * step)
            for width in range(-50, 51)
            for pixels in range(-reach, reach + 1)
        ]
        shifts.sort(key=lambda shift: abs(shift[0]) + abs(shift[1]) / size)
        for width, pixels in shifts:
            yield dataclasses.replace(
                variant, width=variant.width * (1 + width), resolution=size + pixels
            )


def _cost(variant: Variant, name: str) -> int:
    return getattr(counting.count(variant), name)


def _fit_measured(
    curve: _Curve, name: str, budget: float, measure: Callable[[Variant], float]
) -> Fit:
    """Fits MACs, measures their cost, and corrects the MACs by it."""
    macs = counting.count(curve.base).macs * budget / measure(curve.base)
    fits = []
    for _ in range(_MEASUREMENTS):
        fit = curve.fit("macs", macs)
        cost = measure(fit.variant)
        fits.append(Fit(fit.variant, fit.phi, cost, budget, _UNITS[name]))
        if _is_near(fits[-1], name):
            return fits[-1]
        macs *= budget / cost
    within = [fit for fit in fits if fit.cost <= budget or name == "latency_ms"]
    return min(within or fits, key=lambda fit: abs(fit.cost - budget))


def _is_near(fit: Fit, name: str) -> bool:
    """Whether a fit is near its budget: latency on either side, memory below it."""
    above = fit.cost - fit.budget
    most = _TOLERANCE * fit.budget if name == "latency_ms" else 0
    return -_TOLERANCE * fit.budget <= above <= most
