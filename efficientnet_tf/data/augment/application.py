"""Applies draws to images: on the host to one image, on the device to a batch.

Both compute an action only where it was drawn: the host by a condition, the device by a
loop over the images that drew it, some at a time. Actions that are tables of levels
wait for each other and change the image once.
"""

import functools
from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.augment import levels as level_tables
from efficientnet_tf.data.augment import operators
from efficientnet_tf.data.augment.plan import Kind, Plan

_Function = Callable[..., tf.Tensor]


class Placement(Protocol):
    """Where images are changed."""

    def among(
        self, drawn: tf.Tensor, change: _Function, values: tf.Tensor, *others: tf.Tensor
    ) -> tf.Tensor:
        """Changes those values that were drawn.

        Args:
            drawn: bool [images].
            change: function of values and others, for any number of images.
            values: tensor [images, ...].
            *others: tensors [images, ...], further arguments.

        Returns:
            The values, with those that were drawn changed.
        """

    def compiled(self, function: _Function) -> _Function:
        """Returns a function that computes the same, compiled where that is faster."""

    def count(self, numbers: tf.Tensor, size: int) -> tf.Tensor:
        """Counts numbers, see `levels.Count`."""


def on_host(image: tf.Tensor, draw: tf.Tensor, plan: Plan) -> tf.Tensor:
    """Applies a draw to an image.

    Args:
        image: uint8 [size, size, 3].
        draw: int32 [layers, 5] of `draws.draw`.
        plan: the run's actions.
    """
    return _apply(image[tf.newaxis], draw[tf.newaxis], plan, _OneImage())[0]


def on_device(images: tf.Tensor, drawn: tf.Tensor, plan: Plan) -> tf.Tensor:
    """Applies draws to a batch, in a training step on a GPU or TPU.

    Args:
        images: uint8 [images, size, size, 3].
        drawn: int32 [images, layers, 5], a draw for each image.
        plan: the run's actions.
    """
    return _apply(images, drawn, plan, _Batch())


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


def _apply(
    images: tf.Tensor, drawn: tf.Tensor, plan: Plan, placement: Placement
) -> tf.Tensor:
    look_up = placement.compiled(operators.look_up)
    pixels = _changes_of_pixels(plan, placement)
    tables = _changes_of_levels(plan, placement)
    unchanged = level_tables.identity(images.shape[0])
    levels, waiting = unchanged, tf.zeros([images.shape[0]], tf.bool)
    for layer, kinds in enumerate(plan.layers):
        actions, boxes = drawn[:, layer, 0], drawn[:, layer, 1:]
        kind = tf.gather(plan.kinds, actions)
        if layer and max(kinds) >= Kind.CONTRAST:
            due = waiting & (kind >= Kind.CONTRAST)
            images = placement.among(due, look_up, images, levels)
            levels = tf.where(due[:, tf.newaxis, tf.newaxis], unchanged, levels)
            waiting &= ~due
        for one in sorted(kinds & pixels.keys()):
            images = placement.among(kind == one, pixels[one], images, actions, boxes)
        for one in sorted(kinds & tables.keys()):
            levels = placement.among(kind == one, tables[one], levels, images, actions)
        waiting |= (kind > Kind.NONE) & (kind <= Kind.CONTRAST)
    if any(kinds & tables.keys() for kinds in plan.layers):
        images = placement.among(waiting, look_up, images, levels)
    return images


