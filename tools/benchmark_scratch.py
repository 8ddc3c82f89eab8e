"""Compares training from random weights with plain Keras in the same wall time.

python tools/benchmark_scratch.py --data_dir=FOLDER --minutes=60 --json

Ours is B0 with the recipe `scratch`, for as many epochs as a short run shows to fit.
The rival is keras.applications.EfficientNetB0 under `model.fit` with Keras's defaults:
Adam at 1e-3, batches of 32. A fit's time counts from its start to the end of its
training, with imports; scoring comes after. --fits=ours or --fits=rival takes one of
them, so that both can run at once, each on a core: `taskset -c 0 python tools/...`.
"""

import tempfile
import time

import tool
import timed_fits
from absl import flags as absl_flags

FLAGS = absl_flags.FLAGS
_SAFETY = 0.97  # share of the time that is planned
_RIVAL_BATCH = 32

absl_flags.DEFINE_string("data_dir", None, "Folder of images by class.", required=True)
absl_flags.DEFINE_float("minutes", 60, "Budget of wall time.")
absl_flags.DEFINE_integer("image_size", 96, "Image size of evaluation, in pixels.")
absl_flags.DEFINE_integer("train_image_size", 84, "Our image size in training.")
absl_flags.DEFINE_integer("rival_size", 96, "Image size of the rival, in pixels.")
absl_flags.DEFINE_integer("seed", 0, "Seed of both fits.")
absl_flags.DEFINE_list("fits", ["ours", "rival"], "The fits to run.")
absl_flags.DEFINE_list("changes", [], "Flags of main.py for our fit, as name=value.")
absl_flags.DEFINE_float("until", None, "Fit the rival here until this Unix time.")
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def main(_: list[str]) -> dict:
    """Fits what is asked for, and compares the accuracies."""
    if FLAGS.until:
        return _fit_rival()
    row = {"minutes": FLAGS.minutes}
    if "ours" in FLAGS.fits:
        with tempfile.TemporaryDirectory() as folder:
            row |= _fit_ours(folder, 60 * FLAGS.minutes)
    if "rival" in FLAGS.fits:
        given = _given("data_dir", "rival_size", "seed")
        until = time.time() + 60 * FLAGS.minutes
        rival = timed_fits.result([__file__, *given, f"--until={until}"])
        row |= {f"{name}_rival": value for name, value in rival.items()}
    if {"top_1_ours", "top_1_rival"} <= row.keys():
        row["ratio_top_1_vs_keras"] = row["top_1_ours"] / row["top_1_rival"]
    print(", ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
    return row


def _given(*names: str) -> list[str]:
    return [f"--{name}={FLAGS[name].value}" for name in names]


def _fit_ours(folder: str, seconds: float) -> dict:
    """Trains for as many epochs as fit into a time; returns them and the accuracy."""
    names = ("data_dir", "image_size", "train_image_size", "seed")
    flags = ["--recipe=scratch", "--model=efficientnet-b0", *_given(*names)]
    # The recipe's crop keeps only three quarters of the side at 96 pixels.
    flags += ["--eval_crop=fixed", *(f"--{change}" for change in FLAGS.changes)]
    start, epoch = timed_fits.costs(f"{folder}/measured", *flags)
    epochs = (_SAFETY * seconds - start) / epoch
    flags.append(f"--train_epochs={epochs:.2f}")
    taken = timed_fits.timed(timed_fits.train(f"{folder}/run", *flags))
    top_1 = timed_fits.top_1(f"{folder}/run")
    return {"top_1_ours": top_1, "epochs_ours": epochs, "seconds_ours": taken}


def _fit_rival() -> dict:
    """Fits plain Keras until the time is over."""
    import keras

    from efficientnet_tf.data import folder

    keras.utils.set_random_seed(FLAGS.seed)
    size = FLAGS.rival_size
    model = keras.applications.EfficientNetB0(
        weights=None,
        input_shape=(size, size, 3),
        classes=len(folder.find_layout(FLAGS.data_dir).classes),
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return timed_fits.fit(
        model, FLAGS.data_dir, size=size, batch=_RIVAL_BATCH, until=FLAGS.until
    )


if __name__ == "__main__":
    tool.run(main, errors=(ValueError, FloatingPointError))
