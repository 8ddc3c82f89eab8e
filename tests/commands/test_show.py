"""--mode=show: the resolved configuration, told without training."""

import dataclasses

from command_line import refusal, succeed

import efficientnet_tf as en
from efficientnet_tf import config as config_lib


def test_every_setting_is_shown_with_where_it_comes_from(digits_dir, tmp_path):
    arguments = ("--dataset=digits", f"--data_dir={digits_dir}", "--train_epochs=3")
    done = succeed("--mode=show", *arguments, f"--model_dir={tmp_path}", "--json")
    made = config_lib.create(dataset="digits", data_dir=digits_dir, train_epochs=3.0)
    settings = done.json["settings"]
    values = {name: told["value"] for name, told in settings.items()}
    assert values == dataclasses.asdict(made)
    named = ("train_epochs", "learning_rate", "num_classes", "seed")
    assert [settings[name]["origin"] for name in named] == [
        *("flag", "recipe digits", "fact of the data", "default")
    ]
    for name, told in settings.items():
        (line,) = [x for x in done.stdout.splitlines() if x.startswith(f"{name} ")]
        assert line.split()[1] == str(told["value"])
        assert line.endswith(told["origin"])


def test_the_network_and_the_steps_are_shown(digits_dir):
    arguments = ("--dataset=digits", f"--data_dir={digits_dir}", "--train_epochs=3")
    done = succeed("--mode=show", *arguments, "--model=efficientnet-b1", "--json")
    counted = en.count("efficientnet-b1", image_size=32, classes=10)
    model = done.json["model"]
    assert (model["params"], model["macs"]) == (counted.params, counted.macs)
    assert [block["name"] for block in model["blocks"]] == [
        block.name for block in en.expand("efficientnet-b1")
    ]
    assert model["blocks"][-1]["output_filters"] == 320
    # 1,437 digits less one of 16 shards, in whole batches of 64.
    assert done.json["steps"] == {
        "train_images": 1347,
        "epoch_steps": 21,
        "train_steps": 63,
        "warmup_steps": 105,
    }


def test_what_training_refuses_is_refused_here_too():
    assert "--image_size=2: allowed is 8 and more" in refusal(
        "--mode=show", "--image_size=2"
    )
