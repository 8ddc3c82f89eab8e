"""Applies draws to images: on the host to one image, on the device to a batch.

Both compute an action only where it was drawn: the host by a branch, the device by a
loop over the images that drew it, some at a time. Actions that are tables of levels
wait for each other and change the image once.
"""

from collections.abc import Callable

import tensorflow as tf

from efficientnet_tf.data.augment import levels as level_tables
from efficientnet_tf.data.augment.changes import Changes, Function, compiled
from efficientnet_tf.data.augment.plan import Kind, Plan

_State = tuple[tf.Tensor, tf.Tensor, tf.Tensor]  # images, tables, whether they wait


def on_host(image: tf.Tensor, draw: tf.Tensor, plan: Plan) -> tf.Tensor:
    """Applies a draw to an image.

    Args:
        image: uint8 [size, size, 3].
        draw: int32 [layers, 5] of `draws.draw`.
        plan: the run's actions.
    """
    changes = Changes(plan, compiled, _bincount)
    state = (image[tf.newaxis], level_tables.identity(1), tf.constant(False))
    for layer, kinds in enumerate(plan.layers):
        state = _layer(state, draw[layer : layer + 1], kinds, changes)
    images, levels, waits = state
    return _looked_up(images, levels, waits, changes)[0]


def _layer(
    state: _State, draw: tf.Tensor, kinds: frozenset[Kind], changes: Changes
) -> _State:
    """Applies one action, by a branch of its kind.

    Args:
        state: one image, its tables and whether they still have to change it.
        draw: int32 [1, 5].
        kinds: the kinds that the action can be of.
        changes: what the kinds do.
    """
    images, levels, waits = state
    actions, boxes = draw[:, 0], draw[:, 1:]

    def change_levels(kind: Kind) -> _State:
        changed = changes.of_levels[kind](levels, images, actions)
        return images, changed, tf.constant(True)

    def change_pixels(kind: Kind) -> _State:
        pixels = _looked_up(images, levels, waits, changes)
        if kind == Kind.CONTRAST:
            table = changes.of_levels[kind](levels, pixels, actions)
            return pixels, table, tf.constant(True)
        pixels = changes.of_pixels[kind](pixels, actions, boxes)
        return pixels, level_tables.identity(1), tf.constant(False)

    def branch(kind: Kind) -> Callable[[], _State]:
        if kind == Kind.NONE:
            return lambda: (images, levels, waits)
        change = change_levels if kind < Kind.CONTRAST else change_pixels
        return lambda: change(kind)

    listed = sorted({Kind.NONE, *kinds})
    numbers = [listed.index(k) if k in listed else 0 for k in changes.plan.kinds]
    number = tf.gather(tf.constant(numbers), actions[0])
    return tf.switch_case(number, [branch(kind) for kind in listed])


def _looked_up(
    images: tf.Tensor, levels: tf.Tensor, waits: tf.Tensor, changes: Changes
) -> tf.Tensor:
    return tf.cond(waits, lambda: changes.look_up(images, levels), lambda: images)


def on_cpu(images: tf.Tensor, drawn: tf.Tensor, plan: Plan) -> tf.Tensor:
    """Applies draws to a batch, in a training step on a CPU: image by image.

    Args:
        images: uint8 [images, size, size, 3].
        drawn: int32 [images, layers, 5], a draw for each image.
        plan: the run's actions.
    """
    return tf.map_fn(
        lambda one: on_host(one[0], one[1], plan),
        (images, drawn),
        fn_output_signature=tf.TensorSpec(images.shape[1:], tf.uint8),
    )


def on_device(images: tf.Tensor, drawn: tf.Tensor, plan: Plan) -> tf.Tensor:
    """Applies draws to a batch, in a training step on a GPU or TPU.

    Args:
        images: uint8 [images, size, size, 3].
        drawn: int32 [images, layers, 5], a draw for each image.
        plan: the run's actions.
    """
    changes = Changes(plan, lambda function: function, _segment_sum)
    unchanged = level_tables.identity(images.shape[0])
    levels, waiting = unchanged, tf.zeros([images.shape[0]], tf.bool)
    for layer, kinds in enumerate(plan.layers):
        actions, boxes = drawn[:, layer, 0], drawn[:, layer, 1:]
        kind = tf.gather(plan.kinds, actions)
        due = waiting & (kind >= Kind.CONTRAST)
        images = _among(due, changes.look_up, images, levels)
        levels = tf.where(due[:, tf.newaxis, tf.newaxis], unchanged, levels)
        for one in sorted(kinds & changes.of_pixels.keys()):
            change = changes.of_pixels[one]
            images = _among(kind == one, change, images, actions, boxes)
        for one in sorted(kinds & changes.of_levels.keys()):
            change = changes.of_levels[one]
            levels = _among(kind == one, change, levels, images, actions)
        waiting = (waiting & ~due) | ((kind > Kind.NONE) & (kind <= Kind.CONTRAST))
    return _among(waiting, changes.look_up, images, levels)


def _among(
    drawn: tf.Tensor, change: Function, values: tf.Tensor, *others: tf.Tensor
) -> tf.Tensor:
    """Changes those values that were drawn, at most 8 at a time.

    Args:
        drawn: bool [images].
        change: function of values and others, for any number of images.
        values: tensor [images, ...].
        *others: tensors [images, ...], further arguments.
    """
    count = values.shape[0]
    some = next(n for n in range(min(8, count), 0, -1) if count % n == 0)
    order = tf.argsort(tf.cast(~drawn, tf.int32), stable=True)

    def step(start: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        numbers = tf.slice(order, [start], [some])
        taken = [tf.gather(value, numbers) for value in (values, *others)]
        mask = tf.gather(drawn, numbers)
        mask = tf.reshape(mask, [some] + [1] * (values.shape.rank - 1))
        changed = tf.where(mask, change(*taken), taken[0])
        place = numbers[:, tf.newaxis]
        return start + some, tf.tensor_scatter_nd_update(values, place, changed)

    total = tf.reduce_sum(tf.cast(drawn, tf.int32))
    _, values = tf.while_loop(
        lambda start, _: start < total, step, [tf.constant(0), values]
    )
    return values


def _bincount(numbers: tf.Tensor, size: int) -> tf.Tensor:
    """Counts numbers on a CPU, in a fifth of the time of a segment sum."""
    weights = tf.constant([], tf.int32)
    return tf.raw_ops.DenseBincount(input=numbers, size=size, weights=weights)


def _segment_sum(numbers: tf.Tensor, size: int) -> tf.Tensor:
    """Counts numbers on any device; a TPU has no bincount."""
    return tf.math.unsorted_segment_sum(tf.ones_like(numbers), numbers, size)
