"""Compares the time to build a model, ours and keras.applications', in one process.

python tools/benchmark_build.py --models=efficientnet-b7 --models=resnet-50-v1 --json
"""

import statistics
import time

import tool
import keras
from absl import flags as absl_flags

import efficientnet_tf as en
from efficientnet_tf.weights.keras_files import APPLICATIONS

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_multi_enum(
    "models",
    ["efficientnet-b7"],
    ["all", *APPLICATIONS],
    "Variants that keras.applications has too; may be repeated.",
)
absl_flags.DEFINE_integer("repeats", 7, "Timed builds of each.", lower_bound=3)
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def main(_: list[str]) -> dict:
    """Builds both models in turns, and compares the medians of their times."""
    names = list(APPLICATIONS) if "all" in FLAGS.models else FLAGS.models
    results = {name: _compare(name) for name in names}
    return results if len(names) > 1 else results[names[0]]


def _compare(name: str) -> dict:
    theirs = getattr(keras.applications, APPLICATIONS[name])
    builds = {
        "ours": lambda: en.EfficientNet(name),
        "keras_applications": lambda: theirs(weights=None),
    }
    seconds = {who: [] for who in builds}
    for repeat in range(FLAGS.repeats + 1):
        # In alternating order, so that neither is always second.
        for who in sorted(builds, reverse=repeat % 2 == 0):
            seconds[who].append(_time(builds[who]))
    # The first pair is left out: it includes what the process does only once.
    medians = {who: statistics.median(times[1:]) for who, times in seconds.items()}
    ratio = medians["keras_applications"] / medians["ours"]
    print(
        f"{name:18} ours {medians['ours']:.2f} s, keras.applications "
        f"{medians['keras_applications']:.2f} s, medians of {FLAGS.repeats}; ratio "
        f"{ratio:.2f} (above 1: ours is faster)",
        flush=True,
    )
    return {f"seconds_{who}": median for who, median in medians.items()} | {
        "ratio_build_vs_keras_applications": ratio
    }


def _time(build) -> float:
    keras.backend.clear_session()
    began = time.perf_counter()
    build()
    return time.perf_counter() - began


if __name__ == "__main__":
    tool.run(main, errors=())
