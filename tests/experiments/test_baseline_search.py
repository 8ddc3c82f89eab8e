"""The baseline search: trials, workers and kills."""

import json
import multiprocessing
import os
import pathlib
import signal
import time

import pytest
from search_support import PROXY, SETTINGS, optuna, read_csv
from slow_cases import slow

from efficientnet_tf import blocks, counting, expansion
from efficientnet_tf.experiments import (
    baseline_search,
    search_space,
    search_storage,
)


def _search(root, **kwargs) -> baseline_search.Search:
    return baseline_search.Search(
        **{"space": PROXY, "settings": SETTINGS, "root": str(root), "trials": 12}
        | kwargs
    )


def _score(text: str) -> float:
    """The score of a network's fake training: its expansions and a hash-like rest."""
    stages = [blocks.decode_block(part) for part in text.split(",")]
    return sum(s.expand_ratio + s.kernel_size for s in stages) / 40


def _fake(config, model_dir: str) -> dict:
    """A training that takes no time; its folder counts them."""
    os.makedirs(model_dir, exist_ok=True)
    with open(f"{model_dir}/trained", "a") as file:
        file.write("x")
    score = _score(config.blocks)
    return {"held_out_top_1": score, "top_1": score / 2, "seconds": 0.25}


def _fake_that_takes_time(config, model_dir: str) -> dict:
    time.sleep(0.1)
    return _fake(config, model_dir)


def _fake_that_hangs(config, model_dir: str) -> dict:
    if len(os.listdir(os.path.dirname(model_dir))) > 3:
        open(f"{os.path.dirname(model_dir)}/hangs", "w").close()
        time.sleep(600)
    return _fake(config, model_dir)


def _networks(search) -> list[str]:
    return [row["blocks"] for row in baseline_search.rows(search)]


def _trainings(root) -> list[int]:
    """How often each network was trained."""
    paths = pathlib.Path(root).glob("trainings/*/trained")
    return [len(path.read_text()) for path in paths]


def test_every_trial_is_a_row(tmp_path):
    search = _search(tmp_path)
    baseline_search.work(search, train=_fake)
    rows = baseline_search.rows(search)
    assert [row["number"] for row in rows] == list(range(12))
    for row in rows:
        network = expansion.customize(
            "efficientnet-test", blocks=row["blocks"].split(",")
        )
        macs = counting.count(network, image_size=16, classes=10).macs
        assert row["macs"] == macs
        assert row["held_out_top_1"] == _score(row["blocks"]) == 2 * row["top_1"]
        assert row["reward"] == baseline_search.reward(
            row["held_out_top_1"], macs, target=search.target
        )
    assert baseline_search.best(rows)["reward"] == max(row["reward"] for row in rows)
    lines = read_csv(tmp_path / "trials.csv")
    assert [{k: str(v) for k, v in row.items()} for row in rows] == lines
    skeleton = expansion.customize("efficientnet-test", blocks=PROXY.skeleton)
    count = counting.count(skeleton, image_size=16, classes=10)
    assert search.target == count.macs


def test_a_network_that_comes_up_again_is_trained_once(tmp_path):
    tiny = search_space.Space(
        ("r1_k3_s11_e1_i8_o8",)
    )  # 2 * 2 * 6 * 2 * 2 * 1 * 2 choices
    search = _search(tmp_path, space=tiny, trials=30, sampler="random")
    baseline_search.work(search, train=lambda config, folder: _cached(config, folder))
    networks = _networks(search)
    assert len(networks) == 30 > len(set(networks))
    assert _trainings(tmp_path) == [1] * len(set(networks))


def _cached(config, model_dir: str) -> dict:
    """As `trials.train_one`, takes what is there."""
    path = pathlib.Path(model_dir, "result")
    if not path.exists():
        result = _fake(config, model_dir)
        path.write_text(json.dumps(result))
    return json.loads(path.read_text())


def test_one_worker_searches_alike_even_after_a_stop(tmp_path):
    whole, stopped = _search(tmp_path / "whole"), _search(tmp_path / "stopped")
    baseline_search.work(whole, train=_fake)
    for stop_at in (3, 10):  # at random, and when TPE chooses
        with pytest.raises(InterruptedError):
            baseline_search.work(stopped, train=_stops(stop_at))
        assert len(_networks(stopped)) == stop_at
    baseline_search.work(stopped, train=_fake)
    assert _networks(stopped) == _networks(whole)
    other = _search(tmp_path / "other", seed=1, trials=3)
    baseline_search.work(other, train=_fake)
    assert _networks(other) != _networks(whole)[:3]


