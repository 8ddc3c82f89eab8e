"""Takes 10 training steps on virtual CPU devices; run by test_steps.py.

The number of devices is fixed once TensorFlow has started, so each count needs a
process of its own: python replica_run.py DEVICES DATA_DIR OUT.npz [name=value ...]
"""

import json
import sys

import numpy as np
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.hardware import devices
from efficientnet_tf.training import build
from efficientnet_tf.training import state as state_lib

STEPS = 10


def main(num_devices: int, data_dir: str, out: str, settings: dict) -> None:
    config = config_lib.create(dataset="digits", data_dir=data_dir, **settings)
    strategy = devices.make_strategy("cpu", num_cpu_devices=num_devices)
    policy = devices.configure_numerics(strategy, config.precision)
    source = build.open_source(config)
    evaluations = state_lib.Evaluations()
    with strategy.scope():
        images = source.splits.train.images
        model = build.model(config, policy=policy)
        state = build.train_state(
            config, train_images=images, model=model, evaluations=evaluations
        )
    assert strategy.num_replicas_in_sync == num_devices
    initial = flat(state.model.weights)
    trainer = build.trainer(config, state, source, strategy)
    losses = [trainer.train(tf.constant(1))["loss"] for _ in range(STEPS)]
    evaluator = build.evaluator(
        config,
        state.model,
        state.inference_weights(),
        source,
        source.splits.validation,
        strategy,
    )
    scores = evaluator.evaluate(tf.constant(-1))
    np.savez(
        out,
        losses=losses,
        initial=initial,
        weights=flat(state.model.weights),
        averages=np.concatenate([v.numpy().ravel() for v in state.ema.averages]),
        replica_weights=per_replica(strategy, [v.value for v in state.model.weights]),
        replica_averages=per_replica(strategy, state.ema.averages),
        examples=scores["examples"],
        logits=replica_logits(strategy, state.model, trainer),
    )


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
    pairs = (argument.split("=") for argument in sys.argv[4:])
    main(
        int(sys.argv[1]),
        sys.argv[2],
        sys.argv[3],
        {name: json.loads(value) for name, value in pairs},
    )
