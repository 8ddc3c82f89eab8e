"""Compares fine-tuning with plain Keras fits that get the same wall time.

python tools/benchmark_finetune.py --data_dir=FOLDER --minutes=1,2,4,8 --json

Each fit is a process of its own. Its time counts from its start to the end of its
training, with imports and the reading of weights; scoring comes after. The rivals are
`model.fit` of a frozen backbone with Adam at 1e-3, and of all layers with Adam at 3e-4,
in batches of 64 at --rival_size pixels. Ours is the recipe `finetune`: as many epochs
as a first short run shows to fit, or only the classifier where less than a tenth does.
"""

import functools
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import tool
from absl import flags as absl_flags

FLAGS = absl_flags.FLAGS
MAIN = pathlib.Path(__file__).parents[1] / "main.py"
RIVALS = {"frozen backbone, Adam 1e-3": (False, 1e-3), "all, Adam 3e-4": (True, 3e-4)}
_RIVAL_BATCH = 64
_SAFETY = 0.95  # share of the time left that is planned

absl_flags.DEFINE_string("data_dir", None, "Folder of images by class.", required=True)
absl_flags.DEFINE_string("weights", "imagenet", "Weights to start from.")
absl_flags.DEFINE_string("model", "efficientnet-lite0", "The network.")
absl_flags.DEFINE_list("minutes", ["1", "2", "4", "8"], "Budgets of wall time.")
absl_flags.DEFINE_integer("seed", 0, "Seed of all fits.")
absl_flags.DEFINE_integer("rival_size", 128, "Image size of the rivals, in pixels.")
absl_flags.DEFINE_string("rival", None, "Fit this rival in this process, and score it.")
absl_flags.DEFINE_float("until", None, "When the rival's training ends, Unix time.")
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def main(_: list[str]) -> dict:
    """Fits all three at each budget, and compares their accuracies."""
    if FLAGS.rival:
        return _fit_rival(*RIVALS[FLAGS.rival])
    with tempfile.TemporaryDirectory() as folder:
        fixed, speed = _measure(folder)
        budgets = [float(minutes) for minutes in FLAGS.minutes]
        rows = [_compare(folder, minutes, fixed, speed) for minutes in budgets]
    return {"rows": rows}


def _compare(folder: str, minutes: float, fixed: float, speed: float) -> dict:
    """Returns the accuracies at one budget, and the seconds that ours took."""
    epochs = (60 * minutes * _SAFETY - fixed) * speed
    chosen = [f"--train_epochs={epochs:.2f}"]
    if epochs < 0.1:
        chosen = ["--freeze=backbone", "--train_epochs=5"]
    run = f"{folder}/{minutes}"
    seconds = _timed(_train(run, *chosen))
    row = {"minutes": minutes, "epochs": epochs, "seconds_ours": seconds}
    row["ours"] = _json([str(MAIN), "--mode=eval", f"--model_dir={run}"])["top_1"]
    for rival in RIVALS:
        given = [f"--{name}={FLAGS[name].value}" for name in _SHARED]
        given += [f"--rival={rival}", f"--until={time.time() + 60 * minutes}"]
        row[rival] = _json([__file__, *given])["top_1"]
    scores = ", ".join(f"{who} {row[who]:.2%}" for who in ("ours", *RIVALS))
    print(f"{minutes} min: {scores}; ours took {seconds:.0f} s", flush=True)
    row["ratio_top_1_vs_keras"] = row["ours"] / max(row[rival] for rival in RIVALS)
    return row


_SHARED = ("data_dir", "weights", "model", "seed", "rival_size")


def _train(run: str, *chosen: str) -> list[str]:
    given = [f"--{name}={FLAGS[name].value}" for name in _SHARED[:4]]
    arguments = ["--mode=train", "--recipe=finetune", f"--model_dir={run}"]
    return [str(MAIN), *arguments, *given, *chosen]


def _measure(folder: str) -> tuple[float, float]:
    """Returns a short run's seconds outside its steps, and its epochs a second."""
    run = f"{folder}/measured"
    seconds = _timed(_train(run, "--train_epochs=0.5"))
    lines = pathlib.Path(f"{run}/metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    batch = json.loads(pathlib.Path(f"{run}/config.json").read_text())[
        "train_batch_size"
    ]
    images = batch * found[-1]["step"] / found[-1]["epoch"]
    speeds = [one["images_per_second"] for one in found if "images_per_second" in one]
    epochs_a_second = statistics.median(speeds) / images
    return seconds - 0.5 / epochs_a_second, epochs_a_second


def _timed(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


def _json(arguments: list[str]) -> dict:
    done = subprocess.run(
        [sys.executable, *arguments, "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _fit_rival(trainable: bool, learning_rate: float) -> dict:
    """Fits a plain Keras model until the time is over; returns its accuracy."""
    import keras

    import efficientnet_tf as en

    keras.utils.set_random_seed(FLAGS.seed)
    size = FLAGS.rival_size
    splits = {
        name: keras.utils.image_dataset_from_directory(
            f"{FLAGS.data_dir}/{name}",
            image_size=(size, size),
            batch_size=_RIVAL_BATCH,
            seed=FLAGS.seed,
            verbose=False,
        )
        for name in ("train", "val")
    }
    backbone = en.EfficientNet(
        FLAGS.model,
        weights=FLAGS.weights,
        include_top=False,
        pooling="avg",
        input_shape=(size, size, 3),
    )
    backbone.trainable = trainable
    classes = len(splits["train"].class_names)
    head = keras.layers.Dense(classes, activation="softmax")
    model = keras.Sequential([backbone, head])
    adam = keras.optimizers.Adam(learning_rate)
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    stop = keras.callbacks.LambdaCallback(
        on_train_batch_end=functools.partial(_stop_in_time, model)
    )
    train = splits["train"].prefetch(2)
    model.fit(train, epochs=10_000, callbacks=[stop], verbose=0)
    return {"top_1": model.evaluate(splits["val"], verbose=0)[1]}


def _stop_in_time(model, batch: int, logs: dict) -> None:
    if time.time() >= FLAGS.until:
        model.stop_training = True


if __name__ == "__main__":
    tool.run(main, errors=(ValueError,))
