"""AutoAugment, RandAugment and MixUp with stateless randomness.

The operators and the policy v0 are those of tf-models-official. This module draws among
them itself, because that package's AutoAugment and RandAugment use a global generator:
their images depend on thread timing and cannot be drawn again after a restart.
"""

from typing import Any

import tensorflow as tf
from official.vision.ops import augment as operators

from efficientnet_tf.data.settings import Augmentation

_FILL = [128, 128, 128]  # grey where a geometric operator leaves no pixel


def augmented(image: tf.Tensor, seed: tf.Tensor, chosen: Augmentation) -> tf.Tensor:
    """Applies the operations that a run has chosen; crop and flip come before.

    Args:
        image: uint8 [height, width, 3].
        seed: integer [2].
        chosen: the run's augmentation.
    """
    if chosen.augment == "autoaugment":
        return autoaugment(image, seed)
    if chosen.augment == "randaugment":
        return randaugment(
            image,
            seed,
            num_layers=chosen.randaugment_num_layers,
            magnitude=chosen.randaugment_magnitude,
        )
    return image


def autoaugment(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Applies one of the 25 sub-policies of AutoAugment v0 (arXiv 1805.09501).

    Args:
        image: uint8 [height, width, 3].
        seed: integer [2].
    """
    policy = operators.AutoAugment.policy_v0()
    choice_seed, *step_seeds = tf.unstack(tf.random.split(seed, 3))

    def apply(sub_policy: Any) -> tf.Tensor:
        result = image
        for (name, probability, level), step_seed in zip(
            sub_policy, step_seeds, strict=True
        ):
            result = apply_with_probability(name, probability, level, result, step_seed)
        return result

    choice = tf.random.stateless_uniform(
        [], choice_seed, maxval=len(policy), dtype=tf.int32
    )
    branches = [lambda sub_policy=p: apply(sub_policy) for p in policy]
    return tf.switch_case(choice, branches)


def randaugment(
    image: tf.Tensor, seed: tf.Tensor, *, num_layers: int = 2, magnitude: float = 10
) -> tf.Tensor:
    """Applies `num_layers` random operators at one strength (arXiv 1909.13719).

    Args:
        image: uint8 [height, width, 3].
        seed: integer [2].
        num_layers: int above 0, the number of operators, N of the paper.
        magnitude: float, the strength, M of the paper; the released B7 uses 28 on a
            scale made for 10.
    """
    names = operators.RandAugment().available_ops
    for layer_seed in tf.unstack(tf.random.split(seed, num_layers)):
        choice_seed, operator_seed = tf.unstack(tf.random.split(layer_seed, 2))
        choice = tf.random.stateless_uniform(
            [], choice_seed, maxval=len(names), dtype=tf.int32
        )
        branches = [
            lambda name=n, image=image, seed=operator_seed: apply_operator(
                name, magnitude, image, seed, cutout=40, translate=100
            )
            for n in names
        ]
        image = tf.switch_case(choice, branches)
    return image


def mixup(
    images: tf.Tensor, labels: tf.Tensor, *, alpha: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Blends each image and label with its counterpart from the batch's other end.

    Each image has a weight w, drawn from Beta(alpha, alpha), and keeps the larger of w
    and 1 - w, as in tensorflow/tpu efficientnet imagenet_input.py (arXiv 1710.09412).

    Args:
        images: uint8 [batch, height, width, 3].
        labels: float32 [batch, classes].
        alpha: float above 0, the parameter of the Beta distribution.
        seed: integer [2].
    """
    gammas = tf.random.stateless_gamma(
        [2, tf.shape(images)[0], 1, 1, 1], seed, alpha=alpha
    )
    weight = gammas[0] / (gammas[0] + gammas[1])
    weight = tf.maximum(weight, 1 - weight)
    pixels = tf.cast(images, tf.float32)
    pixels = weight * pixels + (1 - weight) * pixels[::-1]
    weight = weight[:, 0, 0]
    return (
        tf.saturate_cast(tf.round(pixels), tf.uint8),
        weight * labels + (1 - weight) * labels[::-1],
    )


def apply_with_probability(
    name: str,
    probability: float,
    level: float,
    image: tf.Tensor,
    seed: tf.Tensor,
) -> tf.Tensor:
    """Applies an operator with a probability.

    Args:
        name: the operator's name in tf-models-official.
        probability: float from 0 to 1.
        level: float from 0 to 10, the strength.
        image: uint8 [height, width, 3].
        seed: integer [2].
    """
    coin_seed, operator_seed = tf.unstack(tf.random.split(seed, 2))
    return tf.cond(
        tf.random.stateless_uniform([], coin_seed) < probability,
        lambda: apply_operator(
            name, level, image, operator_seed, cutout=100, translate=250
        ),
        lambda: image,
    )


def apply_operator(
    name: str,
    level: float,
    image: tf.Tensor,
    seed: tf.Tensor,
    *,
    cutout: int,
    translate: int,
) -> tf.Tensor:
    """Runs one operator; the seed decides its sign or place.

    Args:
        name: the operator's name in tf-models-official.
        level: float from 0 to 10, the strength.
        image: uint8 [height, width, 3].
        seed: integer [2].
        cutout: half the side of Cutout's square at level 10, in pixels.
        translate: the shift at level 10, in pixels.
    """
    if name == "Cutout":
        return cutout_square(image, int(level / 10 * cutout), seed)
    operator = operators.NAME_TO_FUNC[name]
    if name in ("AutoContrast", "Equalize", "Invert"):
        return operator(image)
    magnitude = _magnitude(name, level, translate)
    if name not in operators.REPLACE_FUNCS:
        return operator(image, magnitude)
    negate = tf.random.stateless_uniform([], seed) < 0.5
    return operator(image, tf.where(negate, -magnitude, magnitude), _FILL)


def _magnitude(name: str, level: float, translate: float) -> float:
    """Returns an operator's argument at a level; ranges of AutoAugment table 6."""
    share = level / 10
    return {
        "Rotate": share * 30.0,  # degrees
        "ShearX": share * 0.3,
        "ShearY": share * 0.3,
        "TranslateX": share * translate,  # pixels
        "TranslateY": share * translate,
        "Posterize": int(share * 4),  # bits
        "Solarize": int(share * 256),  # threshold
        "SolarizeAdd": int(share * 110),
        "Color": share * 1.8 + 0.1,  # 1 leaves the image as it is
        "Contrast": share * 1.8 + 0.1,
        "Brightness": share * 1.8 + 0.1,
        "Sharpness": share * 1.8 + 0.1,
    }[name]


def cutout_square(image: tf.Tensor, half_side: int, seed: tf.Tensor) -> tf.Tensor:
    """Greys a square around a pixel that `seed` draws; tf-models' operator has no seed.

    Args:
        image: uint8 [height, width, 3].
        half_side: half the square's side in pixels.
        seed: integer [2].
    """
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    center = tf.random.stateless_uniform([2], seed)
    y = tf.cast(center[0] * tf.cast(height, tf.float32), tf.int32)
    x = tf.cast(center[1] * tf.cast(width, tf.float32), tf.int32)
    rows, columns = tf.range(height), tf.range(width)
    inside_rows = (rows >= y - half_side) & (rows < y + half_side)
    inside_columns = (columns >= x - half_side) & (columns < x + half_side)
    inside = (inside_rows[:, tf.newaxis] & inside_columns)[..., tf.newaxis]
    return tf.where(inside, tf.constant(_FILL, image.dtype), image)
