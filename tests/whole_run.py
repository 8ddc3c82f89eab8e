"""A run in which nothing is left out, and what two such runs have in common."""

import json
import pathlib

import small_run
import tensorflow as tf

from efficientnet_tf.experiments import interruptions
from efficientnet_tf.runs import checkpoint_files


def arguments(digits_dir, model_dir) -> list[str]:
    """Flags of main.py for the training of `small_run`."""
    # tests/data/test_train_batches.py checks that RandAugment continues bit for bit.
    return [f"--model_dir={model_dir}", *small_run.flags(digits_dir)]


def latest_step(model_dir):
    path = tf.train.latest_checkpoint(f"{model_dir}/checkpoints")
    return checkpoint_files.step_of(path) if path else 0


def assert_same_end(got, expected):
    assert interruptions.other_values(str(got), str(expected)) == []
    names = interruptions.variables(f"{got}/checkpoints")
    assert names["evaluations/best_step/.ATTRIBUTES/VARIABLE_VALUE"] > 0


def metrics(model_dir, kind):
    """The lines of metrics.jsonl of a kind."""
    lines = pathlib.Path(model_dir, "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [record for record in records if record["kind"] == kind]
