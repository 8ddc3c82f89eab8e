"""Times the augmentation of images beside tf-models-official's and Pillow's.

python tools/benchmark_augment.py --data_dir=FOLDER_OF_JPEGS --json

Everything runs on one core and on the same images. Each turn times every candidate
once; the numbers are medians over the turns, in milliseconds of CPU time. Whole
pipelines are compared by benchmark_input.py.
"""

import itertools
import time
from collections.abc import Callable

import tool
import numpy as np
import tensorflow as tf
import timed_pipelines
from absl import flags as absl_flags
from official.vision.ops import augment as official
from PIL import Image, ImageEnhance, ImageOps

from efficientnet_tf.data import preparation
from efficientnet_tf.data.augment import application, draws, plan, policies

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_string("data_dir", None, "Folder that holds JPEGs, at any depth.")
absl_flags.DEFINE_integer("images", 1000, "Images of each turn.", lower_bound=8)
absl_flags.DEFINE_integer("image_size", 224, "Size in pixels.", lower_bound=32)
absl_flags.DEFINE_integer("batch", 128, "Images on the device.", lower_bound=1)
absl_flags.DEFINE_integer("turns", 5, "Turns, of which medians are taken.")
absl_flags.DEFINE_integer("core", 0, "The core to use.", lower_bound=0)
absl_flags.DEFINE_boolean("json", False, "Print the result as one last line of JSON.")

# Operators at level 7, as tf-models' and Pillow's functions of an argument.
_GREY = [128] * 3
_OPERATORS = {
    "Rotate": lambda image, degrees: image.rotate(degrees, fillcolor=plan.GREY),
    "ShearX": lambda image, shear: _affine(image, (1, shear, 0, 0, 1, 0)),
    "ShearY": lambda image, shear: _affine(image, (1, 0, 0, shear, 1, 0)),
    "TranslateX": lambda image, shift: _affine(image, (1, 0, shift, 0, 1, 0)),
    "TranslateY": lambda image, shift: _affine(image, (1, 0, 0, 0, 1, shift)),
    "Equalize": lambda image, _: ImageOps.equalize(image),
    "AutoContrast": lambda image, _: ImageOps.autocontrast(image),
    "Posterize": lambda image, bits: ImageOps.posterize(image, bits),
    "Solarize": lambda image, threshold: ImageOps.solarize(image, threshold),
    "Brightness": lambda image, factor: ImageEnhance.Brightness(image).enhance(factor),
    "Contrast": lambda image, factor: ImageEnhance.Contrast(image).enhance(factor),
    "Color": lambda image, factor: ImageEnhance.Color(image).enhance(factor),
    "Sharpness": lambda image, factor: ImageEnhance.Sharpness(image).enhance(factor),
}
_WITHOUT_ARGUMENT = ("Equalize", "AutoContrast")


def main(_: list[str]) -> dict:
    """Times operators and the device, and prints a table of each."""
    timed_pipelines.use_one_core(FLAGS.core)
    encoded = timed_pipelines.read_jpegs(FLAGS.data_dir, FLAGS.images)
    return _operators(encoded) | _device(encoded)


