"""Compound scaling at the command line: the network and its cost for each phi.

python tools/compound_scaling.py --base=efficientnet-b0 --phi=0:7
python tools/compound_scaling.py --base=18,64,224 --phi=0:7 --plot=scaling.png
python tools/compound_scaling.py --base=mobilenet-v2 --macs=600e6
python tools/compound_scaling.py --base=efficientnet-b0 --latency_ms=50

The base is a model's name, comma-separated block strings (with --resolution), or three
numbers layers,filters,resolution, for which only the method's arithmetic is done.
"""

import dataclasses

import tool
from absl import flags as absl_flags

from efficientnet_tf import counting, expansion, files, variants
from efficientnet_tf.scaling import budget, compound

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_string("base", "efficientnet-b0", "What to scale; see above.")
absl_flags.DEFINE_string("phi", "0:7", "FIRST:LAST, or numbers separated by commas.")
absl_flags.DEFINE_float("alpha", compound.PAPER.alpha, "Growth of depth.")
absl_flags.DEFINE_float("beta", compound.PAPER.beta, "Growth of width.")
absl_flags.DEFINE_float("gamma", compound.PAPER.gamma, "Growth of resolution.")
absl_flags.DEFINE_integer("resolution", None, "Image size of block strings, in pixels.")
absl_flags.DEFINE_integer("resolution_step", 8, "Image sizes are multiples of it.")
absl_flags.DEFINE_float(
    "macs", None, "Instead of --phi: the largest network within this many MACs."
)
absl_flags.DEFINE_float(
    "params", None, "Instead of --phi: the largest network within this many parameters."
)
absl_flags.DEFINE_float(
    "latency_ms",
    None,
    "Instead of --phi: the largest network within this measured time, in ms.",
)
absl_flags.DEFINE_float(
    "tpu_memory",
    None,
    "Instead of --phi: the largest network within this many bytes of a v5e, as planned "
    "for training on 128 images a step.",
)
absl_flags.DEFINE_string("plot", None, "PNG file to draw what is printed to.")
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def main(arguments: list[str]) -> dict:
    """Prints the scaled networks, draws them with --plot, and returns them."""
    if FLAGS.plot:
        files.check_file(FLAGS.plot, label="--plot=")
    rows = _rows(arguments)
    _print_table(rows)
    if FLAGS.plot:
        _plot(rows, FLAGS.plot)
    return {"base": FLAGS.base, "rows": rows}


def _rows(arguments: list[str]) -> list[dict]:
    if arguments:
        raise ValueError(f"unexpected argument {arguments[0]!r}")
    coefficients = compound.Coefficients(FLAGS.alpha, FLAGS.beta, FLAGS.gamma)
    names = ("macs", "params", "latency_ms", "tpu_memory")
    budgets = {name: FLAGS[name].value for name in names}
    has_budget = any(value is not None for value in budgets.values())
    plain = _dimensions(FLAGS.base)
    if plain and has_budget:
        raise ValueError(f"--base={FLAGS.base}: a budget needs a network to count")
    if plain:
        return [_plain_row(plain, phi, coefficients) for phi in _phis(FLAGS.phi)]
    base = _network(FLAGS.base)
    if has_budget:
        fit = budget.fit_to_budget(
            base, coefficients=coefficients, measure=_measure(budgets), **budgets
        )
        cost = {"cost": fit.cost, "budget": fit.budget, "unit": fit.unit}
        return [_row(base, fit.variant, fit.phi, coefficients) | cost]
    return [
        _row(base, _scaled(base, phi, coefficients), phi, coefficients)
        for phi in _phis(FLAGS.phi)
    ]


def _measure(budgets: dict):
    """Returns the measure that the budget needs; None for MACs and parameters."""
    if budgets["latency_ms"] is None and budgets["tpu_memory"] is None:
        return None
    from efficientnet_tf.experiments import measures

    name = "tpu_memory" if budgets["latency_ms"] is None else "latency_ms"
    return measures.MEASURES[name]


def _scaled(base, phi, coefficients):
    return compound.scale(
        base, phi, coefficients=coefficients, resolution_step=FLAGS.resolution_step
    )


def _row(base, variant, phi, coefficients) -> dict:
    count, network = counting.count(variant), expansion.expand(variant)
    return {
        "phi": phi,
        "depth": round(variant.depth, 4),
        "width": round(variant.width, 4),
        "resolution": variant.resolution,
        "blocks": len(network),
        "params": count.params,
        "macs": count.macs,
        "exact": count.macs / counting.count(base).macs,
        "formula": coefficients.flops_factor**phi,
    }


def _plain_row(base, phi, coefficients) -> dict:
    scaled = base.scaled(phi, coefficients=coefficients)
    return {
        "phi": phi,
        "layers": scaled.layers,
        "filters": scaled.filters,
        "resolution": scaled.resolution,
        "exact": scaled.flops_ratio(base),
        "formula": coefficients.flops_factor**phi,
    }


def _phis(text: str) -> list[float]:
    try:
        if ":" in text:
            first, last = (int(part) for part in text.split(":"))
            phis = list(range(first, last + 1))
        else:
            phis = [float(part) for part in text.split(",")]
    except ValueError:
        phis = []
    if not phis:
        raise ValueError(f"--phi={text}: allowed are FIRST:LAST or numbers")
    return phis


def _dimensions(text: str) -> compound.Dimensions | None:
    """Reads the base if it is three numbers; else returns None."""
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        return None
    numbers = [int(part) for part in parts]
    if len(numbers) != 3 or min(numbers) < 1:
        raise ValueError(f"--base={text}: allowed are layers,filters,resolution")
    return compound.Dimensions(*numbers)


def _network(text: str) -> variants.Variant:
    if "_" not in text:
        if FLAGS.resolution is not None:
            raise ValueError(
                f"--resolution={FLAGS.resolution}: {text} has a size of its own; "
                "leave it out"
            )
        return variants.get_variant(text)
    if FLAGS.resolution is None:
        raise ValueError(f"--base={text}: block strings need a --resolution")
    base = expansion.customize("efficientnet-b0", blocks=text.split(","))
    return dataclasses.replace(base, resolution=FLAGS.resolution, name="network")


def _print_table(rows: list[dict]) -> None:
    names = list(rows[0])
    cells = [names] + [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    for line in cells:
        print("  ".join(map(str.rjust, line, widths)))


def _cell(value) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _plot(rows: list[dict], path: str) -> None:
    from efficientnet_tf import plots

    curves = {
        name: [(row["phi"], row[name] / rows[0][name]) for row in rows]
        for name in ("layers", "blocks", "depth", "filters", "width", "resolution")
        if name in rows[0]
    }
    curves["FLOPS"] = [(row["phi"], row["exact"]) for row in rows]
    plots.lines(path, curves, x="phi", y=f"times {FLAGS.base}", log_y=True)


if __name__ == "__main__":
    tool.run(main)
