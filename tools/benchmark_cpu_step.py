"""Compares training steps on a CPU: ours, Keras's layers, keras.applications.

python tools/benchmark_cpu_step.py --json

Each contestant is a process of its own, which takes its steps in turns with the others
on the same cores, with AdamW and one batch of random pixels:
    ours: a step of a run, as `main.py --mode=train` takes it;
    layers: the same with --fused=off, which computes Keras's layers;
    keras: `train_on_batch` of keras.applications' network, or, where it has none, of
        ours; TensorFlow is as it starts where nobody sets it.
Rows: B0 from random weights at the sizes of docs/finetune.md, and Lite0 as fine-tuning
takes its steps, with frozen statistics and early stages.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import tool
from absl import flags as absl_flags

FLAGS = absl_flags.FLAGS
Step = Callable[[], Any]
_CLASSES = 10
CONTESTANTS = ("ours", "layers", "keras")
# Model, size in pixels, batch, whether it is fine-tuned.
ROWS = {
    "b0_48": ("efficientnet-b0", 48, 64, False),
    "b0_96": ("efficientnet-b0", 96, 32, False),
    "lite0_224_finetune": ("efficientnet-lite0", 224, 32, True),
}

absl_flags.DEFINE_multi_enum("rows", list(ROWS), list(ROWS), "Rows; may be repeated.")
absl_flags.DEFINE_integer("repeats", 10, "Timed steps of each.", lower_bound=3)
absl_flags.DEFINE_string("contestant", None, "Take steps for another process.")
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def main(_: list[str]) -> dict:
    """Takes the steps in turns, and compares the medians of their times."""
    if FLAGS.contestant:
        return _serve(FLAGS.contestant, FLAGS.rows[0])
    return {row: _compare(row) for row in FLAGS.rows}


def _compare(row: str) -> dict:
    with contextlib.ExitStack() as stack:
        runners = {}
        for name in CONTESTANTS:
            command = [sys.executable, __file__, f"--rows={row}"]
            runners[name] = stack.enter_context(
                subprocess.Popen(
                    [*command, f"--contestant={name}"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(runners[name].stdin.close)
            _step(runners[name])  # traces; the others wait
        turns = [
            {n: _step(r) for n, r in runners.items()} for _ in range(FLAGS.repeats)
        ]
    batch = ROWS[row][2]
    medians = {n: statistics.median(turn[n] for turn in turns) for n in CONTESTANTS}
    result = {f"images_per_s_{n}": batch / seconds for n, seconds in medians.items()}
    for other in CONTESTANTS[1:]:
        result[f"ratio_vs_{other}"] = medians[other] / medians["ours"]
    print(row, ", ".join(f"{n} {value:.3g}" for n, value in result.items()), flush=True)
    return result


def _step(runner: subprocess.Popen) -> float:
    """Has a process take a step; returns its seconds."""
    runner.stdin.write("step\n")
    runner.stdin.flush()
    return json.loads(runner.stdout.readline())


def _serve(contestant: str, row: str) -> dict:
    """Takes a step for each line of stdin, and answers with its seconds."""
    settings = ROWS[row]
    is_ours = contestant != "keras"
    step = _ours(contestant, *settings) if is_ours else _keras(*settings)
    step()
    step()  # TensorFlow still optimises the graph in the second one
    for _ in sys.stdin:
        began = time.perf_counter()
        step()
        print(time.perf_counter() - began, flush=True)
    return {}


def _ours(contestant: str, model: str, size: int, batch: int, is_tuned: bool) -> Step:
    from efficientnet_tf.hardware import preflight

    preflight.before_import()
    import tensorflow as tf

    from efficientnet_tf import config as config_lib
    from efficientnet_tf.hardware import devices
    from efficientnet_tf.runs import run_model
    from efficientnet_tf.training import build, state

    tuned = {"batch_norm": "frozen", "freeze": "block3"} if is_tuned else {}
    config = config_lib.create(
        model=model,
        dataset="fake",
        image_size=size,
        train_batch_size=batch,
        optimizer="adamw",
        fused="off" if contestant == "layers" else "auto",
        **tuned,
    )
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    policy = devices.configure_numerics(strategy, config.precision)
    source = build.open_source(config)
    evaluations = state.Evaluations()
    with strategy.scope():
        trained = build.train_state(
            config,
            train_images=source.splits.train_images,
            model=run_model.create(config, policy=policy),
            evaluations=evaluations,
        )
    trainer = build.trainer(config, trained, source, strategy)
    return lambda: trainer.train(tf.constant(1))


def _keras(model: str, size: int, batch: int, is_tuned: bool) -> Step:
    import keras
    import numpy as np

    settings = {"weights": None, "input_shape": (size, size, 3), "classes": _CLASSES}
    if model == "efficientnet-b0":
        network = keras.applications.EfficientNetB0(**settings)
    else:
        import efficientnet_tf as en

        network = en.EfficientNet(model, **settings)
    if is_tuned:
        _freeze(network)
    network.compile(keras.optimizers.AdamW(), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (batch, size, size, 3)).astype("float32")
    return lambda: network.train_on_batch(images, np.arange(batch) % _CLASSES)


def _freeze(network: Any) -> None:
    import keras

    early = ("stem", "block1", "block2", "block3")
    for layer in network.layers:
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = not (is_norm or layer.name.startswith(early))


if __name__ == "__main__":
    tool.run(main)
