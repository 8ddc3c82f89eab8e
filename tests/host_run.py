"""Trains and evaluates as one host of those that TF_CONFIG names; run by test_hosts.py.

python host_run.py IN OUT.npz [name=value ...], with what test_hosts.py puts in the
folder IN.
"""

import dataclasses
import json
import os
import sys

import group_run
import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.data import batches, sources
from efficientnet_tf.hardware import agreement, devices, hosts
from efficientnet_tf.runs import checkpoints, run_model
from efficientnet_tf.training import build
from efficientnet_tf.training import state as state_lib

STEPS = 10
NUMBERED = 36  # train records, each with a label of its own
GROUP = 2


@dataclasses.dataclass(frozen=True)
class Sliced:
    """Each host's slice of one host's batches: any number trains on the same images."""

    files: sources.Files

    @property
    def splits(self):
        return self.files.splits

    def train(self, transform, *, batch_size, start, shard, **kwargs):
        whole = self.files.train(
            transform,
            batch_size=batch_size * shard.count,
            start=start * shard.count,
            shard=batches.Shard(),
            **kwargs,
        )
        mine = slice(shard.index * batch_size, (shard.index + 1) * batch_size)
        return whole.map(lambda batch: {n: batch[n][mine] for n in batch})


def main(folder: str, out: str, settings: dict) -> None:
    cluster = hosts.of_environment(os.environ)
    strategy = devices.make_strategy("cpu", cluster=cluster)
    with agreement.together(strategy) as ours:
        assert ours.count == (len(cluster.addresses) if cluster else 1)
        config = config_lib.create(
            dataset="digits", data_dir=f"{folder}/digits", **settings
        )
        policy = devices.configure_numerics(strategy, config.precision)
        source = build.open_source(config)
        with strategy.scope():
            state = state_of(config, source, policy)
        found = train(config, state, source, strategy)
        found |= scores_of_linear(f"{folder}/linear.npz", config, source, strategy)
        found["numbers"] = numbers_read(f"{folder}/numbered", state, strategy, settings)
        if ours.count > 1:
            images = np.load(f"{folder}/images.npy")[: ours.count]
            found |= group_run.normalise(strategy, images, GROUP)
        np.savez(out, **found)


def state_of(config, source, policy) -> state_lib.TrainState:
    return build.train_state(
        config,
        train_images=source.splits.train.images,
        model=run_model.create(config, policy=policy),
        evaluations=state_lib.Evaluations(),
    )


def train(config, state, source, strategy) -> dict:
    """Trains some steps and returns the resulting values."""
    initial = {f"initial {name}": value for name, value in values(state).items()}
    trainer = build.trainer(config, state, Sliced(source), strategy)
    losses = [trainer.train(tf.constant(1))["loss"] for _ in range(STEPS)]
    seeds = [v for v in state.model.non_trainable_variables if "seed" in v.path]
    return values(state) | initial | {"losses": losses, "seeds": flat(seeds)}


def values(state) -> dict:
    statistics = state.model.non_trainable_variables
    return {
        "weights": flat(state.model.trainable_variables),
        "statistics": flat(v for v in statistics if "moving" in v.path),
        "averages": flat(state.ema.averages),
    }


def scores_of_linear(path: str, config, source, strategy) -> dict:
    """A linear classifier's scores on all validation images."""
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input((config.image_size, config.image_size, 3)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Flatten(),
                keras.layers.Dense(config.num_classes),
            ]
        )
        model.set_weights(list(np.load(path).values()))
    evaluator = build.evaluator(
        config,
        model,
        checkpoints.by_path(model.weights),
        source,
        source.splits.validation,
        strategy,
    )
    return evaluator.evaluate(tf.constant(-1))


def numbers_read(data_dir: str, state, strategy, settings: dict) -> list[int]:
    """The labels, from 0, of the records that this host takes in an epoch."""
    config = config_lib.create(
        settings
        | {"num_classes": NUMBERED, "label_offset": 0, "train_batch_size": 4}
        | {"minival_shards": 0, "augment": "none"},
        dataset="imagenet",
        data_dir=data_dir,
    )
    source = build.open_source(config)
    assert source.splits.train.images == NUMBERED
    state.step.assign(0)
    dataset = iter(build.trainer(config, state, source, strategy).train_dataset)
    numbers = []
    for _ in range(NUMBERED // config.train_batch_size):
        (labels,) = strategy.experimental_local_results(next(dataset)["label"])
        numbers.extend(labels.numpy().argmax(axis=1))
    return numbers


def flat(variables) -> np.ndarray:
    return np.concatenate([np.zeros(0), *(v.numpy().ravel() for v in variables)])


if __name__ == "__main__":
    pairs = (argument.split("=") for argument in sys.argv[3:])
    main(*sys.argv[1:3], {name: json.loads(value) for name, value in pairs})
