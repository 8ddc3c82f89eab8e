"""Cells whose number takes training: a command for ImageNet, and results on a proxy."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from efficientnet_tf import counting
from efficientnet_tf.data import tfds_table
from efficientnet_tf.paper import measurements, printed_numbers
from efficientnet_tf.paper.cells import EXACT, MEASURED, Cell, training_command
from efficientnet_tf.scaling import compound

_TOOL = "`python tools/reproduce_paper.py {}`"


def table5() -> list[Cell]:
    """Lists the accuracy on the eight transfer data sets, with the commands."""
    names = dict(zip(printed_numbers.TABLE_5, tfds_table.ROWS, strict=True))
    return [
        Cell(
            *("Table 5", f"{dataset}, {model}", "top-1 %", top_1),
            note="`python main.py --recipe=finetune --weights=imagenet "
            f"--model=efficientnet-{model.lower()} --dataset=tfds:{names[dataset]} "
            "--minival_shards=0`",
        )
        for dataset, rows in printed_numbers.TABLE_5.items()
        for model, top_1 in rows.items()
    ]


def table8() -> list[Cell]:
    """Lists the accuracy on the test images, which only ImageNet's server can score."""
    quantities = ("validation top-1 %", "test top-1 %", "validation top-5 %")
    command = _TOOL.format("table8 --test_dir=DIR --weights=autoaugment --model={}")
    return [
        Cell("Table 8", name, quantity, value, note=command.format(name))
        for name, values in printed_numbers.TABLE_8.items()
        for quantity, value in zip(quantities, values, strict=True)
    ]


def figure3(directory: str) -> list[Cell]:
    """Lists scaling of one dimension: the paper's networks, then the proxy's."""
    return [*_papers_sweeps(), *_points("Figure 3", directory)]


def figure4(directory: str) -> list[Cell]:
    """Lists scaling of width alone, from four base networks."""
    return _points("Figure 4", directory) or [_to_train("Figure 4")]


def figure8(directory: str) -> list[Cell]:
    """Lists scaling of each dimension alone and of all together, at equal MACs."""
    return _points("Figure 8", directory) or [_to_train("Figure 8")]


def figure6(directory: str) -> list[Cell]:
    """Lists accuracy with and without pretraining, by size of the network."""
    found = measurements.load(directory, "transfer")
    note = f"CIFAR-10 to flowers; {found.get('machine')}"
    return [
        Cell(
            "Figure 6",
            f"{row['params'] / 1e6:.2f} M parameters",
            f"{name}, top-1 %",
            *(None, row[name], MEASURED, note),
        )
        for row in found.get("rows", [])
        for name in ("pretrained", "finetuned", "scratch")
    ] or [_to_train("Figure 6")]


def section4(directory: str) -> list[Cell]:
    """Lists the results of the baseline search and of random search at equal budget."""
    found = measurements.load(directory, "baseline_search")
    if not found:
        command = "`python tools/search_baseline.py --data_dir=DIR --compare`"
        return [Cell("Section 4", "search", "reward", None, note=command)]
    budget = f"best reward of {found['trials_of_each_search']} trials"
    result = [
        Cell(
            *("Section 4", sampler, budget, None, each["mean"], MEASURED),
            f"± {each['stddev']:.3f} over {len(each['best'])} seeds; "
            f"{', '.join(f'{best:.3f}' for best in each['best'])}; {found['machine']}",
        )
        for sampler, each in found["samplers"].items()
    ]
    winner = found["best"]
    note = f"`--blocks={winner['blocks']}`"
    for name, quantity in (("macs", "MACs"), ("reward", "reward"), ("top_1", "top-1")):
        value = winner[name]
        result.append(
            Cell("Section 4", "winner", quantity, None, value, MEASURED, note)
        )
    return result


