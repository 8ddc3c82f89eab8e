"""Takes 10 training steps on virtual CPU devices; run by test_steps.py.

The number of devices is fixed once TensorFlow has started, so each count needs a
process of its own, which makes many runs: python replica_run.py DEVICES DATA_DIR FOLDER
writes FOLDER/NAME.npz for each settings by name in FOLDER/runs.json.
"""

import dataclasses
import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.hardware import devices
from efficientnet_tf.training import build
from efficientnet_tf.training import state as state_lib

STEPS = 10


def main(num_devices: int, data_dir: str, folder: pathlib.Path) -> None:
    strategy = devices.make_strategy("cpu", num_cpu_devices=num_devices)
    assert strategy.num_replicas_in_sync == num_devices
    for name, settings in json.loads((folder / "runs.json").read_text()).items():
        keras.utils.clear_session()
        config = config_lib.create(dataset="digits", data_dir=data_dir, **settings)
        found = take_steps(config, strategy, name)
        np.savez(folder / f"{name}.npz", **found)


def take_steps(config, strategy, name) -> dict:
    policy = devices.configure_numerics(strategy, config.precision)
    source = build.open_source(config)
    evaluations = state_lib.Evaluations()
    with strategy.scope():
        images = source.splits.train.images
        model = build.model(config, policy=policy)
        state = build.train_state(
            config, train_images=images, model=model, evaluations=evaluations
        )
    initial = flat(state.model.weights)
    trainer = build.trainer(config, state, source, strategy)
    losses = [trainer.train(tf.constant(1))["loss"] for _ in range(STEPS)]
    found = {
        "losses": losses,
        "initial": initial,
        "weights": flat(state.model.weights),
        "averages": np.concatenate([v.numpy().ravel() for v in state.ema.averages]),
        "replica_weights": per_replica(
            strategy, [v.value for v in state.model.weights]
        ),
        "replica_averages": per_replica(strategy, state.ema.averages),
        "logits": replica_logits(strategy, state.model, trainer),
    }
    if name == "still":
        found["examples"] = count_examples(config, state, source, strategy)
    if name == "chance":
        config = dataclasses.replace(config, seed=config.seed + 1)
        other = build.trainer_of(
            config, state, None, strategy, train_images=images, device="cpu"
        )
        found["other_logits"] = replica_logits(strategy, state.model, other)
    return found


def count_examples(config, state, source, strategy) -> int:
    """How many validation images an evaluation scores."""
    weights = state.inference_weights()
    split = source.splits.validation
    evaluator = build.evaluator(config, state.model, weights, source, split, strategy)
    return evaluator.evaluate(tf.constant(-1))["examples"]


def flat(variables) -> np.ndarray:
    return np.concatenate([v.numpy().ravel() for v in variables])


def per_replica(strategy, variables) -> np.ndarray:
    """Each replica's own copy of all variables, a row each."""
    copies = [strategy.experimental_local_results(v) for v in variables]
    return np.stack([flat(row) for row in zip(*copies, strict=True)])


def replica_logits(strategy, model, trainer) -> np.ndarray:
    """Every replica's logits, in training mode, of one image they all get."""
    image = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype("uint8")

    @tf.function
    def run():
        def forward():
            trainer._reseed()
            return model(tf.constant(image), training=True)

        return strategy.run(forward)

    return np.stack([v.numpy() for v in strategy.experimental_local_results(run())])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3]))
