"""Compares the latency of exported networks in all runtimes: one image, one core.

python tools/benchmark_latency.py --models=efficientnet-b0,efficientnet-b1 --json

For each network, ours is what an export writes; the rivals are keras.applications' and
timm's networks in the same runtimes, converted as their users would, timm's also in
TorchScript (with the extra `torch`). All weights are random, means and shifts of batch
norms too: of zeros, runtimes drop the biases that trained networks have. Rows of 8 bits
find their ranges on random pixels: their speed counts, not their predictions. Each row
is a process of its own; all are bound to the same core and take turns of two images,
of which the second is timed; --first times the first, which finds the caches as the
other rows left them. --model_dir compares a run's exports with its Keras layers.

Times are medians in milliseconds. "share" is the part of the core's measured peak, a
float32 matrix product in NumPy, that a row reaches.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import tool
import timm_rivals
from absl import flags as absl_flags

FLAGS = absl_flags.FLAGS
_PEAK = """
import os, time
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
import numpy as np
matrix = np.full((1536, 1536), 0.5, np.float32)
def seconds():
    start = time.perf_counter()
    matrix @ matrix
    return time.perf_counter() - start
print(2 * 1536**3 / min(seconds() for _ in range(20)))
"""
# Names in keras.applications of those that are the same networks.
_RIVALS = {
    **{f"efficientnet-b{n}": f"EfficientNetB{n}" for n in range(8)},
    "efficientnetv2-b0": "EfficientNetV2B0",
    "resnet-50-v1": "ResNet50",
    "resnet-152-v1": "ResNet152",
}

absl_flags.DEFINE_list("models", ["efficientnet-b0"], "Networks to measure.")
absl_flags.DEFINE_string("model_dir", None, "A run to measure in place of networks.")
absl_flags.DEFINE_integer("rounds", 40, "Timed runs of each row.", lower_bound=3)
absl_flags.DEFINE_boolean(
    "first", False, "Time images that come when the core has done something else."
)
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def main(_: list[str]) -> dict:
    """Measures each network's rows in turns."""
    command = [sys.executable, "-c", _PEAK]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    peak = subprocess.run(
        command, env=os.environ | threads, capture_output=True, check=True, text=True
    )
    result: dict[str, Any] = {"peak_gflops": float(peak.stdout) / 1e9}
    print(f"peak {result['peak_gflops']:.1f} GFLOP/s", flush=True)
    for name in [FLAGS.model_dir] if FLAGS.model_dir else FLAGS.models:
        result[name] = _measure(name, result["peak_gflops"])
    return result


def _measure(name: str, peak: float) -> dict:
    from efficientnet_tf.export import latency

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        macs, size, rows = _rows(name, folder)
        runners = {
            row: stack.enter_context(
                latency.Runner(
                    path,
                    runtime=runtime,
                    shape=(1, size, size, 3),
                    program=timm_rivals.__name__,
                )
            )
            for row, runtime, path in rows
        }
        seconds = latency.take_turns(
            runners, rounds=FLAGS.rounds, warmup=3, first=FLAGS.first
        )
    found: dict[str, Any] = {}
    for row, each in seconds.items():
        ms = 1e3 * statistics.median(each)
        found[row] = {"ms": ms, "share": 2 * macs / ms / peak / 1e6}
        print(f"{name:<20} {row:<24} {ms:8.2f} ms  {found[row]['share']:5.1%}")
    return found | _ratios({row: each["ms"] for row, each in found.items()})


def _rows(name: str, folder: str) -> tuple[int, int, list[tuple[str, str, str]]]:
    """Writes all rows' files; returns MACs, image size, and name, runtime and path."""
    import efficientnet_tf as en
    from efficientnet_tf.inference.classifier import Classifier

    if FLAGS.model_dir:
        classifier = Classifier.of_run(FLAGS.model_dir)
        model, size = classifier.model, classifier.preparation.image_size
        variant = model.passport.variant
        rival = model
    else:
        variant = en.get_variant(name)
        model = _with_biases(en.EfficientNet(name, classifier_activation=None))
        size = variant.resolution
        rival = _rival(name)
    macs = en.count(variant, image_size=size).macs
    rows = list(_ours(model, size, f"{folder}/ours"))
    if rival is not None:
        rows += _theirs(rival, f"{folder}/theirs")
    if timm_rivals.is_there(name):
        rows += timm_rivals.write(name, size, f"{folder}/timm")
    return macs, size, rows


def _rival(name: str) -> Any:
    import keras

    known = getattr(keras.applications, _RIVALS.get(name, ""), None)
    return known and _with_biases(known(weights=None))


def _with_biases(model: Any) -> Any:
    """Draws means and shifts of a new model's batch norms; returns the model."""
    import keras
    import numpy as np

    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable in (layer.moving_mean, layer.beta):
                variable.assign(random.normal(0, 0.1, variable.shape))
    return model


def _ours(model: Any, size: int, folder: str) -> Iterator[tuple[str, str, str]]:
    """Writes every format of an export."""
    import importlib

    import numpy as np

    from efficientnet_tf import terminal
    from efficientnet_tf.export import formats, inference_graph, latency, network

    exported = network.Network(inference_graph.build(model), size)
    photos = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), np.uint8)
    os.makedirs(folder)
    for one in formats.FORMATS.values():
        path = f"{folder}/{one.file}"
        if one.module == "saved_model":
            path = latency.save(exported.model, f"{folder}/saved_model")
        else:
            module = importlib.import_module(f"efficientnet_tf.export.{one.module}")
            with terminal.quiet():
                module.write(exported, path, precision=one.precision, photos=photos)
        yield f"ours/{one.name}", one.runtime, path


def _theirs(model: Any, folder: str) -> Iterator[tuple[str, str, str]]:
    """Writes a Keras model for every runtime, its SavedModel as Keras exports it."""
    from efficientnet_tf.export import latency

    os.makedirs(folder)
    for runtime in latency.RUNTIMES:
        path = latency.save(
            model,
            f"{folder}/{runtime}",
            runtime=runtime,
            frozen=runtime != "saved_model",
        )
        yield f"keras/{runtime}", runtime, path


def _ratios(ms: dict[str, float]) -> dict[str, float]:
    """Compares our best rows with the best of the rivals', above 1 where ours win."""
    exact = ("saved_model", "litert", "onnx", "openvino")
    theirs = {row: ms[row] for row in ms if row.startswith(("keras/", "timm/"))}
    theirs.pop("keras/openvino_bf16", None)
    ours = min(ms[f"ours/{row}"] for row in exact)
    reduced = {row: value for row, value in ms.items() if row.startswith("ours/")}
    for row in ("litert_float16", "litert_dynamic", *exact):
        reduced.pop(f"ours/{row}", None)
    ratios = {"ratio_reduced_vs_float32": ours / min(reduced.values())}
    if theirs:
        ratios["ratio_float32_vs_rivals"] = min(theirs.values()) / ours
    if "keras/saved_model" in ms:
        ratios["ratio_saved_model_vs_keras"] = (
            ms["keras/saved_model"] / ms["ours/saved_model"]
        )
    print(", ".join(f"{key} {value:.2f}" for key, value in ratios.items()), flush=True)
    return ratios


if __name__ == "__main__":
    tool.run(main)
