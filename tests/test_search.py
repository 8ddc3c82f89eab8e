import csv
import json
import math
import multiprocessing
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from efficientnet_tf import blocks, config, counting, expansion
from efficientnet_tf.paper import scaling_study
from efficientnet_tf.search import report, space, storage, study

optuna = pytest.importorskip("optuna", reason="needs pip install -e '.[search]'")

ROOT = pathlib.Path(__file__).parents[1]
TOOL = ROOT / "tools" / "search_baseline.py"
PROXY = space.Space(tuple(scaling_study.PROXY["blocks"].split(",")))
SETTINGS = {"model": "efficientnet-test", "image_size": 16, "dataset": "digits"}


def _search(root, **kwargs) -> study.Search:
    return study.Search(
        **{"space": PROXY, "settings": SETTINGS, "root": str(root), "trials": 12}
        | kwargs
    )


def _score(text: str) -> float:
    """What a network's fake training comes to: expansions and a hash-like rest."""
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
    return [row["blocks"] for row in study.rows(search)]


def _trainings(root) -> list[int]:
    """How often each network was trained."""
    paths = pathlib.Path(root).glob("trainings/*/trained")
    return [len(path.read_text()) for path in paths]


def _csv(path: pathlib.Path) -> list[dict]:
    return list(csv.DictReader(path.read_text().splitlines()))


# The space.


@pytest.mark.parametrize("of", [space.Space(), PROXY], ids=["b0", "proxy"])
def test_every_choice_is_a_network(of):
    chooser = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    skeleton = [blocks.decode_block(text) for text in of.skeleton]
    seen = set()
    for _ in range(200):
        trial = chooser.ask()
        strings = of.sample(trial)
        stages = [blocks.decode_block(text) for text in strings]
        assert tuple(map(blocks.encode_block, stages)) == strings
        assert [s.strides for s in stages] == [s.strides for s in skeleton]
        assert stages[0].input_filters == skeleton[0].input_filters
        network = expansion.customize("efficientnet-b0", blocks=strings)
        assert len(expansion.expand(network)) == sum(s.repeats for s in stages)
        assert counting.count(network, image_size=32).macs > 0
        # Nothing is rounded on the way: what is chosen is what is built.
        assert {b.output_filters for b in expansion.expand(network)} == {
            s.output_filters for s in stages
        }
        assert of.sample(trial) == strings
        seen |= set(trial.params.items())
        settings = SETTINGS | {"blocks": ",".join(strings)}
        assert config.create(**settings).variant.blocks == strings
    per_stage = [2 * 2 * 6 * 2 * 2] * len(skeleton)
    assert math.prod(per_stage) <= of.size()
    assert {("stage1_kind", "fused"), ("stage2_expansion", 5)} <= seen


def test_the_choices_around_the_proxy():
    distributions = optuna.create_study().ask()
    PROXY.sample(distributions)
    choices = {k: d.choices for k, d in distributions.distributions.items()}
    assert len(choices) == 3 * 7
    assert choices["stage1_filters"] == (16, 24)  # 12 and 16 both round to 16
    assert choices["stage2_filters"] == (16, 24, 32)
    assert choices["stage3_filters"] == (32, 40, 48)
    assert choices["stage1_repeats"] == (1, 2)
    assert choices["stage3_repeats"] == (2, 3, 4)
    assert PROXY.size() == 96**3 * (2 * 2) * (3 * 3) * (3 * 3)


def _fixed(**changed):
    chosen = {}
    for stage in "123":
        chosen |= {f"stage{stage}_{k}": v for k, v in _PLAIN.items()}
    sizes = zip("123", (16, 24, 40), (1, 2, 2), strict=True)
    for stage, filters, repeats in sizes:
        chosen[f"stage{stage}_filters"] = filters
        chosen[f"stage{stage}_repeats"] = repeats
    return PROXY.sample(optuna.trial.FixedTrial(chosen | changed))


_PLAIN = {"kind": "mbconv", "kernel": 3, "expansion": 1, "se": 0.0, "skip": False}


def test_a_choice_is_written_as_block_strings():
    assert _fixed(stage2_kind="fused", stage2_se=0.25, stage2_expansion=6) == (
        "r1_k3_s11_e1_i16_o16_noskip",
        "r2_k3_s22_e6_i16_o24_f1_se0.25_noskip",
        "r2_k3_s11_e1_i24_o40_noskip",
    )


def test_no_skip_is_said_only_where_there_could_be_one():
    assert _fixed(stage1_filters=24)[0] == "r1_k3_s11_e1_i16_o24"
    assert _fixed(stage2_repeats=2)[1] == "r2_k3_s22_e1_i16_o24_noskip"