def verdict(rows: Sequence[Mapping]) -> str:
    """Says whether compound scaling wins among networks of equal MACs.

    Args:
        rows: figure 8's rows of `scaling_study.train`: the base, then groups of four.
    """
    lines = []
    for start in range(1, len(rows), 4):
        group = sorted(rows[start : start + 4], key=lambda row: -row["mean"])
        ranked = ", ".join(
            f"{row['curve']} {row['mean']:.1f} ± {row['stddev'] or 0:.1f}"
            for row in group
        )
        own = next(row for row in group if row["curve"] == "compound")
        best = next(row for row in group if row["curve"] != "compound")
        margin = own["mean"] - best["mean"]
        spread = statistics.fmean([own["stddev"] or 0, best["stddev"] or 0])
        word = "wins" if margin > 0 else "does not win"
        sure = "more" if abs(margin) > spread else "less"
        times = own["macs"] / rows[0]["macs"]
        lines.append(
            f"At about {times:.1f} times the base's MACs compound scaling {word}: "
            f"{ranked}. {abs(margin):.1f} points between it and the best single "
            f"dimension are {sure} than a standard deviation of the seeds."
        )
    return "\n\n".join(lines)


def width_verdict(rows: Sequence[Mapping]) -> str:
    """Says what widening gains from each base.

    Args:
        rows: figure 4's rows of `scaling_study.train`: base after base, each base's
            widths in ascending order.
    """
    lines = ["What the widest gains over the narrowest, from each base:"]
    curves = dict.fromkeys(row["curve"] for row in rows)
    for curve in curves:
        first, *_, last = (row for row in rows if row["curve"] == curve)
        lines.append(
            f"- {curve}: {last['mean'] - first['mean']:+.1f} points "
            f"({first['mean']:.1f} ± {first['stddev'] or 0:.1f} to "
            f"{last['mean']:.1f} ± {last['stddev'] or 0:.1f}) for "
            f"{last['macs'] / first['macs']:.1f} times the MACs"
        )
    lines.append(
        "\nThe paper's curves gain most from the deepest and largest base, on ImageNet."
    )
    return "\n".join(lines)


def transfer_verdict(rows: Sequence[Mapping]) -> str:
    """Says what pretraining on other images gains over training from scratch.

    Args:
        rows: figure 6's rows of `transfer_study.train`.
    """
    gains = ", ".join(
        f"{row['finetuned'] - row['scratch']:+.1f} at {row['params'] / 1e6:.2f} M"
        for row in rows
    )
    return (
        f"Fine-tuned less from scratch, in points: {gains} parameters. One seed each, "
        "and 147 held-out images choose the step to be scored (of the widest, the "
        "fifth epoch of twenty); on 736 validation images two points either way are "
        "chance."
    )


def _papers_sweeps() -> Iterator[Cell]:
    for axis, factors in printed_numbers.FIGURE_3.items():
        for factor in factors:
            scaled: dict[str, Any] = {axis: factor}
            network = compound.multiply("efficientnet-b0", resolution_step=1, **scaled)
            yield Cell(
                *("Figure 3", f"efficientnet-b0 {axis} {factor}", "FLOPS, G", None),
                counting.count(network).macs / 1e9,
                EXACT,
                training_command("efficientnet-b0", network),
            )


def study_rows(item: str, directory: str) -> list[dict]:
    """Lists the proxy's results; figure 3 is figure 8 without compound scaling.

    Args:
        item: "Figure 3", "Figure 4" or "Figure 8".
        directory: folder of the measurements.
    """
    found = measurements.load(directory, "scaling_study")
    rows = found.get("figure4" if item == "Figure 4" else "figure8", [])
    return [r for r in rows if item != "Figure 3" or r["curve"] != "compound"]


def _points(item: str, directory: str) -> list[Cell]:
    machine = measurements.load(directory, "scaling_study").get("machine")
    return [
        Cell(
            *(item, f"{row['curve']}: {row['label']}", "top-1 %", None),
            *(row["mean"], MEASURED),
            f"± {row['stddev'] or 0:.2f} over {len(row['top_1'])} seeds, "
            f"{row['macs'] / 1e6:.2f} M MACs; {machine}",
        )
        for row in study_rows(item, directory)
    ]


def _to_train(item: str) -> Cell:
    command = _TOOL.format(item.lower().replace(" ", "") + " --data_dir=DIR")
    return Cell(item, "proxy", "top-1 %", None, note=command)
