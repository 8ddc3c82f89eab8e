"""CPU time of tf.data pipelines, one image at a time on one core."""

import glob
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator

import tensorflow as tf

from efficientnet_tf.data.augment import plan
from efficientnet_tf.data.settings import Augmentation

_QUIET = 0.2  # seconds without work after which buffers are full again

Draw = Callable[[], None]  # takes the next image


def use_one_core(core: int) -> None:
    """Binds the process to a core; call it before TensorFlow computes anything."""
    os.sched_setaffinity(0, {core})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def read_jpegs(data_dir: str | None, count: int) -> list[bytes]:
    """Reads `count` JPEGs of a folder, again from the first where it holds fewer."""
    if not data_dir:
        raise ValueError("--data_dir is missing: name a folder that holds JPEGs")
    paths = glob.glob(f"{data_dir}/**/*.jp*g", recursive=True)
    if not paths:
        raise ValueError(f"--data_dir={data_dir}: holds no *.jpg or *.jpeg")
    found = []
    for path in itertools.islice(itertools.cycle(sorted(paths)), count):
        with open(path, "rb") as file:
            found.append(file.read())
    return found


def made_plan(name: str, size: int, **changed) -> plan.Plan:
    """Returns the actions of a policy."""
    return plan.Plan(augmentation(name, **changed), size)


def augmentation(name: str, **changed) -> Augmentation:
    """Returns the settings of a policy, with the paper's crops and flips."""
    settings = {
        "augment": name,
        "randaugment_num_layers": 2,
        "randaugment_magnitude": 10.0,
        "mixup_alpha": 0.0,
        "flip": True,
        "crop_area_min": 0.08,
    }
    return Augmentation(**settings | changed)


def drawing(dataset: tf.data.Dataset, function: Callable) -> Draw:
    """Maps a function over a dataset, one element at a time and nothing ahead.

    The pipeline is warm when this returns: to make an iterator over tf-models'
    RandAugment alone takes half a second.
    """
    dataset = dataset.map(tf.autograph.experimental.do_not_convert(function))
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    iterator: Iterator = iter(dataset.with_options(options))
    for _ in range(8):
        next(iterator)
    return lambda: next(iterator)


def medians(candidates: dict[str, Draw], *, calls: int, turns: int) -> dict[str, float]:
    """Returns milliseconds of CPU time for one call of each candidate.

    Each turn times every candidate once. CPU time is disturbed less by other processes
    than wall time.

    Args:
        candidates: the functions to call, by name.
        calls: int, calls of each candidate in a turn.
        turns: int, turns of which medians are taken.
    """
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(turns):
        # In alternating order, so that none is always last.
        for name in sorted(candidates, reverse=turn % 2 == 1):
            began = _settled()
            for _ in range(calls):
                candidates[name]()
            found[name].append((_settled() - began) / calls * 1000)
    return {name: statistics.median(values) for name, values in found.items()}


def _settled() -> float:
    """Waits until pipelines that read ahead are done; returns the CPU time, seconds."""
    before, now = -1.0, time.process_time()
    while now - before > _QUIET / 10:
        time.sleep(_QUIET)
        before, now = now, time.process_time()
    return now
