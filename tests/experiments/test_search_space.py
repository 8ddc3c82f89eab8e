import math
import random

import pytest
from search_support import PROXY, SETTINGS, optuna, read_csv

from efficientnet_tf import blocks, config, counting, expansion
from efficientnet_tf.experiments import (
    baseline_search,
    search_report,
    search_space,
)


@pytest.mark.parametrize("of", [search_space.Space(), PROXY], ids=["b0", "proxy"])
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
        search_space.Space(("r1_k3_s11_e1_i16_o16", "r1_k3_s11_e1_i24_o24"))


def test_reward_is_the_papers():
    assert baseline_search.reward(0.75, 400e6, target=400e6) == 0.75
    assert baseline_search.reward(0.75, 800e6, target=400e6) == pytest.approx(
        0.75 * math.exp(-0.07 * math.log(2)), rel=1e-12
    )
    assert baseline_search.reward(0.5, 100, target=400, exponent=-0.5) == pytest.approx(
        1.0
    )


def _rows(seed: int, count: int) -> list[baseline_search.Row]:
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
        assert search_report.pareto_front(rows) == wanted


def _rewards(*rewards) -> list[baseline_search.Row]:
    return [
        {"number": i, "reward": r, "macs": 100 + i, "held_out_top_1": r, "blocks": "b"}
        for i, r in enumerate(rewards)
    ]


RESULTS = {
    "random": [_rewards(1, 3, 2), _rewards(2, 1, 5)],
    "tpe": [_rewards(4, 4, 6), _rewards(2, 3, 4)],
}


def test_samplers_are_compared_by_the_best_so_far():
    assert search_report.best_so_far(RESULTS["random"][1]) == [2, 2, 5]
    summary = search_report.summary(RESULTS)
    assert summary["random"]["best"] == [3, 5]
    assert summary["random"]["curve"] == [
        (1.5, pytest.approx(0.5**0.5)),
        (2.5, pytest.approx(0.5**0.5)),
        (4, pytest.approx(2**0.5)),
    ]
    assert (summary["tpe"]["mean"], summary["tpe"]["stddev"]) == (5, 2**0.5)


def test_reports_are_written(tmp_path):
    search_report.write_csv(str(tmp_path / "r.csv"), RESULTS)
    lines = read_csv(tmp_path / "r.csv")
    assert len(lines) == 12
    assert [line["best_so_far"] for line in lines[:3]] == ["1", "3", "3"]
    assert (lines[-1]["sampler"], lines[-1]["seed"]) == ("tpe", "1")
    search_report.plot_samplers(str(tmp_path / "samplers.png"), RESULTS)
    search_report.plot_front(str(tmp_path / "front.png"), RESULTS["tpe"][0])
    for name in ("samplers.png", "front.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
