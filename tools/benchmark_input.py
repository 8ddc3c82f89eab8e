"""Times the input pipeline of training, stage by stage, on one core.

python tools/benchmark_input.py --data_dir=FOLDER_OF_JPEGS --json

Beside ours: the original's pipeline, which normalises to float on the host, with
tf-models-official's AutoAugment and RandAugment; Pillow and OpenCV in a Python loop;
and the decoder alone, which nobody can do without. All take the same images in the same
run; the numbers are medians over the turns, in milliseconds of CPU time. With
--images_per_second, what devices take, it tells how many cores feed them.
"""

import io
import itertools
import math
import random
import tempfile
from collections.abc import Callable

import tool
import cv2
import numpy as np
import tensorflow as tf
import timed_pipelines
import timed_sources
from absl import flags as absl_flags
from official.vision.ops import augment as official
from PIL import Image

from efficientnet_tf import variants
from efficientnet_tf.data import preparation
from efficientnet_tf.data.augment import application, draws

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_string("data_dir", None, "Folder that holds JPEGs, at any depth.")
absl_flags.DEFINE_integer("images", 1500, "Images of each turn.", lower_bound=8)
absl_flags.DEFINE_integer("image_size", 224, "Size in pixels.", lower_bound=32)
absl_flags.DEFINE_integer("turns", 5, "Turns, of which medians are taken.")
absl_flags.DEFINE_integer("core", 0, "The core to use.", lower_bound=0)
absl_flags.DEFINE_float("images_per_second", None, "Images that the devices take.")
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")

_POLICIES = ("autoaugment", "randaugment")
_LEAST_AREA = 0.08  # of a training crop, as a share of the image
_ROWS = {
    "decode": "decoder alone, of the crop",
    "pillow": "Pillow: decode, crop, bicubic, mirror",
    "opencv": "OpenCV: decode, crop, cubic, mirror",
    "ours": "ours: crop, bicubic, mirror, uint8",
    "original": "original: the same, normalised to float",
    "autoaugment_ours": "ours with AutoAugment",
    "autoaugment_tf_models": "original with tf-models' AutoAugment",
    "randaugment_ours": "ours with RandAugment(2, 10)",
    "randaugment_tf_models": "original with tf-models' RandAugment(2, 10)",
    "evaluation": "ours: evaluation",
}


def main(_: list[str]) -> dict:
    """Times all rows and prints a table of them."""
    timed_pipelines.use_one_core(FLAGS.core)
    encoded = timed_pipelines.read_jpegs(FLAGS.data_dir, FLAGS.images)
    candidates = _decoders(encoded) | _pipelines(encoded)
    with tempfile.TemporaryDirectory() as folder:
        candidates |= timed_sources.drawing(
            encoded, image_size=FLAGS.image_size, folder=folder
        )
        found = timed_pipelines.medians(
            candidates, calls=FLAGS.images, turns=FLAGS.turns
        )
    for name, title in (_ROWS | timed_sources.ROWS).items():
        cores = _cores(found[name])
        print(f"{title:45} {found[name]:6.2f} ms {1000 / found[name]:6.0f}/s{cores}")
    result = {f"ms_{name}": value for name, value in found.items()}
    result |= {
        "ratio_ours_vs_original": found["original"] / found["ours"],
        "ratio_ours_vs_decode": found["decode"] / found["ours"],
        "ratio_decoded_vs_files": found["files"] / found["files_decoded"],
        "ratio_decoded_vs_halved": found["halved"] / found["halved_decoded"],
    }
    for name in _POLICIES:
        ratio = found[f"{name}_tf_models"] / found[f"{name}_ours"]
        result[f"ratio_{name}_vs_tf_models"] = ratio
    ratios = {key: value for key, value in result.items() if key.startswith("ratio")}
    print(", ".join(f"{name} {value:.2f}" for name, value in ratios.items()))
    return result


def _cores(milliseconds: float) -> str:
    if FLAGS.images_per_second is None:
        return ""
    return f" {math.ceil(FLAGS.images_per_second * milliseconds / 1000):6d} cores"


