"""A run in which nothing is left out, and what two such runs have in common."""

import json
import pathlib

import networks
import tensorflow as tf

from efficientnet_tf.experiments import interruptions


def arguments(digits_dir, model_dir) -> list[str]:
    """main.py's for a run of 84 steps."""
    # Everything that a resumed run could lose is on: dropout, stochastic depth,
    # averages, random crops, MixUp, held-out evaluations, checkpoints that coincide
    # with evaluations and checkpoints that do not. RandAugment takes 5 s to trace;
    # tests/data/test_train_batches.py checks that it continues bit for bit.
    return [
        "--dataset=digits",
        f"--data_dir={digits_dir}",
        f"--model_dir={model_dir}",
        f"--blocks={networks.PLAIN}",
        "--augment=none",
        "--mixup_alpha=0.2",
        "--train_batch_size=16",
        "--train_epochs=1",
        "--steps_per_loop=3",
        "--checkpoint_epochs=0.0625",
        "--eval_epochs=0.125",
        "--seed=7",
    ]


def latest_step(model_dir):
    path = tf.train.latest_checkpoint(f"{model_dir}/checkpoints")
    return int(path.rsplit("-", 1)[1]) if path else 0


def assert_same_end(got, expected):
    assert interruptions.other_values(str(got), str(expected)) == []
    names = interruptions.variables(f"{got}/checkpoints")
    assert names["evaluations/best_step/.ATTRIBUTES/VARIABLE_VALUE"] > 0


def metrics(model_dir, kind):
    """The lines of metrics.jsonl of a kind."""
    lines = pathlib.Path(model_dir, "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [record for record in records if record["kind"] == kind]
