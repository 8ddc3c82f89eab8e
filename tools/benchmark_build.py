"""How long building a model takes beside keras.applications, in one process.

python tools/benchmark_build.py --model=efficientnet-b7 --json
"""

import json
import statistics
import time

import keras
from absl import app
from absl import flags as absl_flags

import efficientnet_tf as en

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_enum(
    "model", "efficientnet-b7", [f"efficientnet-b{i}" for i in range(8)], "Variant."
)
absl_flags.DEFINE_integer("repeats", 7, "Timed builds of each.", lower_bound=3)
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def main(argv: list[str]) -> None:
    """Builds in turn, ours and theirs, and compares the medians."""
    del argv
    theirs = getattr(keras.applications, f"EfficientNetB{FLAGS.model[-1]}")
    builds = {
        "ours": lambda: en.EfficientNet(FLAGS.model),
        "keras_applications": lambda: theirs(weights=None),
    }
    seconds = {name: [] for name in builds}
    for _ in range(FLAGS.repeats + 1):
        for name, build in builds.items():
            seconds[name].append(_time(build))
    # The first pair pays for what the process does once.
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    ratio = medians["keras_applications"] / medians["ours"]
    for name, median in medians.items():
        print(f"{name:20} {median:.2f} s, median of {FLAGS.repeats}")
    print(f"ratio {ratio:.2f} (above 1: ours is faster)")
    if FLAGS.json:
        ours = {f"seconds_{name}": median for name, median in medians.items()}
        print(json.dumps(ours | {"ratio_build_vs_keras_applications": ratio}))


def _time(build) -> float:
    keras.backend.clear_session()
    began = time.perf_counter()
    build()
    return time.perf_counter() - began


if __name__ == "__main__":
    app.run(main)