def _pipelines(encoded: list[bytes]) -> dict[str, timed_pipelines.Draw]:
    prepare = preparation.Preparation(FLAGS.image_size, 0.875, "bicubic")
    theirs = {
        "autoaugment": official.AutoAugment(),
        "randaugment": official.RandAugment(num_layers=2, magnitude=10),
    }
    functions = {
        "decode": lambda image, seed: _decoded_crop(image, seed),
        "evaluation": lambda image, _: prepare.decode(image),
        "ours": _ours(None),
        "original": _original(lambda image: image),
    }
    for name in _POLICIES:
        functions[f"{name}_ours"] = _ours(name)
        functions[f"{name}_tf_models"] = _original(theirs[name].distort)
    images = tf.data.Dataset.from_tensor_slices(encoded).repeat().enumerate()
    return {
        name: timed_pipelines.drawing(
            images,
            lambda number, image, do=function: do(image, tf.stack([1, number])),
        )
        for name, function in functions.items()
    }


def _ours(policy: str | None) -> Callable:
    """Returns a training example's image as this package makes it."""
    prepare = preparation.Preparation(FLAGS.image_size, 0.875, "bicubic")
    made = policy and timed_pipelines.made_plan(policy, FLAGS.image_size)

    def example(encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        crop_seed, augment_seed = tf.unstack(tf.random.split(seed, 2))
        image = preparation.decode_and_distort(
            encoded,
            prepare,
            seed=crop_seed,
            crop_area_min=_LEAST_AREA,
            flip=True,
            cut_off=policy is not None,
        )
        if made is None:
            return image
        return application.on_host(image, draws.draw(augment_seed, made), made)

    return example


def _original(augment: Callable) -> Callable:
    """Returns an image as preprocessing.py of the TF1 original makes it."""
    pixels = variants.IMAGENET_PIXELS
    mean, stddev = (np.float32(values) for values in (pixels.mean, pixels.stddev))

    def example(encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        crop = _decoded_crop(encoded, seed)
        size = [FLAGS.image_size, FLAGS.image_size]
        image = tf.raw_ops.ResizeBicubic(images=crop[tf.newaxis], size=size)[0]
        image = tf.image.random_flip_left_right(tf.ensure_shape(image, [*size, 3]))
        image = augment(tf.cast(tf.clip_by_value(image, 0.0, 255.0), tf.uint8))
        return (tf.cast(image, tf.float32) - mean) / stddev

    return example


def _decoded_crop(encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.image.extract_jpeg_shape(encoded),
        bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=seed,
        min_object_covered=0.1,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(_LEAST_AREA, 1.0),
        max_attempts=10,
    )
    window = tf.concat([begin[:2], size[:2]], 0)
    return tf.image.decode_and_crop_jpeg(encoded, window, channels=3)


def _decoders(encoded: list[bytes]) -> dict[str, timed_pipelines.Draw]:
    """Returns loops over other libraries' decoders, with crops of the same shares."""
    cv2.setNumThreads(1)
    draw = random.Random(0)
    size = (FLAGS.image_size, FLAGS.image_size)
    of_pillow, of_opencv = itertools.cycle(encoded), itertools.cycle(encoded)

    def pillow() -> None:
        image = Image.open(io.BytesIO(next(of_pillow))).convert("RGB")
        left, top, width, height = _window(draw, image.width, image.height)
        box = (left, top, left + width, top + height)
        image = image.resize(size, Image.Resampling.BICUBIC, box)
        if draw.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        np.asarray(image)

    def opencv() -> None:
        image = cv2.imdecode(np.frombuffer(next(of_opencv), np.uint8), cv2.IMREAD_COLOR)
        left, top, width, height = _window(draw, image.shape[1], image.shape[0])
        crop = image[top : top + height, left : left + width]
        image = cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC)
        if draw.random() < 0.5:
            image = cv2.flip(image, 1)

    return {"pillow": pillow, "opencv": opencv}


def _window(draw: random.Random, width: int, height: int) -> tuple[int, ...]:
    """Draws left, top, width and height of a training crop."""
    area = draw.uniform(_LEAST_AREA, 1.0) * width * height
    ratio = draw.uniform(3 / 4, 4 / 3)
    across = min(width, round(math.sqrt(area * ratio)))
    down = min(height, round(math.sqrt(area / ratio)))
    left, top = draw.randint(0, width - across), draw.randint(0, height - down)
    return left, top, across, down


if __name__ == "__main__":
    tool.run(main)