def test_a_skeleton_that_is_no_network_is_refused():
    with pytest.raises(ValueError, match="takes 24, but the block string before"):
        space.Space(("r1_k3_s11_e1_i16_o16", "r1_k3_s11_e1_i24_o24"))


# Reward and report.


def test_reward_is_the_papers():
    assert study.reward(0.75, 400e6, target=400e6) == 0.75
    assert study.reward(0.75, 800e6, target=400e6) == pytest.approx(
        0.75 * math.exp(-0.07 * math.log(2)), rel=1e-12
    )
    assert study.reward(0.5, 100, target=400, exponent=-0.5) == pytest.approx(1.0)


def _rows(seed: int, count: int) -> list[study.Row]:
    rng = random.Random(seed)
    return [
        {"number": i, "macs": rng.randint(1, 9), "held_out_top_1": rng.randint(1, 9)}
        for i in range(count)
    ]


def _beats(one, other) -> bool:
    fewer, better = one["macs"] - other["macs"], one["held_out_top_1"]
    better -= other["held_out_top_1"]
    same = fewer == better == 0
    return fewer <= 0 <= better and (not same or one["number"] < other["number"])


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_pareto_front_is_what_no_other_beats(count):
    for seed in range(20):
        rows = _rows(seed, count)
        wanted = [
            row
            for row in rows
            if not any(_beats(other, row) for other in rows if other is not row)
        ]
        wanted.sort(key=lambda row: row["macs"])
        assert report.pareto_front(rows) == wanted


def _rewards(*rewards) -> list[study.Row]:
    return [
        {"number": i, "reward": r, "macs": 100 + i, "held_out_top_1": r, "blocks": "b"}
        for i, r in enumerate(rewards)
    ]


RESULTS = {
    "random": [_rewards(1, 3, 2), _rewards(2, 1, 5)],
    "tpe": [_rewards(4, 4, 6), _rewards(2, 3, 4)],
}


def test_samplers_are_compared_by_the_best_so_far():
    assert report.best_so_far(RESULTS["random"][1]) == [2, 2, 5]
    summary = report.summary(RESULTS)
    assert summary["random"]["best"] == [3, 5]
    assert summary["random"]["curve"] == [
        (1.5, pytest.approx(0.5**0.5)),
        (2.5, pytest.approx(0.5**0.5)),
        (4, pytest.approx(2**0.5)),
    ]
    assert (summary["tpe"]["mean"], summary["tpe"]["stddev"]) == (5, 2**0.5)


def test_reports_are_written(tmp_path):
    report.write_csv(str(tmp_path / "r.csv"), RESULTS)
    lines = _csv(tmp_path / "r.csv")
    assert len(lines) == 12
    assert [line["best_so_far"] for line in lines[:3]] == ["1", "3", "3"]
    assert (lines[-1]["sampler"], lines[-1]["seed"]) == ("tpe", "1")
    report.plot_samplers(str(tmp_path / "samplers.png"), RESULTS)
    report.plot_front(str(tmp_path / "front.png"), RESULTS["tpe"][0])
    for name in ("samplers.png", "front.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


# The search.


def test_every_trial_is_a_row(tmp_path):
    search = _search(tmp_path)
    study.work(search, train=_fake)
    rows = study.rows(search)
    assert [row["number"] for row in rows] == list(range(12))
    for row in rows:
        network = expansion.customize(
            "efficientnet-test", blocks=row["blocks"].split(",")
        )
        macs = counting.count(network, image_size=16, classes=10).macs
        assert row["macs"] == macs
        assert row["held_out_top_1"] == _score(row["blocks"]) == 2 * row["top_1"]
        assert row["reward"] == study.reward(
            row["held_out_top_1"], macs, target=search.target
        )
    assert study.best(rows)["reward"] == max(row["reward"] for row in rows)
    lines = _csv(tmp_path / "trials.csv")
    assert [{k: str(v) for k, v in row.items()} for row in rows] == lines
    skeleton = expansion.customize("efficientnet-test", blocks=PROXY.skeleton)
    count = counting.count(skeleton, image_size=16, classes=10)
    assert search.target == count.macs


def test_a_network_that_comes_up_again_is_trained_once(tmp_path):
    tiny = space.Space(("r1_k3_s11_e1_i8_o8",))  # 2 * 2 * 6 * 2 * 2 * 1 * 2 choices
    search = _search(tmp_path, space=tiny, trials=30, sampler="random")
    study.work(search, train=lambda config, folder: _cached(config, folder))
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
    study.work(whole, train=_fake)
    for stop_at in (3, 10):  # at random, and when TPE chooses
        with pytest.raises(InterruptedError):
            study.work(stopped, train=_stops(stop_at))
        assert len(_networks(stopped)) == stop_at
    study.work(stopped, train=_fake)
    assert _networks(stopped) == _networks(whole)
    other = _search(tmp_path / "other", seed=1, trials=3)
    study.work(other, train=_fake)
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
        for sampler in study.SAMPLERS
    }
    for search in searches.values():
        study.work(search, train=_fake)
    tpe, by_chance = (_networks(searches[name]) for name in ("tpe", "random"))
    assert tpe[: study.STARTUP_TRIALS] == by_chance[: study.STARTUP_TRIALS]
    assert tpe[study.STARTUP_TRIALS] != by_chance[study.STARTUP_TRIALS]
    later = {
        name: [row["reward"] for row in study.rows(search)[15:]]
        for name, search in searches.items()
    }
    assert sum(later["tpe"]) > 1.05 * sum(later["random"])


