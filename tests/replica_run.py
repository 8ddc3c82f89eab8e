"""Training steps on virtual CPU devices, ten where no number is given.

The number of devices is fixed once TensorFlow has started, so four of them need a
process of their own: python replica_run.py DEVICES DATA_DIR OUT.npz SETTINGS, as JSON.
"""

import functools
import json
import sys

import numpy as np
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.hardware import devices
from efficientnet_tf.runs import run_model
from efficientnet_tf.training import build
from efficientnet_tf.training import state as state_lib
from efficientnet_tf.training.layer_seeds import LayerSeeds

STEPS = 10


class ReplicaRun:
    """The results of some steps on digits with some settings."""

    def __init__(self, strategy, data_dir: str, *, steps: int = STEPS, **settings):
        self.strategy = strategy
        self.config = config_lib.create(dataset="digits", data_dir=data_dir, **settings)
        policy = devices.configure_numerics(strategy, self.config.precision)
        self.source = build.open_source(self.config)
        evaluations = state_lib.Evaluations()
        with strategy.scope():
            self.model = run_model.create(self.config, policy=policy)
            self.state = build.train_state(
                self.config,
                train_images=self.source.splits.train.images,
                model=self.model,
                evaluations=evaluations,
            )
        self.initial = flat(self.model.weights)
        trainer = build.trainer(self.config, self.state, self.source, strategy)
        self.losses = [trainer.train(tf.constant(1))["loss"] for _ in range(steps)]
        self.weights = flat(self.model.weights)
        self.averages = flat(self.state.ema.averages)

    def replica_weights(self) -> np.ndarray:
        """Each replica's own copy of all weights, a row each."""
        return self._per_replica([v.value for v in self.model.weights])

    def replica_averages(self) -> np.ndarray:
        """Each replica's own copy of all averages, a row each."""
        return self._per_replica(self.state.ema.averages)

    def _per_replica(self, variables) -> np.ndarray:
        copies = [self.strategy.experimental_local_results(v) for v in variables]
        return np.stack([flat(row) for row in zip(*copies, strict=True)])

    @functools.cached_property
    def examples(self) -> int:
        """How many validation images an evaluation scores."""
        evaluator = build.evaluator(
            self.config,
            self.model,
            self.state.inference_weights(),
            self.source,
            self.source.splits.validation,
            self.strategy,
        )
        return evaluator.evaluate(tf.constant(-1))["examples"]

    def logits(self, seed: int) -> np.ndarray:
        """Every replica's logits, in training mode, of 8 images they all get."""
        pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3))
        images = tf.constant(pixels, tf.uint8)
        replicas = self.strategy.num_replicas_in_sync
        seeds = LayerSeeds(self.model, seed, replicas=replicas)

        @tf.function
        def run():
            def forward():
                seeds.assign(self.state.step)
                return self.model(images, training=True)

            return self.strategy.run(forward)

        return np.stack(
            [v.numpy() for v in self.strategy.experimental_local_results(run())]
        )


def flat(variables) -> np.ndarray:
    return np.concatenate([v.numpy().ravel() for v in variables])


def main(num_devices: str, data_dir: str, out: str, settings: str) -> None:
    strategy = devices.make_strategy("cpu", num_cpu_devices=int(num_devices))
    assert strategy.num_replicas_in_sync == int(num_devices)
    run = ReplicaRun(strategy, data_dir, **json.loads(settings))
    names = ("losses", "initial", "weights", "averages", "examples")
    found = {name: getattr(run, name) for name in names}
    np.savez(out, logits=run.logits(0), **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
