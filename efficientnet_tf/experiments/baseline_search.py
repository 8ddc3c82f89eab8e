"""The search of section 4: sample a network, train it briefly, reward it, sample again.

The reward is the paper's, ACC * (FLOPS / T) ** -0.07, and the space MnasNet's; Optuna's
samplers take the place of MnasNet's reinforcement learning. The workers of a search, on
one machine or several, share a storage of its trials. The folder of a training is named
after its network, so a network that comes up twice is trained once, and a training
whose worker was killed is continued.
"""

import concurrent.futures
import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from efficientnet_tf import config as config_lib
from efficientnet_tf import file_locks, files
from efficientnet_tf.experiments import search_storage
from efficientnet_tf.experiments import trials as trials_lib
from efficientnet_tf.experiments.search_space import Space

SAMPLERS = ("tpe", "random")
STARTUP_TRIALS = 8  # TPE's first trials, the same as those of random search
_POLL_SECONDS = 1.0  # seconds between checks for dead workers

Row = dict[str, Any]  # numbers and strings by column
Train = Callable[[config_lib.Config, str], dict]


@dataclasses.dataclass(frozen=True)
class Search:
    """One search: its space, its sampler, and the folder of its trials.

    Args:
        space: the networks to choose from.
        settings: fields of Config for each training, without `blocks`. Some images must
            be held out (`minival_shards`); the accuracy on them decides.
        root: folder that all workers see, on a file system with file locks.
        trials: int, trials in all, with those done before; may be raised later.
        sampler: "tpe" or "random".
        seed: int, the sampler's. A search with one worker is the same each time,
            interrupted or not; with several, it depends on which worker is faster.
        target_macs: T, MACs for one image; None takes the skeleton's.
        storage: URL of a database; None takes a journal file in `root`.
        trainings: folder of the trainings, which searches of the same settings may
            share; None takes one in `root`.

    Raises:
        ValueError: naming the setting that is wrong.
    """

    space: Space
    settings: Mapping
    root: str
    trials: int
    sampler: str = "tpe"
    seed: int = 0
    target_macs: float | None = None
    storage: str | None = None
    trainings: str | None = None

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ValueError(
                f"sampler={self.sampler!r}: allowed are {', '.join(SAMPLERS)}"
            )
        for name in ("trials", "target_macs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: allowed is 1 and more")
        trials_lib.check_holds_out(self.config(self.space.skeleton))

    @property
    def trainings_folder(self) -> str:
        """The folder of the trainings."""
        return self.trainings or f"{self.root}/trainings"

    def config(self, blocks: Sequence[str]) -> config_lib.Config:
        """Returns the configuration that trains one network."""
        return config_lib.create(**(dict(self.settings) | {"blocks": ",".join(blocks)}))

    @property
    def target(self) -> float:
        """T of the reward, int or float, in MACs."""
        return (
            self.target_macs or trials_lib.count(self.config(self.space.skeleton)).macs
        )

    @property
    def name(self) -> str:
        """The name of the search's study in the storage."""
        return f"{self.sampler}-seed{self.seed}"


def reward(
    accuracy: float, flops: float, *, target: float, exponent: float = -0.07
) -> float:
    """The paper's ACC(m) * (FLOPS(m) / T) ** w (section 4).

    Args:
        accuracy: float from 0 to 1, the top-1 accuracy.
        flops: multiply-accumulates, as the paper counts FLOPS.
        target: T, in the same unit; the paper's is 400 million.
        exponent: float, w.
    """
    return accuracy * (flops / target) ** exponent


def run(search: Search, *, workers: int = 1) -> list[Row]:
    """Searches until all trials are done; the same call continues after a kill.

    Args:
        search: the search to run.
        workers: processes, see `trials.run`.

    Returns:
        The result of `rows`.

    Raises:
        ValueError: if the root or the storage holds a search with other settings.
    """
    _spread([search] * workers, workers)
    return rows(search)


def compare(
    search: Search, *, samplers: Sequence[str], seeds: int = 3, workers: int = 1
) -> dict[str, list[list[Row]]]:
    """Runs the same search with each sampler and seed, with one worker each.

    Args:
        search: the search; its sampler and seed are replaced.
        samplers: names of the samplers to compare.
        seeds: int; the samplers take the seeds 0 to seeds - 1. The seed of trainings is
            always the same, so that a network of several searches is trained once.
        workers: int, searches at a time.

    Returns:
        `rows` of each seed, by sampler.
    """
    trainings = search.trainings_folder
    searches = {
        (sampler, seed): dataclasses.replace(
            search,
            sampler=sampler,
            seed=seed,
            root=f"{search.root}/{sampler}-seed{seed}",
            trainings=trainings,
        )
        for sampler in samplers
        for seed in range(seeds)
    }
    _spread(list(searches.values()), workers)
    return {
        sampler: [rows(searches[sampler, seed]) for seed in range(seeds)]
        for sampler in samplers
    }


