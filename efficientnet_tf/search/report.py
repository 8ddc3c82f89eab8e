"""What a search found: the Pareto front, the best so far, samplers compared."""

import statistics
from collections.abc import Mapping, Sequence

from efficientnet_tf.analysis import plots
from efficientnet_tf.search import storage
from efficientnet_tf.search.study import Row, best

Results = Mapping[str, Sequence[Sequence[Row]]]  # each seed's rows, by sampler


def pareto_front(rows: Sequence[Row]) -> list[Row]:
    """The rows that no other beats: none is at least as accurate for as few MACs.

    Args:
        rows: of networks; of equals the first counts.

    Returns:
        By rising MACs, and so by rising accuracy on held-out images.
    """
    front = []
    for row in sorted(rows, key=lambda row: (row["macs"], -row["held_out_top_1"])):
        if not front or row["held_out_top_1"] > front[-1]["held_out_top_1"]:
            front.append(row)
    return front


def best_so_far(rows: Sequence[Row]) -> list[float]:
    """The highest reward among the first trials, for each number of them."""
    return [best(rows[: count + 1])["reward"] for count in range(len(rows))]


def summary(results: Results) -> dict[str, dict]:
    """Compares samplers, as `study.compare` returns them.

    Returns:
        By sampler: "best" rewards of each seed, their "mean" and "stddev", and "curve",
        the mean and standard deviation of the best so far after each trial.
    """
    return {sampler: _summary(runs) for sampler, runs in results.items()}


def _summary(runs: Sequence[Sequence[Row]]) -> dict:
    curve = [
        _mean_stddev(rewards)
        for rewards in zip(*(best_so_far(rows) for rows in runs), strict=True)
    ]
    mean, stddev = curve[-1]
    rewards = [best(rows)["reward"] for rows in runs]
    return {"best": rewards, "mean": mean, "stddev": stddev, "curve": curve}


def _mean_stddev(values: Sequence[float]) -> tuple[float, float]:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return statistics.mean(values), spread


def write_csv(path: str, results: Results) -> None:
    """Writes a line for each trial: its sampler, seed, row and the best so far."""
    lines = [
        {"sampler": sampler, "seed": seed} | row | {"best_so_far": so_far}
        for sampler, runs in results.items()
        for seed, rows in enumerate(runs)
        for row, so_far in zip(rows, best_so_far(rows), strict=True)
    ]
    storage.write_csv(path, lines)


def plot_samplers(path: str, results: Results) -> None:
    """Draws the best so far by trials, mean and standard deviation over seeds."""
    curves = {
        f"{sampler}, {len(results[sampler])} seeds": [
            (count, mean, stddev)
            for count, (mean, stddev) in enumerate(of_sampler["curve"], 1)
        ]
        for sampler, of_sampler in summary(results).items()
    }
    plots.lines(path, curves, x="trials", y="best reward so far")


def plot_front(path: str, rows: Sequence[Row]) -> None:
    """Draws accuracy by MACs: all networks, the front, the best by reward."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    front, winner = pareto_front(rows), best(rows)
    axes.plot(*_points(rows), "o", color="0.7", markersize=4, label="trials")
    axes.plot(*_points(front), "o-", markersize=5, label="Pareto front")
    axes.plot(*_points([winner]), "*", markersize=14, label="best reward")
    axes.set(xlabel="MACs", ylabel="held-out top-1 (%)", xscale="log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    plots.save(figure, path)


def _points(rows: Sequence[Row]) -> tuple[list, list]:
    return [row["macs"] for row in rows], [100 * row["held_out_top_1"] for row in rows]
