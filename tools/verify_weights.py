"""Runs two sets of weights on the same images and compares their logits.

python tools/verify_weights.py A B [--model=efficientnet-b0] [--images=FOLDER]

A and B are weights files, TF1 checkpoints or releases of the same network.
"""

import json
import os
import sys

from absl import app
from absl import flags as absl_flags

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_string("model", None, "Variant; None: what the files say they hold.")
absl_flags.DEFINE_string("images", None, "Folder of images; None: scikit-learn's two.")
absl_flags.DEFINE_integer("count", 16, "Images or random crops of them.", lower_bound=1)
absl_flags.DEFINE_integer(
    "image_size", None, "Pixels; None: the model's.", lower_bound=1
)
absl_flags.DEFINE_boolean("ema", True, "Of TF1 checkpoints, take the averages.")
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")


def main(argv: list[str]) -> None:
    """Loads both, runs both and reports."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        if len(argv) != 3:
            raise ValueError(f"takes two sets of weights, not {len(argv) - 1}")
        result = _verify(*argv[1:])
    except ValueError as error:
        sys.exit(f"error: {error}")
    print(
        f"max |difference| of the logits {result['max_difference']:.3g} "
        f"(largest logit {result['max_logit']:.3g}), top-1 agreement "
        f"{result['top_1_agreement']:.2%} of {result['images']} images"
    )
    if FLAGS.json:
        print(json.dumps(result))


def _verify(one: str, other: str) -> dict:
    # Late, because TensorFlow takes seconds to import.
    from efficientnet_tf.models import pretrained
    from efficientnet_tf.weights import verify

    models = [
        pretrained.from_weights(
            source,
            FLAGS.model,
            ema=FLAGS.ema,
            classifier_activation=None,
            input_shape=(None, None, 3),
        )
        for source in (one, other)
    ]
    for source, model in zip((one, other), models, strict=True):
        if model.passport.classes is None:
            raise ValueError(f"{source}: has no classifier, so there are no logits")
    return verify.compare(*models, _images(FLAGS.image_size or _size(models[0])))


def _size(model) -> int:
    passport = model.passport
    return passport.image_size or passport.variant.resolution


def _images(size: int):
    """uint8 [count, size, size, 3]."""
    import numpy as np
    import tensorflow as tf

    from efficientnet_tf.export import predict

    if FLAGS.images:
        names = sorted(os.listdir(FLAGS.images)) if os.path.isdir(FLAGS.images) else []
        paths = [
            os.path.join(FLAGS.images, name)
            for name in names
            if name.lower().endswith((".jpg", ".jpeg", ".png", ".gif", ".bmp"))
        ]
        if not paths:
            raise ValueError(f"--images={FLAGS.images}: holds no image files")
        return np.stack(
            [
                predict.read_image(path, image_size=size, fraction=0.875)
                for path in paths[: FLAGS.count]
            ]
        )
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
    app.run(main)
