"""MixUp and CutMix: each image is mixed with its counterpart from the batch's end.

Sources: imagenet_input.py of tensorflow/tpu models/official/efficientnet for MixUp
(arXiv 1710.09412); CutMix (arXiv 1905.04899). If both are chosen, each batch gets one
of them with equal probability, as in timm's mixup.py.
"""

import tensorflow as tf

from efficientnet_tf.data.augment import operators
from efficientnet_tf.data.settings import Augmentation

# Weights are whole multiples of this. Float32 then holds products and sums of a blend
# exactly, and no compiler's fused operation can change a pixel.
_WEIGHT_STEP = 2.0**-16
Drawn = dict[str, tf.Tensor]


def is_chosen(chosen: Augmentation) -> bool:
    """Whether a run mixes images."""
    return chosen.mixup_alpha > 0 or chosen.cutmix_alpha > 0


def draw(seed: tf.Tensor, count: int, size: int, chosen: Augmentation) -> Drawn:
    """Draws how the images of a batch are mixed.

    Args:
        seed: integer [2].
        count: int, images in the batch.
        size: int, height and width of the images in pixels.
        chosen: the run's augmentation, with an alpha above 0.

    Returns:
        "weight" float32 [count]: the share of an image in its pixels, the rest is its
        counterpart's; "box" int32 [count, 4]: top, left, bottom and right of the box
        that shows the counterpart; "label_weight" float32 [count]: the share of an
        image's label.
    """
    no_box, ones = tf.zeros([count, 4], tf.int32), tf.ones([count])

    def mixup() -> Drawn:
        weight = _mixup_weights(seed, count, chosen.mixup_alpha)
        return {"weight": weight, "box": no_box, "label_weight": weight}

    def cutmix() -> Drawn:
        box = _boxes(tf.random.fold_in(seed, 1), count, size, chosen.cutmix_alpha)
        top, left, bottom, right = tf.unstack(tf.cast(box, tf.float32), axis=1)
        area = (bottom - top) * (right - left) / (size * size)
        return {"weight": ones, "box": box, "label_weight": 1 - area}

    if chosen.cutmix_alpha == 0:
        return mixup()
    if chosen.mixup_alpha == 0:
        return cutmix()
    coin = tf.random.stateless_uniform([], tf.random.fold_in(seed, 2))
    return tf.cond(coin < 0.5, cutmix, mixup)


def _mixup_weights(seed: tf.Tensor, count: int, alpha: float) -> tf.Tensor:
    """Draws the larger of w and 1 - w, where w is from Beta(alpha, alpha)."""
    gammas = tf.random.stateless_gamma([2, count, 1, 1, 1], seed, alpha=alpha)
    weight = tf.reshape(gammas[0] / (gammas[0] + gammas[1]), [count])
    weight = tf.maximum(weight, 1 - weight)
    return tf.round(weight / _WEIGHT_STEP) * _WEIGHT_STEP


def _boxes(seed: tf.Tensor, count: int, size: int, alpha: float) -> tf.Tensor:
    """Draws boxes of Beta(alpha, alpha) of the area, around any pixel, int32 [., 4]."""
    area_seed, place_seed = tf.unstack(tf.random.split(seed, 2))
    gammas = tf.random.stateless_gamma([2, count], area_seed, alpha=alpha)
    area = gammas[1] / (gammas[0] + gammas[1])
    half_side = tf.cast(tf.sqrt(area) * size, tf.int32)[:, tf.newaxis] // 2
    centre = tf.random.stateless_uniform(
        [count, 2], place_seed, maxval=size, dtype=tf.int32
    )
    corners = tf.concat([centre - half_side, centre + half_side], 1)
    return tf.clip_by_value(corners, 0, size)


def mix_labels(labels: tf.Tensor, drawn: Drawn) -> tf.Tensor:
    """Mixes the labels of a batch.

    Args:
        labels: float32 [images, classes].
        drawn: what `draw` returned.
    """
    weight = drawn["label_weight"][:, tf.newaxis]
    return weight * labels + (1 - weight) * labels[::-1]


def mix_images(images: tf.Tensor, drawn: Drawn, chosen: Augmentation) -> tf.Tensor:
    """Mixes the images of a batch.

    Args:
        images: uint8 [images, size, size, 3].
        drawn: what `draw` returned, of which "weight" and "box" are used.
        chosen: the run's augmentation.
    """
    others = images[::-1]
    mixed = images
    if chosen.mixup_alpha > 0:
        weight = drawn["weight"][:, tf.newaxis, tf.newaxis, tf.newaxis]
        pixels = weight * tf.cast(images, tf.float32)
        pixels += (1 - weight) * tf.cast(others, tf.float32)
        mixed = tf.cast(tf.round(pixels), tf.uint8)
    if chosen.cutmix_alpha > 0:
        inside = operators.inside_boxes(drawn["box"], images.shape[1])
        mixed = tf.where(inside[..., tf.newaxis], others, mixed)
    return mixed