def _begin(search, train) -> multiprocessing.Process:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=study.work, args=(search,), kwargs=train)
    process.start()
    return process


@pytest.mark.parametrize("database", [False, True], ids=["journal", "database"])
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
    trials = storage.open_study(
        search.root, search.name, settings=study._settings(search), url=url
    ).trials
    assert [t.state for t in trials] == [optuna.trial.TrialState.COMPLETE] * count
    assert _trainings(tmp_path) == [1] * count
    alone = _search(tmp_path / "alone", **settings)
    study.work(alone, train=_fake)
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
    study.work(search, train=_fake)
    untouched = _search(tmp_path / "untouched", trials=5)
    study.work(untouched, train=_fake)
    assert _networks(search) == _networks(untouched)
    assert _trainings(tmp_path) == [1] * 5


def test_a_finished_search_may_grow(tmp_path):
    study.work(_search(tmp_path, trials=2), train=_fake)
    study.work(_search(tmp_path, trials=4), train=_fake)
    assert len(_networks(_search(tmp_path, trials=4))) == 4
    assert len(_networks(_search(tmp_path, trials=3))) == 3


# What is refused.


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sampler": "grid"}, r"^sampler='grid': allowed are tpe, random$"),
        ({"trials": 0}, r"^trials=0: allowed is 1 and more$"),
        ({"target_macs": 0}, r"^target_macs=0: allowed is 1 and more$"),
        ({"settings": SETTINGS | {"minival_shards": 0}}, r"^minival_shards=0: a searc"),
        ({"settings": SETTINGS | {"epochs": 1}}, r"^unknown setting 'epochs'"),
    ],
)
def test_wrong_settings_are_named(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        _search(tmp_path, **wrong)


def test_a_search_with_other_settings_is_not_continued(tmp_path):
    study.work(_search(tmp_path, trials=1), train=_fake)
    with pytest.raises(ValueError, match=f"^root={tmp_path}: the search tpe-seed0 the"):
        study.rows(_search(tmp_path, target_macs=7))


def _run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=ROOT
    )


def test_without_optuna_the_tool_says_what_to_install(tmp_path):
    without = (
        "import runpy, sys; sys.modules['optuna'] = None; "
        f"runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    )
    done = _run("-c", without, "--dataset=digits", f"--root={tmp_path}")
    assert done.returncode == 1
    assert done.stderr == "error: optuna is missing: pip install -e '.[search]'\n"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--image_size=4", "--image_size=4: allowed is 8 and more"),
        (
            "--minival_shards=0",
            "minival_shards=0: a search chooses by held-out images; allowed is more",
        ),
    ],
)
def test_the_tool_names_what_is_wrong(tmp_path, argument, message):
    done = _run(str(TOOL), "--dataset=digits", f"--root={tmp_path}", argument)
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")


@pytest.mark.slow
def test_the_tool_searches_and_compares(tmp_path):
    arguments = (
        str(TOOL),
        "--dataset=digits",
        f"--root={tmp_path}",
        "--trials=2",
        "--seeds=1",
        "--workers=2",
        "--compare",
        "--json",
        "--train_epochs=1",
        "--eval_epochs=1",
        "--image_size=8",
    )
    done = _run(*arguments)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    # Both begin with the same two networks, which are trained once.
    assert (result["trials"], result["networks"]) == (4, 2)
    folders = [p for p in (tmp_path / "trainings").iterdir() if p.is_dir()]
    assert len(folders) == 2
    lines = _csv(tmp_path / "trials.csv")
    best = max(lines, key=lambda line: float(line["reward"]))
    assert best["blocks"] == result["best"]["blocks"]
    assert 0 < result["best"]["held_out_top_1"] <= 1
    assert _run(*arguments).stdout.splitlines()[-1] == done.stdout.splitlines()[-1]
