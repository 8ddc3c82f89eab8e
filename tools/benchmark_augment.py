"""Times the augmentation of images beside tf-models-official's and Pillow's.

python tools/benchmark_augment.py --data_dir=FOLDER_OF_JPEGS --json

Everything runs on one core and on the same images. Whole pipelines crop, decode, resize
and mirror as training does, then augment. Each turn times every candidate once; the
numbers are medians over the turns, in milliseconds of the process's CPU time, which
other processes disturb less than wall time. Pipelines are warm: to make an iterator
over tf-models' RandAugment alone takes half a second.
"""

import glob
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
import tool
from absl import flags as absl_flags
from official.vision.ops import augment as official
from PIL import Image, ImageEnhance, ImageOps

from efficientnet_tf.data import preparation
from efficientnet_tf.data.augment import application, draws, plan, policies
from efficientnet_tf.data.settings import Augmentation

FLAGS = absl_flags.FLAGS

absl_flags.DEFINE_string("data_dir", None, "Folder that holds JPEGs, at any depth.")
absl_flags.DEFINE_integer("images", 200, "Images of each turn.", lower_bound=8)
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
_Draw = Callable[[], None]  # takes the next image


def main(_: list[str]) -> dict:
    """Times pipelines, operators and the device, and prints a table of each."""
    os.sched_setaffinity(0, {FLAGS.core})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    encoded = _read_images()
    return _pipelines(encoded) | _operators(encoded) | _device(encoded)


def _read_images() -> list[bytes]:
    if not FLAGS.data_dir:
        raise ValueError("--data_dir is missing: name a folder that holds JPEGs")
    paths = glob.glob(f"{FLAGS.data_dir}/**/*.jp*g", recursive=True)
    if not paths:
        raise ValueError(f"--data_dir={FLAGS.data_dir}: holds no *.jpg or *.jpeg")
    found = []
    for path in itertools.islice(itertools.cycle(sorted(paths)), FLAGS.images):
        with open(path, "rb") as file:
            found.append(file.read())
    return found


def _pipelines(encoded: list[bytes]) -> dict:
    chosen = {name: _plan(name) for name in ("autoaugment", "randaugment")}
    theirs = {
        "autoaugment": official.AutoAugment(),
        "randaugment": official.RandAugment(num_layers=2, magnitude=10),
    }
    candidates = {"crop": _pipeline(encoded, lambda image, _: image)}
    for name, ours in chosen.items():
        candidates[f"{name}_ours"] = _pipeline(
            encoded,
            lambda image, seed, ours=ours: application.on_host(
                image, draws.draw(seed, ours), ours
            ),
        )
        candidates[f"{name}_tf_models"] = _pipeline(
            encoded, lambda image, _, name=name: theirs[name].distort(image)
        )
    medians = _medians(candidates, FLAGS.images)
    result = {f"ms_{name}": value for name, value in medians.items()}
    for name in chosen:
        ratio = medians[f"{name}_tf_models"] / medians[f"{name}_ours"]
        result[f"ratio_{name}_vs_tf_models"] = ratio
        print(
            f"{name:12} ours {medians[f'{name}_ours']:.2f} ms, tf-models "
            f"{medians[f'{name}_tf_models']:.2f} ms, of which crop, resize and mirror "
            f"{medians['crop']:.2f} ms; ratio {ratio:.2f}",
            flush=True,
        )
    return result


def _pipeline(encoded: list[bytes], augment: Callable) -> _Draw:
    prepare = preparation.Preparation(FLAGS.image_size, 0.875, "bicubic")

    def example(number: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        crop_seed, seed = tf.unstack(tf.random.split(tf.stack([1, number]), 2))
        cropped = preparation.decode_and_distort(
            image, prepare, seed=crop_seed, crop_area_min=0.08, flip=True, cut_off=True
        )
        return augment(cropped, seed)

    images = tf.data.Dataset.from_tensor_slices(encoded).repeat().enumerate()
    return _drawing(images, example)


def _operators(encoded: list[bytes]) -> dict:
    """Compares single operators on images that are decoded already."""
    images = _decoded(encoded[:32])
    pictures = [Image.fromarray(i) for i in images.take(32).as_numpy_iterator()]
    turning = itertools.cycle(pictures)
    candidates = {"nothing": _drawing(images, lambda image: tf.bitwise.invert(image))}
    for name, pillow in _OPERATORS.items():
        argument = policies.original_magnitude(name, 7, translate=100, cutout=40)
        candidates[f"{name}_ours"] = _drawing(images, _ours(name))
        candidates[f"{name}_tf_models"] = _drawing(
            images, lambda image, n=name, a=argument: _theirs(n, image, a)
        )
        candidates[f"{name}_pillow"] = lambda pillow=pillow, argument=argument: pillow(
            next(turning), argument
        )
    medians = _medians(candidates, max(8, FLAGS.images // 4))
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
    made = _plan("randaugment", randaugment_num_layers=1, randaugment_magnitude=7.0)
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
    made = _plan("autoaugment")
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
    host = _drawing(pairs, lambda i, d: application.on_host(i, d, made))
    candidates = {
        "host": lambda: [host() for _ in range(FLAGS.batch)],
        "device": lambda: step(images, drawn).numpy(),
        "device_xla": lambda: compiled(images, drawn).numpy(),
    }
    medians = _medians(candidates, 1)
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


def _plan(name: str, **changed) -> plan.Plan:
    settings = {
        "augment": name,
        "randaugment_num_layers": 2,
        "randaugment_magnitude": 10.0,
        "mixup_alpha": 0.0,
        "flip": True,
        "crop_area_min": 0.08,
    }
    return plan.Plan(Augmentation(**settings | changed), FLAGS.image_size)


def _drawing(dataset: tf.data.Dataset, function: Callable) -> _Draw:
    """Maps a function over a dataset, one element at a time and nothing ahead."""
    dataset = dataset.map(tf.autograph.experimental.do_not_convert(function))
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    iterator: Iterator = iter(dataset.with_options(options))
    for _ in range(8):
        next(iterator)
    return lambda: next(iterator)


def _medians(candidates: dict[str, _Draw], count: int) -> dict[str, float]:
    """Returns milliseconds of CPU time for one call of each candidate."""
    found = {name: [] for name in candidates}
    for turn in range(FLAGS.turns):
        # In alternating order, so that none is always last.
        for name in sorted(candidates, reverse=turn % 2 == 1):
            began = time.process_time()
            for _ in range(count):
                candidates[name]()
            found[name].append((time.process_time() - began) / count * 1000)
    return {name: statistics.median(values) for name, values in found.items()}


if __name__ == "__main__":
    tool.run(main)
