"""Reports of a search: the Pareto front, the best so far, samplers compared."""

import statistics
from collections.abc import Mapping, Sequence

from efficientnet_tf import files, plots
from efficientnet_tf.experiments.baseline_search import Row, best

Results = Mapping[str, Sequence[Sequence[Row]]]  # rows of each seed, by sampler


def pareto_front(rows: Sequence[Row]) -> list[Row]:
    """Lists the rows whose accuracy no other row reaches with as few MACs.

    Args:
        rows: one row for each network; the first of equals counts.

    Returns:
        The rows by rising MACs, and so by rising accuracy on held-out images.
    """
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (row["macs"], -row["held_out_top_1"])):
        if not front or row["held_out_top_1"] > front[-1]["held_out_top_1"]:
            front.append(row)
    return front


def best_so_far(rows: Sequence[Row]) -> list[float]:
    """Lists the highest reward among the first trials, for each number of trials."""
    return [best(rows[: count + 1])["reward"] for count in range(len(rows))]


def summary(results: Results) -> dict[str, dict]:
    """Compares samplers by the rows that `baseline_search.compare` returned.

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
    """Writes a line for each trial: its sampler, seed, row and the best so far.

    Args:
        path: path or URL of the file.
        results: rows of each seed, by sampler.
    """
    lines = [
        {"sampler": sampler, "seed": seed} | row | {"best_so_far": so_far}
        for sampler, runs in results.items()
        for seed, rows in enumerate(runs)
        for row, so_far in zip(rows, best_so_far(rows), strict=True)
    ]
    files.write_csv(path, lines)


def plot_samplers(path: str, results: Results) -> None:
    """Draws the best reward over the trials, mean and standard deviation over seeds.

    Args:
        path: path of the PNG file.
        results: rows of each seed, by sampler.
    """
    curves = {
        f"{sampler}, {len(results[sampler])} seeds": [
            (count, mean, stddev)
            for count, (mean, stddev) in enumerate(of_sampler["curve"], 1)
        ]
        for sampler, of_sampler in summary(results).items()
    }
    plots.lines(path, curves, x="trials", y="best reward so far")


def plot_front(path: str, rows: Sequence[Row]) -> None:
    """Draws accuracy by MACs: all networks, the front, the best by reward.

    Args:
        path: path of the PNG file.
        rows: one row for each network.
    """
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