def _operators(encoded: list[bytes]) -> dict:
    """Compares single operators on images that are decoded already."""
    # Written anew: as after a resize, the core's own caches hold an image.
    images = _decoded(encoded[:32]).map(tf.bitwise.invert)
    pictures = [Image.fromarray(i) for i in images.take(32).as_numpy_iterator()]
    turning = itertools.cycle(pictures)
    candidates = {
        "nothing": timed_pipelines.drawing(
            images, lambda image: tf.bitwise.invert(image)
        )
    }
    for name, pillow in _OPERATORS.items():
        argument = policies.original_magnitude(name, 7, translate=100, cutout=40)
        candidates[f"{name}_ours"] = timed_pipelines.drawing(images, _ours(name))
        candidates[f"{name}_tf_models"] = timed_pipelines.drawing(
            images, lambda image, n=name, a=argument: _theirs(n, image, a)
        )
        candidates[f"{name}_pillow"] = lambda pillow=pillow, argument=argument: pillow(
            next(turning), argument
        )
    medians = timed_pipelines.medians(
        candidates, calls=max(8, FLAGS.images // 4), turns=FLAGS.turns
    )
    result = {}
    for name in _OPERATORS:
        ours, theirs = (
            max(1e-3, medians[f"{name}_{who}"] - medians["nothing"])
            for who in ("ours", "tf_models")
        )
        pillow = medians[f"{name}_pillow"]
        key = name.lower()
        result |= {
            f"ms_{key}_ours": ours,
            f"ms_{key}_tf_models": theirs,
            f"ms_{key}_pillow": pillow,
            f"ratio_{key}_vs_tf_models": theirs / ours,
            f"ratio_{key}_vs_pillow": pillow / ours,
        }
        print(
            f"{name:12} ours {ours:.2f} ms, tf-models {theirs:.2f} ms (ratio "
            f"{theirs / ours:.1f}), Pillow {pillow:.2f} ms",
            flush=True,
        )
    return result


def _decoded(encoded: list[bytes]) -> tf.data.Dataset:
    prepare = preparation.Preparation(FLAGS.image_size, 0.875, "bicubic")
    images = tf.stack([prepare.decode(tf.constant(image)) for image in encoded])
    return tf.data.Dataset.from_tensor_slices(images).repeat()


def _ours(name: str) -> Callable:
    """Returns a function that always applies one operator, of a policy of its own."""
    made = timed_pipelines.made_plan(
        "randaugment",
        FLAGS.image_size,
        randaugment_num_layers=1,
        randaugment_magnitude=7.0,
    )
    number = made.choices[policies.RANDAUGMENT.index(name), 0, 0]
    draw = tf.constant([[number, 0, 0, 0, 0]])
    return lambda image: application.on_host(image, draw, made)


def _theirs(name: str, image: tf.Tensor, argument: float) -> tf.Tensor:
    arguments = [] if name in _WITHOUT_ARGUMENT else [argument]
    if name in official.REPLACE_FUNCS:
        arguments.append(_GREY)
    return official.NAME_TO_FUNC[name](image, *arguments)


def _affine(image: Image.Image, matrix: tuple) -> Image.Image:
    affine = Image.Transform.AFFINE
    return image.transform(image.size, affine, matrix, fillcolor=plan.GREY)


def _device(encoded: list[bytes]) -> dict:
    """Compares AutoAugment of a batch in a step on the CPU with that on the host."""
    made = timed_pipelines.made_plan("autoaugment", FLAGS.image_size)
    images = next(iter(_decoded(encoded[:32]).batch(FLAGS.batch)))
    seeds = [tf.constant([1, number], tf.int64) for number in range(FLAGS.batch)]
    drawn = tf.stack([draws.draw(seed, made) for seed in seeds])
    step = tf.function(lambda i, d: application.on_cpu(i, d, made), autograph=False)
    compiled = tf.function(
        lambda i, d: application.on_device(i, d, made),
        autograph=False,
        jit_compile=True,
    )
    pairs = tf.data.Dataset.from_tensor_slices((images, drawn)).repeat()
    began = time.perf_counter()
    same = np.array_equal(step(images, drawn), compiled(images, drawn))
    compile_seconds = time.perf_counter() - began
    host = timed_pipelines.drawing(pairs, lambda i, d: application.on_host(i, d, made))
    candidates = {
        "host": lambda: [host() for _ in range(FLAGS.batch)],
        "device": lambda: step(images, drawn).numpy(),
        "device_xla": lambda: compiled(images, drawn).numpy(),
    }
    medians = timed_pipelines.medians(candidates, calls=1, turns=FLAGS.turns)
    each = {who: value / FLAGS.batch for who, value in medians.items()}
    ratio = each["host"] / each["device"]
    print(
        f"AutoAugment of {FLAGS.batch} images in a step on the CPU: "
        f"{each['device']:.2f} ms an image, on the host {each['host']:.2f} ms; ratio "
        f"{ratio:.2f}; in one XLA program {each['device_xla']:.2f} ms; equal: {same}; "
        f"traced and compiled in {compile_seconds:.0f} s",
        flush=True,
    )
    result = {f"ms_batch_{who}": value for who, value in each.items()}
    return result | {"ratio_device_vs_host": ratio, "device_equals_xla": same}


if __name__ == "__main__":
    tool.run(main)
