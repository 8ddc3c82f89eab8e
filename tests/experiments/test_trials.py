"""Trials: real short trainings, several at a time, and what they leave."""

import dataclasses
import json
import os
import pathlib
import signal

import networks
import pytest

from efficientnet_tf import config as config_lib
from efficientnet_tf.experiments import (
    coefficient_search,
    scaling_study,
    transfer_study,
    trials,
)
from efficientnet_tf.scaling import compound

SETTINGS = {
    "blocks": networks.ONE,
    "dataset": "digits",
    "train_epochs": 1.0,
    "eval_epochs": 1.0,
    "train_batch_size": 60,
    "moving_average_decay": 0.9,
    "warmup_epochs": 0.5,
    "learning_rate": 0.03,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, digits_dir):
    """Two trials, one trained before, here, and one by a worker of two."""
    root = str(tmp_path_factory.mktemp("trials"))
    config = config_lib.create(**SETTINGS, data_dir=digits_dir)
    configs = {
        "first": config,
        "wide": trials.with_network(
            config, compound.multiply(trials.network(config), width=2.0)
        ),
    }
    trials.train_one(configs["wide"], f"{root}/wide", device="cpu")
    return root, configs, trials.run(configs, root=root, workers=2)


@pytest.mark.slow
def test_results_come_in_order_with_scores_of_the_validation_images(trained):
    root, configs, results = trained
    assert list(results) == ["first", "wide"]
    for name, result in results.items():
        assert result["examples"] == 360
        assert 0.05 < result["top_1"] <= 1
        with open(f"{root}/{name}/metrics.jsonl") as file:
            lines = [json.loads(line) for line in file]
        held_out = [line["top_1"] for line in lines if line.get("split") == "minival"]
        assert result["held_out_top_1"] == max(held_out)
        assert "images/s" in pathlib.Path(f"{root}/{name}/log.txt").read_text()
    assert configs["wide"].width_coefficient == 2.0


@pytest.mark.slow
def test_what_is_trained_is_not_trained_again(trained, capsys):
    root, configs, results = trained
    before = os.stat(f"{root}/first/result.json").st_mtime_ns
    assert trials.run(configs, root=root) == results
    assert os.stat(f"{root}/first/result.json").st_mtime_ns == before
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_trial_by_the_same_name_with_other_settings_is_refused(trained):
    root, configs, _ = trained
    other = dataclasses.replace(configs["first"], seed=1)
    with pytest.raises(ValueError, match="trial with other settings"):
        trials.run({"first": other}, root=root)


def test_a_damaged_result_is_named(tmp_path, digits_dir):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "result.json").write_text('{"config"')
    config = config_lib.create(**SETTINGS, data_dir=digits_dir)
    with pytest.raises(ValueError, match=r"a/result\.json: .*delete it"):
        trials.run({"a": config}, root=str(tmp_path))


