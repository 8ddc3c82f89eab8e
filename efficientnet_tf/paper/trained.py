"""Cells of what needs training: by command on ImageNet, and as measured on a proxy."""

import statistics
from collections.abc import Iterator, Mapping, Sequence

from efficientnet_tf import counting
from efficientnet_tf.data import tfds_table
from efficientnet_tf.paper import measured, printed
from efficientnet_tf.paper.cells import EXACT, MEASURED, READY, Cell
from efficientnet_tf.scaling import compound

_TOOL = "`python tools/reproduce_paper.py {}`"


def table5() -> list[Cell]:
    """Transfer to eight data sets, by command."""
    names = dict(zip(printed.TABLE_5, tfds_table.ROWS, strict=True))
    return [
        Cell(
            *("Table 5", f"{dataset}, {model}", "top-1 %", top_1),
            note="`python main.py --recipe=finetune --weights=imagenet "
            f"--model=efficientnet-{model.lower()} --dataset=tfds:{names[dataset]} "
            "--minival_shards=0`",
        )
        for dataset, rows in printed.TABLE_5.items()
        for model, top_1 in rows.items()
    ]


def table8() -> list[Cell]:
    """Accuracy on the test images, which ImageNet's server alone can tell."""
    quantities = ("validation top-1 %", "test top-1 %", "validation top-5 %")
    command = _TOOL.format("table8 --test_dir=DIR --weights=autoaugment --model={}")
    return [
        Cell("Table 8", name, quantity, value, note=command.format(name))
        for name, values in printed.TABLE_8.items()
        for quantity, value in zip(quantities, values, strict=True)
    ]


def figure3(directory: str) -> list[Cell]:
    """One dimension at a time: the paper's networks by command, the proxy's trained."""
    found = measured.load(directory, "scaling_study")
    rows = [row for row in found.get("figure8", []) if row["curve"] != "compound"]
    return [*_papers_sweeps(), *_points("Figure 3", rows, found)]


def figure4(directory: str) -> list[Cell]:
    """Width from four bases."""
    found = measured.load(directory, "scaling_study")
    return _points("Figure 4", found.get("figure4", []), found) or [
        _to_train("Figure 4")
    ]


def figure8(directory: str) -> list[Cell]:
    """Each dimension alone and all together, at equal MACs."""
    found = measured.load(directory, "scaling_study")
    return _points("Figure 8", found.get("figure8", []), found) or [
        _to_train("Figure 8")
    ]


def figure6(directory: str) -> list[Cell]:
    """What pretraining brings, by size of the network."""
    found = measured.load(directory, "transfer")
    note = f"CIFAR-10 to flowers; {found.get('machine')}"
    return [
        Cell(
            *(
                "Figure 6",
                f"{row['params'] / 1e6:.2f} M parameters",
                f"{name}, top-1 %",
            ),
            *(None, row[name], MEASURED, note),
        )
        for row in found.get("rows", [])
        for name in ("pretrained", "finetuned", "scratch")
    ] or [_to_train("Figure 6")]


def section4(directory: str) -> list[Cell]:
    """The baseline search: what it finds, beside random search at equal budget."""
    found = measured.load(directory, "baseline_search")
    if not found:
        command = "`python tools/search_baseline.py --data_dir=DIR --compare`"
        return [Cell("Section 4", "search", "reward", None, None, READY, command)]
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
    """Whether compound scaling wins among networks of equal MACs, in words.

    Args:
        rows: of figure 8, from `scaling_study.train`: the base, then groups of four.
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
    """What widening gains from each base, in words.

    Args:
        rows: of figure 4, from `scaling_study.train`: bases in turn, each one's widths
            in order.
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
    """What starting from other images gains over starting from nothing, in words.

    Args:
        rows: of figure 6, from `transfer_study.train`.
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
    for axis, factors in printed.FIGURE_3.items():
        for factor in factors:
            network = compound.multiply(
                "efficientnet-b0", resolution_step=1, **{axis: factor}
            )
            yield Cell(
                *("Figure 3", f"efficientnet-b0 {axis} {factor}", "FLOPS, G", None),
                counting.count(network).macs / 1e9,
                EXACT,
                "`python main.py --dataset=imagenet --data_dir=DIR "
                f"--model=efficientnet-b0 --depth_coefficient={network.depth:g} "
                f"--width_coefficient={network.width:g} "
                f"--image_size={network.resolution}`",
            )


def _points(item: str, rows: Sequence[Mapping], found: Mapping) -> list[Cell]:
    return [
        Cell(
            *(item, f"{row['curve']}: {row['label']}", "top-1 %", None),
            *(row["mean"], MEASURED),
            f"± {row['stddev'] or 0:.2f} over {len(row['top_1'])} seeds, "
            f"{row['macs'] / 1e6:.2f} M MACs; {found['machine']}",
        )
        for row in rows
    ]


def _to_train(item: str) -> Cell:
    command = _TOOL.format(item.lower().replace(" ", "") + " --data_dir=DIR")
    return Cell(item, "proxy", "top-1 %", None, None, READY, command)
