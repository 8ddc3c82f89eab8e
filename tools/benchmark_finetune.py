"""Compares fine-tuning with plain Keras fits that get the same wall time.

python tools/benchmark_finetune.py --data_dir=FOLDER --minutes=1,2,4,8 --json

A fit's time counts from its start to the end of its training, with imports and the
reading of weights; scoring comes after. Where ours takes longer than the budget, the
rivals get as long. The rivals are `model.fit` of a frozen backbone with Adam at 1e-3,
and of all layers with Adam at 3e-4, in batches of 64 at --rival_size pixels. Ours is
the recipe `finetune`: as many epochs as short runs show to fit. Where fewer than 1.5
fit, which do not make up for what the first steps lose, only the classifier is trained,
at the largest size that fits.
"""

import dataclasses
import tempfile
import time

import tool
import timed_fits
from absl import flags as absl_flags

FLAGS = absl_flags.FLAGS
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
    return {"costs": dataclasses.asdict(costs), "rows": rows}


def _compare(folder: str, minutes: float, costs: Costs) -> dict:
    """Returns the accuracies at one budget, and the seconds that ours took."""
    run, chosen = f"{folder}/{minutes}", costs.flags(60 * minutes * _SAFETY)
    row = {"minutes": minutes, "flags": chosen}
    row["seconds_ours"] = timed_fits.timed(_train(run, *chosen))
    row["ours"] = timed_fits.top_1(run)
    seconds = max(60 * minutes, row["seconds_ours"])
    for rival in RIVALS:
        given = [*_given("data_dir", "weights", "model", "seed", "rival_size")]
        given += [f"--rival={rival}", f"--until={time.time() + seconds}"]
        row[rival] = timed_fits.result([__file__, *given])["top_1"]
    scores = ", ".join(f"{who} {row[who]:.2%}" for who in ("ours", *RIVALS))
    took = f"{row['seconds_ours']:.0f} s with {' '.join(chosen)}"
    print(f"{minutes:g} min: {scores}; ours took {took}", flush=True)
    row["ratio_top_1_vs_keras"] = row["ours"] / max(row[rival] for rival in RIVALS)
    return row


def _given(*names: str) -> list[str]:
    return [f"--{name}={FLAGS[name].value}" for name in names]


def _train(run: str, *chosen: str) -> list[str]:
    given = _given("data_dir", "weights", "model", "seed")
    return timed_fits.train(run, "--recipe=finetune", *given, *chosen)


def _classifier(size: int) -> list[str]:
    return ["--freeze=backbone", f"--image_size={size}", "--train_epochs=5"]


def _measure(folder: str) -> Costs:
    """Measures three short runs."""
    flags = ("--recipe=finetune", *_given("data_dir", "weights", "model", "seed"))
    start, epoch = timed_fits.costs(f"{folder}/all", *flags)
    sizes = (_SIZES[0], _SIZES[-1])
    large, small = (
        timed_fits.timed(_train(f"{folder}/{size}", *_classifier(size)))
        for size in sizes
    )
    pixel = (large - small) / (sizes[0] ** 2 - sizes[1] ** 2)
    return Costs(start, epoch, small - pixel * sizes[1] ** 2, pixel)


def _fit_rival(trainable: bool, learning_rate: float) -> dict:
    """Fits a plain Keras model until the time is over; returns its accuracy."""
    import keras

    import efficientnet_tf as en
    from efficientnet_tf.data import folder

    keras.utils.set_random_seed(FLAGS.seed)
    size = FLAGS.rival_size
    backbone = en.EfficientNet(
        FLAGS.model,
        weights=FLAGS.weights,
        include_top=False,
        pooling="avg",
        input_shape=(size, size, 3),
    )
    backbone.trainable = trainable
    classes = len(folder.find_layout(FLAGS.data_dir).classes)
    head = keras.layers.Dense(classes, activation="softmax")
    model = keras.Sequential([backbone, head])
    adam = keras.optimizers.Adam(learning_rate)
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return timed_fits.fit(
        model, FLAGS.data_dir, size=size, batch=_RIVAL_BATCH, until=FLAGS.until
    )


if __name__ == "__main__":
    tool.run(main, errors=(ValueError, FloatingPointError))
