"""Runs models with two sets of weights on the same images and compares the logits.

python tools/verify_weights.py A B [--model=efficientnet-b0] [--images=FOLDER]

A and B are weights files, TF1 checkpoints or releases of the same network.
"""

import pathlib

import tool
from absl import flags as absl_flags

from efficientnet_tf import suffixes

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_string("model", None, "Variant; None: what the files say they hold.")
absl_flags.DEFINE_string("images", None, "Folder of images; None: scikit-learn's two.")
absl_flags.DEFINE_integer("count", 16, "Images or random crops of them.", lower_bound=1)
absl_flags.DEFINE_integer(
    "image_size", None, "Pixels; None: the model's.", lower_bound=1
)
absl_flags.DEFINE_boolean("ema", True, "Take averages, if a file has both.")
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def main(arguments: list[str]) -> dict:
    """Loads both sets of weights, runs both models and prints the comparison."""
    if len(arguments) != 2:
        raise ValueError(f"takes two sets of weights, not {len(arguments)}")
    result = _verify(*arguments)
    print(
        f"max |difference| of the logits {result['max_difference']:.3g} "
        f"(largest logit {result['max_logit']:.3g}), top-1 agreement "
        f"{result['top_1_agreement']:.2%} of {result['images']} images"
    )
    return result


def _verify(one: str, other: str) -> dict:
    # Late, because TensorFlow takes seconds to import.
    from efficientnet_tf.weights import verify

    first = _open(one, FLAGS.image_size)
    size = first.preparation.image_size
    second = _open(other, size)
    images = _photos(first) if FLAGS.images else _crops(size)
    return verify.compare(first.model, second.model, images)


def _open(source: str, image_size: int | None):
    from efficientnet_tf.inference import classifier

    return classifier.open_classifier(
        weights=source,
        model=FLAGS.model,
        ema=FLAGS.ema,
        chosen={"image_size": image_size},
    )


def _photos(classifier):
    """Returns uint8 [count, size, size, 3], prepared as the classifier does it."""
    import numpy as np

    paths = [
        str(path)
        for path in sorted(pathlib.Path(FLAGS.images).glob("*"))
        if path.name.lower().endswith(suffixes.IMAGES)
    ]
    if not paths:
        raise ValueError(f"--images={FLAGS.images}: holds no image files")
    return np.stack([classifier.read_image(path) for path in paths[: FLAGS.count]])


def _crops(size: int):
    """Returns crops of scikit-learn's two photos, uint8 [count, size, size, 3]."""
    import numpy as np
    import tensorflow as tf
    from sklearn import datasets

    rng = np.random.default_rng(0)
    photos = datasets.load_sample_images().images
    crops = []
    for index in range(FLAGS.count):
        photo = photos[index % len(photos)]
        y, x = (rng.integers(0, side - 200) for side in photo.shape[:2])
        crop = tf.image.resize(photo[y : y + 200, x : x + 200], [size, size])
        crops.append(np.asarray(tf.cast(crop, tf.uint8)))
    return np.stack(crops)


if __name__ == "__main__":
    tool.run(main, errors=(ValueError,))
