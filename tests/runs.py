"""What two runs have to have in common, read from their folders."""

import json
import pathlib

import numpy as np
import tensorflow as tf


def variables(folder):
    reader = tf.train.load_checkpoint(folder)
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        # How often a process saved is no part of what it saved.
        if not name.startswith(("save_counter", "_CHECKPOINTABLE"))
    }


def assert_same_end(got, expected):
    for folder in ("checkpoints", "best"):
        left, right = variables(f"{got}/{folder}"), variables(f"{expected}/{folder}")
        assert left.keys() == right.keys()
        for name in left:
            np.testing.assert_array_equal(left[name], right[name], err_msg=name)
    names = variables(f"{got}/checkpoints")
    assert names["evaluations/best_step/.ATTRIBUTES/VARIABLE_VALUE"] > 0


def metrics(model_dir, kind):
    """The lines of metrics.jsonl of a kind."""
    lines = pathlib.Path(model_dir, "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [record for record in records if record["kind"] == kind]
