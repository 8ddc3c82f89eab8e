"""Finds the largest network on a compound-scaling curve that a budget allows."""

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
_CLOSE = 0.99  # share of a budget in MACs or parameters at which the search ends
_MEASUREMENTS = 6  # at most; two or three suffice on a quiet machine
_TOLERANCE = 0.05  # share of a measured budget; repeated measurements differ as much


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

    Filters, repeats and feature maps are rounded, so a network's cost grows in steps
    along the curve. To come close to the budget, width and image size may leave the
    curve a little.

    Args:
        base: name of a variant, or a `Variant`.
        macs: number above 0, multiply-accumulates of one image, with 1,000 classes.
        params: number above 0, parameters, with 1,000 classes.
        latency_ms: number above 0, milliseconds an image, as `measure` returns them.
            The fit is the first network measured within 5% of it, else the nearest of
            six.
        tpu_memory: number above 0, bytes of a TPU's memory for a training step, as
            `measure` returns them. The fit is the first network measured at most 5%
            below it, else the nearest of six, if possible one below the budget.
        coefficients: growth of depth, width and resolution along the curve.
        resolution_step: int from 1; the image size becomes a multiple of it.
        measure: function from a `Variant` to its latency or memory, such as
            `experiments.measures.latency_ms` or `experiments.measures.tpu_memory`, or
            one for a phone or another chip.

    Returns:
        A `Fit`; its MACs or parameters, if they are the budget, do not exceed it.

    Raises:
        ValueError: if not exactly one budget is given, if `measure` is missing, or if
            the smallest network that can be built exceeds the budget.
    """
    budgets = {"macs": macs, "params": params, "latency_ms": latency_ms}
    budgets["tpu_memory"] = tpu_memory
    given = {name: value for name, value in budgets.items() if value is not None}
    if len(given) != 1:
        raise ValueError(
            f"budgets given: {', '.join(given) or 'none'}; give exactly one"
        )
    ((name, budget),) = given.items()
    if not (isinstance(budget, numbers.Real) and 0 < budget < math.inf):
        raise ValueError(f"{name}={budget}: allowed is more than 0")
    curve = _Curve(get_variant(base), coefficients, resolution_step)
    if name not in _MEASURED:
        return curve.fit(name, budget)
    if measure is None:
        raise ValueError(
            f"{name}={budget}: measure is missing; for example, pass "
            f"experiments.measures.{name}"
        )
    return _fit_measured(curve, name, budget, measure)


@dataclasses.dataclass(frozen=True)
class _Curve:
    """The networks that a base network can be scaled to."""

    base: Variant
    coefficients: compound.Coefficients
    resolution_step: int

    def fit(self, name: str, budget: float) -> Fit:
        """Finds the network nearest to the curve that is at most 1% below the budget.

        If there is none, returns the network nearby with the largest cost within it.
        """
        fits = []
        # Neighbours of the network just below the budget, then of the one just above.
        for phi in self._crossing(name, budget):
            for variant in self._neighbours(self._at(phi), sizes=name != "params"):
                cost = _cost(variant, name)
                if cost <= budget:
                    fits.append(Fit(variant, round(phi, 3), cost, budget, _UNITS[name]))
                    if cost >= _CLOSE * budget:
                        return fits[-1]
        return max(fits, key=lambda fit: fit.cost)

    def _crossing(self, name: str, budget: float) -> tuple[float, float]:
        """Finds the phi of the last network within the budget, and of the next one."""
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
        """Yields networks near a variant, nearest first.

        Args:
            variant: a network on the curve; widths differ from its own by up to 10%.
            sizes: whether image sizes differ too, by up to 12.5%.
        """
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
    """Fits a network to MACs, measures its cost, corrects the MACs, and repeats."""
    # The middle of what `_is_near` accepts. A cost that grows faster than MACs would
    # approach the budget itself from above and never come within it.
    aim = budget if name == "latency_ms" else (1 - _TOLERANCE / 2) * budget
    macs = counting.count(curve.base).macs * aim / measure(curve.base)
    fits = []
    for _ in range(_MEASUREMENTS):
        fit = curve.fit("macs", macs)
        cost = measure(fit.variant)
        fits.append(Fit(fit.variant, fit.phi, cost, budget, _UNITS[name]))
        if _is_near(fits[-1], name):
            return fits[-1]
        macs *= aim / cost
    within = [fit for fit in fits if fit.cost <= budget or name == "latency_ms"]
    return min(within or fits, key=lambda fit: abs(fit.cost - budget))


def _is_near(fit: Fit, name: str) -> bool:
    """Whether a fit's latency is within 5% of its budget, or its memory 5% below it."""
    above = fit.cost - fit.budget
    most = _TOLERANCE * fit.budget if name == "latency_ms" else 0
    return -_TOLERANCE * fit.budget <= above <= most
