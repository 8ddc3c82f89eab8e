"""Measurements, kept as JSON beside the tables that are made from them.

A measurement states its machine and, if networks were trained, their settings. It is
reused until somebody asks to measure again.
"""

import json
import os
import platform
from collections.abc import Iterator, Mapping
from typing import Any

from efficientnet_tf import config as config_lib
from efficientnet_tf import files
from efficientnet_tf.experiments import scaling_study, transfer_study, trials
from efficientnet_tf.paper import printed_numbers
from efficientnet_tf.paper.cells import MEASURED, READY, Cell

RUNTIMES = ("saved_model", "litert")


def load(directory: str, name: str) -> dict:
    """Reads a measurement; returns {} if there is none yet.

    Args:
        directory: folder of the measurements.
        name: name of the measurement's file without ".json".
    """
    path = f"{directory}/{name}.json"
    if not os.path.exists(path):
        return {}
    with open(path) as file:
        try:
            return json.load(file)
        except ValueError as error:
            raise ValueError(f"{path}: {error}; delete it to measure anew") from None


def save(directory: str, name: str, content: Mapping) -> None:
    """Writes a measurement, with the name of this machine.

    Args:
        directory: folder of the measurements.
        name: name of the measurement's file without ".json".
        content: the measurement as plain data.
    """
    text = json.dumps(dict(content) | {"machine": machine()}, indent=1)
    files.write_whole(f"{directory}/{name}.json", text + "\n")


def machine() -> str:
    """Names the processor, and the number of cores that this process may use."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            lines = [line for line in file if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    return f"{len(os.sched_getaffinity(0))} cores of {model}"


def measure_latency(directory: str, *, rounds: int, large: bool) -> None:
    """Measures one pair of table 4; the two networks run in turns.

    Args:
        directory: folder of latency.json, which keeps the other pair's numbers.
        rounds: int from 1, timed calls of each network; the paper takes 20.
        large: True measures AmoebaNet-B (2 GB of weights) and B7 as SavedModels, False
            ResNet-152 and B1 in both runtimes.
    """
    from efficientnet_tf.export import latency

    kept = load(directory, "latency")
    pairs = list(printed_numbers.TABLE_4)
    names = pairs[1] if large else pairs[0]
    for runtime in RUNTIMES[:1] if large else RUNTIMES:
        models = {name: lambda name=name: _subject(name) for name in names}
        found = latency.compare(
            models, runtime=runtime, rounds=rounds, frozen=not large
        )
        for name, each in found.items():
            row = {"mean_s": each.mean_s, "stddev_s": each.stddev_s, "runs": each.runs}
            kept.setdefault(runtime, {})[name] = row
    save(directory, "latency", kept)


def _subject(name: str) -> Any:
    """Builds the network that the paper calls `name`, with random weights."""
    from efficientnet_tf.models import amoebanet, efficientnet

    if name == "GPipe":
        return amoebanet.AmoebaNetB()
    return efficientnet.EfficientNet(name.lower())


def table4(directory: str) -> list[Cell]:
    """Lists the latencies of each pair, and their ratio."""
    found = load(directory, "latency")
    return [
        cell
        for pair, numbers in printed_numbers.TABLE_4.items()
        # AmoebaNet-B exceeds the 2 GB of a LiteRT file.
        for runtime in (RUNTIMES[:1] if "GPipe" in pair else RUNTIMES)
        for cell in _pair(pair, numbers, runtime, found)
    ]


def _pair(pair: Any, numbers: Any, runtime: str, found: Mapping) -> Iterator[Cell]:
    rows = found.get(runtime, {})
    ours, how, note = (None,) * 3, READY, "`python tools/reproduce_paper.py table4`"
    if all(name in rows for name in pair):
        slow, fast = (rows[name]["mean_s"] for name in pair)
        ours, how = (slow, fast, slow / fast), MEASURED
        runs = rows[pair[1]]["runs"]
        note = f"mean of {runs} in turns, one core ({found['machine']})"
    names = (*pair, " / ".join(pair))
    quantities = ("latency, s", "latency, s", "speedup")
    for name, quantity, paper, value in zip(
        names, quantities, numbers, ours, strict=True
    ):
        yield Cell("Table 4", f"{name}, {runtime}", quantity, paper, value, how, note)


def train_scaling(
    directory: str, settings: Mapping, *, root: str, seeds: int, workers: int
) -> None:
    """Trains the networks of figures 3, 4 and 8, and writes scaling_study.json.

    Args:
        directory: folder that the measurement is written to.
        settings: fields of Config, such as `scaling_study.PROXY` and a `data_dir`.
        root: folder of the trainings; the same call continues them.
        seeds: int from 1, trainings of each network.
        workers: int from 1, trainings at the same time.
    """
    base = trials.network(config_lib.create(**settings))
    figures = {
        "figure8": scaling_study.equal_flops(base),
        "figure4": scaling_study.width_sweeps(),
    }
    stated = {name: value for name, value in settings.items() if name != "data_dir"}
    found = load(directory, "scaling_study") | {"settings": stated, "seeds": seeds}
    for name, points in figures.items():
        found[name] = scaling_study.train(
            points, settings, root=root, seeds=seeds, workers=workers
        )
        save(directory, "scaling_study", found)


def train_transfer(directory: str, *, root: str, workers: int, **data: Any) -> None:
    """Trains the networks of figure 6's proxy, and writes transfer.json.

    Args:
        directory: folder that the measurement is written to.
        root: folder of the trainings; the same call continues them.
        workers: int from 1, trainings at the same time.
        **data: folders `pretrain_dir` and `data_dir` for `transfer_study.train`.
    """
    rows = transfer_study.train(root=root, workers=workers, **data)
    settings = {
        "pretrain": transfer_study.PRETRAIN,
        "finetune": transfer_study.FINETUNE,
    }
    save(directory, "transfer", settings | {"rows": rows})