def kill_worker(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_one_clear_error(tmp_path, digits_dir, monkeypatch):
    monkeypatch.setattr(trials, "train_one", kill_worker)
    config = config_lib.create(**SETTINGS, data_dir=digits_dir)
    with pytest.raises(InterruptedError, match="the same command continues"):
        trials.run({"a": config}, root=str(tmp_path))


@pytest.mark.slow
def test_data_may_move(trained):
    root, configs, results = trained
    moved = dataclasses.replace(configs["first"], data_dir="/elsewhere")
    assert trials.run({"first": moved}, root=root)["first"] == results["first"]


def test_a_diverging_trial_scores_0(tmp_path, digits_dir, monkeypatch):
    from efficientnet_tf.training import loop

    def diverge(*args, **kwargs):
        raise FloatingPointError("loss is nan at step 20")

    monkeypatch.setattr(loop, "train", diverge)
    config = config_lib.create(**SETTINGS, data_dir=digits_dir)
    result = trials.train_one(config, str(tmp_path / "a"))
    assert result["held_out_top_1"] == result["top_1"] == 0
    assert "step 20" in result["error"]


def test_a_stopped_trial_leaves_no_result(tmp_path, digits_dir, monkeypatch):
    from efficientnet_tf.training import loop

    stopped = {"finished": False, "step": 7, "stopped_by": "SIGTERM"}
    monkeypatch.setattr(loop, "train", lambda *args, **kwargs: stopped)
    config = config_lib.create(**SETTINGS, data_dir=digits_dir)
    with pytest.raises(InterruptedError, match="SIGTERM at step 7"):
        trials.train_one(config, str(tmp_path / "a"))
    assert not os.path.exists(tmp_path / "a" / "result.json")


def scored(monkeypatch):
    """Replaces training by a score that grows with the network's depth."""

    def run(configs, **kwargs):
        return {
            name: {
                "held_out_top_1": config.depth_coefficient / 10,
                "top_1": config.depth_coefficient / 20 + config.seed / 100,
            }
            for name, config in configs.items()
        }

    monkeypatch.setattr(trials, "run", run)


def test_the_coefficient_search_ranks_by_held_out_accuracy(monkeypatch):
    scored(monkeypatch)
    candidates = [compound.PAPER, compound.Coefficients(2.0, 1.0, 1.0)]
    rows = coefficient_search.search(
        config_lib.create(**SETTINGS), candidates, root="nowhere"
    )
    assert [row["alpha"] for row in rows] == [2.0, 1.2]
    assert rows[0]["held_out_top_1"] == 0.2
    assert rows[0]["formula"] == 2.0


def test_several_labels_an_image_have_no_top_1_to_compare(tmp_path):
    config = config_lib.create(dataset="fake", multi_label=True)
    with pytest.raises(ValueError, match="multi_label=True: searches and studies comp"):
        trials.train_one(config, str(tmp_path / "trial"))
    assert not (tmp_path / "trial").exists()


def test_a_search_needs_held_out_images():
    with pytest.raises(ValueError, match="minival_shards=0"):
        coefficient_search.search(
            config_lib.create(**SETTINGS, minival_shards=0),
            [compound.PAPER],
            root="nowhere",
        )


def test_a_study_reports_every_seed(monkeypatch):
    scored(monkeypatch)
    settings = scaling_study.PROXY | {"data_dir": "x", "num_classes": 10}
    settings["dataset"] = "imagenet"
    points = [scaling_study.Point("depth", depth=2.0)]
    (row,) = scaling_study.train(points, settings, root="nowhere", seeds=3)
    assert row["top_1"] == pytest.approx([10.0, 11.0, 12.0])
    assert row["mean"] == pytest.approx(11.0)
    assert row["stddev"] == pytest.approx(1.0)
    assert row["label"] == "d2-w1-r1"


def test_a_transfer_starts_from_what_was_trained_and_from_nothing(monkeypatch):
    ran = {}

    def run(configs, *, root, workers):
        ran.update({(root, name): config for name, config in configs.items()})
        order = enumerate(sorted(configs))
        return {name: {"top_1": 0.1 * (1 + i)} for i, name in order}

    monkeypatch.setattr(trials, "run", run)
    monkeypatch.setattr(
        transfer_study, "export_weights", lambda config, folder: f"{folder}/weights.h5"
    )
    data = {"dataset": "imagenet", "num_classes": 5}
    rows = transfer_study.train(
        pretrain_dir="first",
        data_dir="second",
        root="r",
        widths=(1.0, 2.0),
        pretrain=transfer_study.PRETRAIN | data,
        finetune=transfer_study.FINETUNE | data,
    )
    assert {config.data_dir for (root, _), config in ran.items() if root == "r"} == {
        "second"
    }
    tuned, scratch = ran["r", "finetune-w2"], ran["r", "scratch-w2"]
    assert tuned.weights == "r/pretrain/w2/weights.h5" and scratch.weights is None
    assert tuned.recipe == "finetune" and scratch.recipe == "paper"
    assert tuned.learning_rate == scratch.learning_rate
    assert rows[1]["params"] > 2 * rows[0]["params"]
    # In name order: finetune-w1, finetune-w2, scratch-w1, scratch-w2.
    assert rows[0]["finetuned"] == pytest.approx(10)
    assert rows[1]["scratch"] == pytest.approx(40)
    assert rows[1]["pretrained"] == pytest.approx(20)


def test_the_proxys_networks_take_about_equal_macs():
    config = config_lib.create(
        **scaling_study.PROXY | {"dataset": "imagenet", "data_dir": "x"}
    )
    base = trials.network(config)
    points = scaling_study.equal_flops(base)
    assert [point.curve for point in points] == [
        "base",
        *("width", "depth", "resolution", "compound") * 2,
    ]
    macs = [scaling_study.row(point, base)["macs"] for point in points]
    assert macs[0] == 1_115_904
    for group, multiple in ((macs[1:5], 2.09), (macs[5:], 3.63)):
        for value in group:
            assert value == pytest.approx(multiple * macs[0], rel=0.12)
