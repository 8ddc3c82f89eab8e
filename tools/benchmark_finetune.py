"""Compares fine-tuning with plain Keras fits that get the same wall time.

python tools/benchmark_finetune.py --data_dir=FOLDER --minutes=1,2,4,8 --json

Each fit is a process of its own. Its time counts from its start to the end of its
training, with imports and the reading of weights; scoring comes after. The rivals are
`model.fit` of a frozen backbone with Adam at 1e-3, and of all layers with Adam at 3e-4,
in batches of 64 at --rival_size pixels. Ours is the recipe `finetune`: as many epochs
as short runs show to fit. Where fewer than 1.5 fit, which do not make up for what the
first steps lose, only the classifier is trained, at the largest size that fits.
"""

import dataclasses
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
_SAFETY = 0.95  # share of the time that is planned
_FEW_EPOCHS = 1.5
_SIZES = (224, 192, 160, 128, 96)

absl_flags.DEFINE_string("data_dir", None, "Folder of images by class.", required=True)
absl_flags.DEFINE_string("weights", "imagenet", "Weights to start from.")
absl_flags.DEFINE_string("model", "efficientnet-lite0", "The network.")
absl_flags.DEFINE_list("minutes", ["1", "2", "4", "8"], "Budgets of wall time.")
absl_flags.DEFINE_integer("seed", 0, "Seed of all fits.")
absl_flags.DEFINE_integer("rival_size", 128, "Image size of the rivals, in pixels.")
absl_flags.DEFINE_string("rival", None, "Fit this rival in this process, and score it.")
absl_flags.DEFINE_float("until", None, "When the rival's training ends, Unix time.")
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


@dataclasses.dataclass(frozen=True)
class Costs:
    """The seconds of a run of ours.

    Args:
        start: float, seconds of the whole recipe outside its epochs.
        epoch: float, seconds of an epoch.
        classifier: float, seconds of the classifier alone outside the features.
        pixel: float, seconds of the features for each pixel of an image's area.
    """

    start: float
    epoch: float
    classifier: float
    pixel: float

    def flags(self, seconds: float) -> list[str]:
        """Returns the flags of a run that takes so many seconds."""
        epochs = (seconds - self.start) / self.epoch
        if epochs >= _FEW_EPOCHS:
            return [f"--train_epochs={epochs:.2f}"]
        area = (seconds - self.classifier) / self.pixel
        fitting = [size for size in _SIZES if size**2 <= area]
        return _classifier(max(fitting, default=_SIZES[-1]))


def main(_: list[str]) -> dict:
    """Fits all three at each budget, and compares their accuracies."""
    if FLAGS.rival:
        return _fit_rival(*RIVALS[FLAGS.rival])
    with tempfile.TemporaryDirectory() as folder:
        costs = _measure(folder)
        budgets = [float(minutes) for minutes in FLAGS.minutes]
        rows = [_compare(folder, minutes, costs) for minutes in budgets]
    return {"rows": rows}


def _compare(folder: str, minutes: float, costs: Costs) -> dict:
    """Returns the accuracies at one budget, and the seconds that ours took."""
    run, chosen = f"{folder}/{minutes}", costs.flags(60 * minutes * _SAFETY)
    row = {"minutes": minutes, "flags": chosen}
    row["seconds_ours"] = _timed(_train(run, *chosen))
    row["ours"] = _json([str(MAIN), "--mode=eval", f"--model_dir={run}"])["top_1"]
    for rival in RIVALS:
        given = [f"--{name}={FLAGS[name].value}" for name in _SHARED]
        given += [f"--rival={rival}", f"--until={time.time() + 60 * minutes}"]
        row[rival] = _json([__file__, *given])["top_1"]
    scores = ", ".join(f"{who} {row[who]:.2%}" for who in ("ours", *RIVALS))
    seconds = f"{row['seconds_ours']:.0f} s with {' '.join(chosen)}"
    print(f"{minutes:g} min: {scores}; ours took {seconds}", flush=True)
    row["ratio_top_1_vs_keras"] = row["ours"] / max(row[rival] for rival in RIVALS)
    return row


_SHARED = ("data_dir", "weights", "model", "seed", "rival_size")


def _train(run: str, *chosen: str) -> list[str]:
    given = [f"--{name}={FLAGS[name].value}" for name in _SHARED[:4]]
    arguments = ["--mode=train", "--recipe=finetune", f"--model_dir={run}"]
    return [str(MAIN), *arguments, *given, *chosen]


def _measure(folder: str) -> Costs:
    """Measures three short runs."""
    run = f"{folder}/all"
    seconds = _timed(_train(run, "--train_epochs=0.5"))
    lines = pathlib.Path(f"{run}/metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    settings = json.loads(pathlib.Path(f"{run}/config.json").read_text())
    last = found[-1]
    images = settings["train_batch_size"] * last["step"] / last["epoch"]
    speeds = [one["images_per_second"] for one in found if "images_per_second" in one]
    epoch = images / statistics.median(speeds)
    sizes = (_SIZES[0], _SIZES[-1])
    large, small = (
        _timed(_train(f"{folder}/{size}", *_classifier(size))) for size in sizes
    )
    pixel = (large - small) / (sizes[0] ** 2 - sizes[1] ** 2)
    return Costs(seconds - 0.5 * epoch, epoch, small - pixel * sizes[1] ** 2, pixel)


def _classifier(size: int) -> list[str]:
    return ["--freeze=backbone", f"--image_size={size}", "--train_epochs=5"]


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