def _changes_of_pixels(plan: Plan, placement: Placement) -> dict[Kind, _Function]:
    """Returns functions of images, actions and boxes, by the kind of the actions.

    They are several programs: in one, XLA computes what a pixel or a channel needs
    again for each that needs it.
    """
    compiled = placement.compiled
    sources = compiled(operators.sources)
    fetch = compiled(functools.partial(operators.fetch, fill=plan.fill))
    colour, fill_box = compiled(operators.colour), compiled(operators.fill_box)
    thirteenths, smooth = compiled(operators.thirteenths), compiled(operators.smooth)
    blend = compiled(operators.blend)

    def move(images: tf.Tensor, actions: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        places = tf.gather(plan.axes, _rows(Kind.GEOMETRY, actions, plan))
        return fetch(images, sources(places))

    def sharpen(images: tf.Tensor, actions: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        factors = _factors(Kind.SHARPNESS, actions, plan)
        return blend(smooth(images, thirteenths(images)), images, factors)

    return {
        Kind.GEOMETRY: move,
        Kind.COLOR: lambda images, actions, _: colour(
            images, _factors(Kind.COLOR, actions, plan)
        ),
        Kind.SHARPNESS: sharpen,
        Kind.BOX: lambda images, actions, boxes: fill_box(
            images, tf.gather(plan.colours, _rows(Kind.BOX, actions, plan)), boxes
        ),
    }


def _changes_of_levels(plan: Plan, placement: Placement) -> dict[Kind, _Function]:
    """Returns functions of tables, images and actions, by the kind of the actions."""
    count = placement.count

    def known(levels: tf.Tensor, _: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        then = tf.gather(plan.points, _rows(Kind.POINT, actions, plan))
        return level_tables.compose(levels, tf.tile(then[:, tf.newaxis], [1, 3, 1]))

    def contrast(_: tf.Tensor, images: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
        return level_tables.contrast(images, _factors(Kind.CONTRAST, actions, plan))

    return {
        Kind.POINT: known,
        Kind.EQUALIZE: lambda levels, images, _: level_tables.equalize(
            levels, images, count
        ),
        Kind.AUTOCONTRAST: lambda levels, images, _: level_tables.autocontrast(
            levels, images, count
        ),
        Kind.CONTRAST: contrast,
    }


def _rows(kind: Kind, actions: tf.Tensor, plan: Plan) -> tf.Tensor:
    """Returns the actions' rows in the table of a kind; 0 for actions of others."""
    rows = np.where(plan.kinds == kind, plan.rows, 0)
    return tf.gather(rows, actions)


def _factors(kind: Kind, actions: tf.Tensor, plan: Plan) -> operators.Factors:
    rows = _rows(kind, actions, plan)
    return tuple(tf.gather(part, rows) for part in plan.factors)


class _OneImage:
    """One image on the host, whose operators XLA compiles if it can."""

    def among(
        self, drawn: tf.Tensor, change: _Function, values: tf.Tensor, *others: tf.Tensor
    ) -> tf.Tensor:
        return tf.cond(drawn[0], lambda: change(values, *others), lambda: values)

    def compiled(self, function: _Function) -> _Function:
        return _compiled(function)

    def count(self, numbers: tf.Tensor, size: int) -> tf.Tensor:
        # A fifth of the time of a segment sum on a CPU; a TPU does not have it.
        return tf.raw_ops.DenseBincount(
            input=numbers, size=size, weights=tf.constant([], tf.int32)
        )


class _Batch:
    """A batch on the device; the whole step is compiled, or its operators are fast."""

    def among(
        self, drawn: tf.Tensor, change: _Function, values: tf.Tensor, *others: tf.Tensor
    ) -> tf.Tensor:
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

    def compiled(self, function: _Function) -> _Function:
        return function

    def count(self, numbers: tf.Tensor, size: int) -> tf.Tensor:
        return tf.math.unsorted_segment_sum(tf.ones_like(numbers), numbers, size)


def _compiled(function: _Function) -> _Function:
    if not _has_xla():
        return function
    return tf.function(function, jit_compile=True, autograph=False)


@functools.cache
def _has_xla() -> bool:
    """Whether XLA compiles for this machine's CPU; TensorFlow's TPU build has no XLA.

    Without it an operator takes up to four times as long, and returns the same.
    """
    try:
        with tf.init_scope(), tf.device("CPU:0"):
            tf.function(lambda x: x + 1, jit_compile=True)(tf.constant(1))
    except tf.errors.NotFoundError:
        return False
    return True
