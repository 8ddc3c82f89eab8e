"""Traces a run under TPUStrategy and looks at what a TPU would be given.

Also a script, for the Python of TensorFlow's TPU build, run by test_tpu_install.py:
python tpu_graph_run.py DATA_DIR OUT.json [name=value ...]
"""

import json
import sys

import absent_tpu
import tensorflow as tf
import tpu_graph

from efficientnet_tf import config as config_lib
from efficientnet_tf.hardware import devices
from efficientnet_tf.runs import run_model
from efficientnet_tf.training import build
from efficientnet_tf.training import state as state_lib

CORES = 2


def build_run(config, strategy, kept=None):
    """The state, trainer and evaluator of a run, as `training.loop` makes them."""
    policy = devices.configure_numerics(strategy, config.precision)
    source = build.open_source(config)
    evaluations = state_lib.Evaluations()
    with strategy.scope():
        model = run_model.create(config, policy=policy)
        state = build.train_state(
            config,
            train_images=source.splits.train.images,
            model=model,
            evaluations=evaluations,
        )
    weights, split = state.inference_weights(), source.splits.validation
    return (
        state,
        build.trainer(config, state, source, strategy),
        build.evaluator(config, model, weights, source, split, strategy, kept),
    )


def trace_training(trainer):
    """Orbit's loop of training steps."""
    steps = tf.constant(3)
    loop = trainer.create_train_loop_fn()
    return loop.get_concrete_function(iter(trainer.train_dataset), steps)


def trace_evaluation(evaluator):
    """One step of evaluation, which orbit's loop calls from Python."""
    step = tf.function(evaluator.eval_step)
    return step.get_concrete_function(iter(evaluator.eval_dataset))


def look(function, *, device: str) -> dict:
    """Collects the facts about a traced function that tests check, as plain data."""
    operations = tpu_graph.step_operations(function)
    return {
        "problems": tpu_graph.problems(operations, device=device),
        "operations": len(operations),
        "bridge": tpu_graph.counts(tpu_graph.bridge(function, cores=CORES)),
    }


def main(data_dir: str, out: str, settings: dict) -> None:
    config = config_lib.create(dataset="digits", data_dir=data_dir, **settings)
    _, trainer, evaluator = build_run(config, absent_tpu.strategy(CORES))
    found = {
        "train": look(trace_training(trainer), device="XLA_TPU_JIT"),
        "eval": look(trace_evaluation(evaluator), device="XLA_TPU_JIT"),
        "devices": [d.device_type for d in tf.config.list_physical_devices()],
    }
    with open(out, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    pairs = (argument.split("=") for argument in sys.argv[3:])
    settings = {name: json.loads(value) for name, value in pairs}
    main(sys.argv[1], sys.argv[2], settings)
