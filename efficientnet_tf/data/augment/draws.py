"""Draws the actions of an image, with stateless random numbers, on the host.

A draw is int32 [layers, 5]: in each row the number of an action of the plan, and the
box [top, left, bottom, right] of Cutout or random erasing, in pixels; the last two are
not covered. The same seed gives the same draw wherever the image is changed.
"""

import math

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.augment.plan import Kind, Plan

# Random erasing's areas, aspect ratios and attempts: arXiv 1708.04896 and timm.
_AREAS = (0.02, 1 / 3)
_LEAST_ASPECT = 0.3
_ATTEMPTS = 10


def draw(seed: tf.Tensor, plan: Plan) -> tf.Tensor:
    """Draws what happens to an image.

    Args:
        seed: integer [2].
        plan: the run's actions.

    Returns:
        int32 [layers, 5], see above.
    """
    rows = _policy_rows(seed, plan)
    # Seeds of their own, so that they change no draw of a policy.
    if plan.cutout:
        box = _square(plan.half_sides[plan.cutout], _fold(seed, 1), plan.size)
        rows.append((tf.constant(plan.cutout), box))
    if plan.erasing:
        rows.append(_erasing(_fold(seed, 2), plan))
    return tf.stack([tf.concat([[action], box], 0) for action, box in rows])


def _policy_rows(seed: tf.Tensor, plan: Plan) -> list[tuple[tf.Tensor, tf.Tensor]]:
    name = plan.chosen.augment
    if name == "randaugment":
        layers = plan.chosen.randaugment_num_layers
        seeds = tf.unstack(tf.random.split(seed, layers))
        return [_randaugment(layer_seed, plan) for layer_seed in seeds]
    if name == "trivialaugment":
        return [_trivialaugment(seed, plan)]
    return [] if name == "none" else _autoaugment(seed, plan)


def _autoaugment(seed: tf.Tensor, plan: Plan) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """Draws one of the 25 sub-policies, and which of its operators happen."""
    choice_seed, *step_seeds = tf.unstack(tf.random.split(seed, 3))
    choice = _index(choice_seed, len(plan.choices))
    rows = []
    for layer, step_seed in enumerate(step_seeds):
        coin_seed, operator_seed = tf.unstack(tf.random.split(step_seed, 2))
        action, box = _signed(
            tf.gather(plan.choices[:, layer], choice), operator_seed, plan
        )
        probability = tf.gather(plan.probabilities[:, layer], choice)
        happens = tf.random.stateless_uniform([], coin_seed) < probability
        rows.append((tf.where(happens, action, 0), box))
    return rows


def _randaugment(seed: tf.Tensor, plan: Plan) -> tuple[tf.Tensor, tf.Tensor]:
    choice_seed, operator_seed = tf.unstack(tf.random.split(seed, 2))
    choice = _index(choice_seed, len(plan.choices))
    return _signed(tf.gather(plan.choices[:, 0], choice), operator_seed, plan)


def _trivialaugment(seed: tf.Tensor, plan: Plan) -> tuple[tf.Tensor, tf.Tensor]:
    choice_seed, level_seed, sign_seed = tf.unstack(tf.random.split(seed, 3))
    operators, levels = plan.choices.shape[:2]
    choice = _index(choice_seed, operators) * levels + _index(level_seed, levels)
    return _signed(tf.gather(plan.choices.reshape(-1, 2), choice), sign_seed, plan)


def _signed(
    actions: tf.Tensor, seed: tf.Tensor, plan: Plan
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws an action's sign or place.

    Args:
        actions: int32 [2], the action with its sign positive and negative.
        seed: integer [2].
        plan: the run's actions.
    """
    negative = tf.random.stateless_uniform([], seed) < 0.5
    action = tf.where(negative, actions[1], actions[0])
    if not any(Kind.BOX in kinds for kinds in plan.layers):
        return action, tf.zeros([4], tf.int32)
    return action, _square(tf.gather(plan.half_sides, action), seed, plan.size)


def _square(half_side: tf.Tensor, seed: tf.Tensor, size: int) -> tf.Tensor:
    """Draws a square around a pixel, and returns the part inside, int32 [4]."""
    centre = tf.cast(tf.random.stateless_uniform([2], seed) * size, tf.int32)
    corners = tf.concat([centre - half_side, centre + half_side], 0)
    return tf.clip_by_value(corners, 0, size)


def _erasing(seed: tf.Tensor, plan: Plan) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws a box of random area and aspect ratio: the first attempt that fits."""
    size = plan.size
    coin_seed, shape_seed, place_seed = tf.unstack(tf.random.split(seed, 3))
    happens = tf.random.stateless_uniform([], coin_seed) < plan.chosen.random_erasing
    areas = tf.random.stateless_uniform([_ATTEMPTS, 2], shape_seed)
    area = size * size * (_AREAS[0] + areas[:, 0] * (_AREAS[1] - _AREAS[0]))
    aspect = tf.exp((2 * areas[:, 1] - 1) * math.log(1 / _LEAST_ASPECT))
    shapes = tf.stack([tf.sqrt(area * aspect), tf.sqrt(area / aspect)], 1)
    shapes = tf.cast(tf.round(shapes), tf.int32)
    fits = tf.reduce_all(shapes < size, 1)
    shape = tf.gather(shapes, tf.argmax(fits))
    places = tf.cast(size - shape + 1, tf.float32)
    corner = tf.cast(tf.random.stateless_uniform([2], place_seed) * places, tf.int32)
    happens &= tf.reduce_any(fits)
    return tf.where(happens, plan.erasing, 0), tf.concat([corner, corner + shape], 0)


def _index(seed: tf.Tensor, count: int) -> tf.Tensor:
    return tf.random.stateless_uniform([], seed, maxval=count, dtype=tf.int32)


def _fold(seed: tf.Tensor, number: int) -> tf.Tensor:
    return tf.random.fold_in(seed, np.int64(number))