def rows(search: Search) -> list[Row]:
    """Lists a row for each finished trial, in the order in which they began.

    A row has number, blocks (comma-separated), macs, params, held_out_top_1 (decides)
    and top_1 (on validation images; only reported) from 0 to 1, reward and seconds.
    """
    return _rows(_open(search), search)


def best(rows: Sequence[Row]) -> Row:
    """Returns the row with the highest reward, the first of equals."""
    return max(rows, key=lambda row: row["reward"])


def work(search: Search, *, train: Train = trials_lib.train_one) -> None:
    """Runs one worker, which takes trials until it or others have done all.

    Args:
        search: the search to run.
        train: takes a Config and a folder; see `trials.train_one`.

    Raises:
        InterruptedError: after SIGTERM or Ctrl-C, with the training saved.
    """
    study = _open(search)
    while len(search_storage.trials(study, "COMPLETE")) < search.trials:
        claimed = _claim(study, search)
        if claimed is None:  # other workers do the rest, unless one dies
            time.sleep(_POLL_SECONDS)
            continue
        trial, held = claimed
        with held:
            row = _evaluate(search, trial, train)
            trial.set_user_attr("row", row)
            study.tell(trial, row["reward"])
        print(
            f"{search.name} trial {row['number']}  reward {row['reward']:.4f}, "
            f"held-out top-1 {row['held_out_top_1']:.2%}, {row['macs']:,} MACs, "
            f"{row['seconds']:.0f} s  {row['blocks']}",
            flush=True,
        )
        with file_locks.lock(f"{search.root}/write.lock"):
            files.write_csv(f"{search.root}/trials.csv", _rows(study, search))


def _rows(study: Any, search: Search) -> list[Row]:
    done = search_storage.trials(study, "COMPLETE")
    return [trial.user_attrs["row"] for trial in done[: search.trials]]


def _claim(study: Any, search: Search) -> tuple[Any, Any] | None:
    """Starts a trial, or restarts one whose worker is gone.

    Returns:
        The trial with all its choices made, and the lock that shows that its worker
        lives; None if all trials wanted are begun or done.
    """
    with file_locks.lock(f"{search.root}/search.lock"):
        search_storage.renew_lost(study, search.root)
        begun = len(search_storage.trials(study, "COMPLETE", "RUNNING"))
        if begun >= search.trials:
            return None
        study.sampler = _sampler(search, begun)
        trial = study.ask()
        held = file_locks.lock(search_storage.worker_lock(search.root, trial.number))
        search.space.sample(trial)
        return trial, held


def _evaluate(search: Search, trial: Any, train: Train) -> Row:
    blocks = search.space.sample(trial)
    config = search.config(blocks)
    folder = search.trainings_folder
    name = hashlib.sha256(str(config.blocks).encode()).hexdigest()[:16]
    # Another trial may be training the same network.
    with file_locks.lock(f"{folder}/{name}.lock"):
        result = train(config, f"{folder}/{name}")
    count = trials_lib.count(config)
    accuracy = result["held_out_top_1"]
    return {
        "number": trial.number,
        "blocks": config.blocks,
        "macs": count.macs,
        "params": count.params,
        "held_out_top_1": accuracy,
        "top_1": result["top_1"],
        "reward": reward(accuracy, count.macs, target=search.target),
        "seconds": result["seconds"],
    }


def _spread(searches: Sequence[Search], workers: int) -> None:
    """Works on the searches in several processes."""
    missing = [s for s in searches if len(rows(s)) < s.trials]
    if not missing:
        return
    with trials_lib.worker_pool(workers) as pool:
        jobs = [pool.submit(work, search) for search in missing]
        for job in concurrent.futures.as_completed(jobs):
            job.result()


def _open(search: Search) -> Any:
    return search_storage.open_study(
        search.root, search.name, settings=identity(search), url=search.storage
    )


def identity(search: Search) -> dict:
    """Returns what distinguishes searches; not data_dir or trials, which may change."""
    settings = {k: v for k, v in search.settings.items() if k != "data_dir"}
    return {
        "skeleton": search.space.skeleton,
        "settings": settings,
        "target_macs": search.target,
    }


def _sampler(search: Search, index: int) -> Any:
    """Makes the sampler of the trial that begins after `index` others.

    Each trial's sampler has its own seed: a search that continues after a kill draws
    what it would have drawn, and workers do not draw the same.
    """
    import numpy as np
    import optuna

    seed = int(np.random.SeedSequence([search.seed, index]).generate_state(1)[0])
    if search.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(
        n_startup_trials=STARTUP_TRIALS,
        multivariate=True,
        constant_liar=True,  # running trials count as bad, so that workers differ
        seed=seed,
    )
