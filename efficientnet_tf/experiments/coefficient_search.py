"""The search of section 3.3: which alpha, beta and gamma to scale a network by.

Every candidate about doubles the base's FLOPS; all are trained, and the best one wins.
"""

import itertools
from collections.abc import Sequence

from efficientnet_tf import counting
from efficientnet_tf.config import Config
from efficientnet_tf.experiments import trials
from efficientnet_tf.scaling import compound
from efficientnet_tf.variants import Variant


def grid(
    *, step: float = 0.05, target: float = 2.0, tolerance: float = 0.1
) -> list[compound.Coefficients]:
    """Lists candidates with alpha * beta**2 * gamma**2 within `tolerance` of `target`.

    Args:
        step: float above 0, distance between a coefficient's values, which begin at 1.
        target: float above 1, growth of FLOPS from phi = 0 to phi = 1.
        tolerance: float from 0, largest distance from `target`; 0.1 includes the
            paper's own 1.92.

    Raises:
        ValueError: if no candidate is left.
    """
    if step <= 0 or target <= 1 or tolerance < 0:
        raise ValueError(
            f"step={step}, target={target}, tolerance={tolerance}: allowed are a step "
            "above 0, a target above 1 and a tolerance from 0"
        )
    count = int((target + tolerance - 1) / step) + 1
    values = [round(1 + i * step, 6) for i in range(count)]
    found = [
        compound.Coefficients(*values)
        for values in itertools.product(values, repeat=3)
        if abs(values[0] * values[1] ** 2 * values[2] ** 2 - target) <= tolerance + 1e-9
    ]
    if not found:
        raise ValueError(
            f"step={step}: no alpha, beta and gamma give {target} within {tolerance}; "
            "allowed is a smaller step or a larger tolerance"
        )
    return found


def row(
    base: Variant, coefficients: compound.Coefficients, *, resolution_step: int = 2
) -> dict:
    """Returns what a candidate costs, before it is trained.

    Args:
        base: the network to scale.
        coefficients: the candidate.
        resolution_step: int, image sizes become multiples of it.

    Returns:
        alpha, beta, gamma, "formula" (growth of FLOPS by them alone), "exact" (growth
        of MACs of the network that rounding leaves), "macs", "params", "resolution".
    """
    scaled = _scaled(base, coefficients, resolution_step)
    count = counting.count(scaled)
    return {
        "alpha": coefficients.alpha,
        "beta": coefficients.beta,
        "gamma": coefficients.gamma,
        "formula": coefficients.flops_factor,
        "exact": count.macs / counting.count(base).macs,
        "macs": count.macs,
        "params": count.params,
        "resolution": scaled.resolution,
    }


def costs(
    config: Config,
    candidates: Sequence[compound.Coefficients],
    *,
    resolution_step: int = 2,
) -> list[dict]:
    """Returns `row` of every candidate, scaled from the network of `config`.

    Args:
        config: the configuration of the base's training.
        candidates: coefficients that `grid` returned.
        resolution_step: int, image sizes become multiples of it.
    """
    base = trials.network(config)
    return [row(base, each, resolution_step=resolution_step) for each in candidates]


def search(
    config: Config,
    candidates: Sequence[compound.Coefficients],
    *,
    root: str,
    workers: int = 1,
    device: str = "auto",
    resolution_step: int = 2,
) -> list[dict]:
    """Trains the base, scaled at phi = 1 by each candidate; keeps finished trainings.

    Args:
        config: the configuration of the base's training: model, data, recipe. Some
            images must be held out (`minival_shards`), as by default; they decide.
        candidates: coefficients that `grid` returned.
        root: folder of the trials; the same call continues a search.
        workers: int, trainings at a time, see `trials.run`.
        device: "auto", "tpu", "gpu" or "cpu".
        resolution_step: int, image sizes become multiples of it.

    Returns:
        `row` of each candidate with "held_out_top_1" and "top_1" (0 to 1), best first.

    Raises:
        ValueError: naming the setting that is wrong.
    """
    trials.check_holds_out(config)
    base = trials.network(config)
    configs = {
        _name(candidate): trials.with_network(
            config, _scaled(base, candidate, resolution_step)
        )
        for candidate in candidates
    }
    results = trials.run(configs, root=root, workers=workers, device=device)
    rows = [
        cost | {name: results[_name(candidate)][name] for name in _SCORES}
        for candidate, cost in zip(
            candidates,
            costs(config, candidates, resolution_step=resolution_step),
            strict=True,
        )
    ]
    return sorted(rows, key=lambda row: row["held_out_top_1"], reverse=True)


_SCORES = ("held_out_top_1", "top_1")


def _scaled(base: Variant, candidate: compound.Coefficients, step: int) -> Variant:
    return compound.scale(base, 1, coefficients=candidate, resolution_step=step)


def _name(candidate: compound.Coefficients) -> str:
    return f"alpha{candidate.alpha:g}-beta{candidate.beta:g}-gamma{candidate.gamma:g}"