def _stops(trained: int):
    """A training that SIGTERM ends once so many have been trained."""

    def train(config, model_dir):
        if len(_trainings(pathlib.Path(model_dir).parents[1])) >= trained:
            raise InterruptedError
        return _fake(config, model_dir)

    return train


def test_tpe_begins_as_random_search_does_and_then_does_better(tmp_path):
    searches = {
        sampler: _search(tmp_path / sampler, sampler=sampler, trials=30)
        for sampler in baseline_search.SAMPLERS
    }
    for search in searches.values():
        baseline_search.work(search, train=_fake)
    tpe, by_chance = (_networks(searches[name]) for name in ("tpe", "random"))
    assert (
        tpe[: baseline_search.STARTUP_TRIALS]
        == by_chance[: baseline_search.STARTUP_TRIALS]
    )
    assert (
        tpe[baseline_search.STARTUP_TRIALS] != by_chance[baseline_search.STARTUP_TRIALS]
    )
    later = {
        name: [row["reward"] for row in baseline_search.rows(search)[15:]]
        for name, search in searches.items()
    }
    assert sum(later["tpe"]) > 1.05 * sum(later["random"])


def _begin(search, train) -> multiprocessing.Process:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=baseline_search.work, args=(search,), kwargs=train)
    process.start()
    return process


@pytest.mark.parametrize("database", [False, *slow(True)], ids=["journal", "database"])
def test_workers_share_a_search(tmp_path, database):
    url = f"sqlite:///{tmp_path}/search.db" if database else None
    count = 4 if database else 12
    # TPE's choices would depend on which worker is done first.
    settings = {"trials": count, "sampler": "random"}
    search = _search(tmp_path, storage=url, **settings)
    workers = [_begin(search, {"train": _fake_that_takes_time}) for _ in range(2)]
    for worker in workers:
        worker.join(1800)  # if it hangs
        assert worker.exitcode == 0
    trials = search_storage.open_study(
        search.root, search.name, settings=baseline_search.identity(search), url=url
    ).trials
    assert [t.state for t in trials] == [optuna.trial.TrialState.COMPLETE] * count
    assert _trainings(tmp_path) == [1] * count
    alone = _search(tmp_path / "alone", **settings)
    baseline_search.work(alone, train=_fake)
    assert sorted(_networks(search)) == sorted(_networks(alone))
    assert len(set(_networks(search))) == count


def test_the_trial_of_a_killed_worker_is_done_by_another(tmp_path):
    search = _search(tmp_path, trials=5)
    doomed = _begin(search, {"train": _fake_that_hangs})
    while not (tmp_path / "trainings" / "hangs").exists():
        assert doomed.is_alive()
        time.sleep(0.05)
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.join(1800)
    baseline_search.work(search, train=_fake)
    untouched = _search(tmp_path / "untouched", trials=5)
    baseline_search.work(untouched, train=_fake)
    assert _networks(search) == _networks(untouched)
    assert _trainings(tmp_path) == [1] * 5


def test_a_finished_search_may_grow(tmp_path):
    baseline_search.work(_search(tmp_path, trials=2), train=_fake)
    baseline_search.work(_search(tmp_path, trials=4), train=_fake)
    assert len(_networks(_search(tmp_path, trials=4))) == 4
    assert len(_networks(_search(tmp_path, trials=3))) == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sampler": "grid"}, r"^sampler='grid': allowed are tpe, random$"),
        ({"trials": 0}, r"^trials=0: allowed is 1 and more$"),
        ({"target_macs": 0}, r"^target_macs=0: allowed is 1 and more$"),
        ({"settings": SETTINGS | {"minival_shards": 0}}, r"^minival_shards=0: a searc"),
        ({"settings": SETTINGS | {"epochs": 1}}, r"^unknown setting epochs"),
    ],
)
def test_wrong_settings_are_named(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        _search(tmp_path, **wrong)


def test_a_search_with_other_settings_is_not_continued(tmp_path):
    baseline_search.work(_search(tmp_path, trials=1), train=_fake)
    with pytest.raises(ValueError, match=f"^root={tmp_path}: the search tpe-seed0 the"):
        baseline_search.rows(_search(tmp_path, target_macs=7))
