"""What each kind of action does to images, or to the tables that will change them."""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from efficientnet_tf.data.augment import levels as level_tables
from efficientnet_tf.data.augment import operators
from efficientnet_tf.data.augment.plan import Kind, Plan

Function = Callable[..., tf.Tensor]


class Changes:
    """Functions of any number of images, by the kind of the actions.

    Args:
        plan: the run's actions.
        compile: function from an operator to one that computes the same; the identity,
            or `compiled`.
        count: function that counts numbers.

    Attributes:
        look_up: function of images and tables.
        of_pixels: functions of images, actions and boxes, that return images.
        of_levels: functions of tables, images and actions, that return tables.
    """

    def __init__(
        self,
        plan: Plan,
        compile: Callable[[Function], Function],
        count: level_tables.Count,
    ):
        self.plan = plan
        self.look_up = compile(operators.look_up)
        self.of_pixels = self._of_pixels(compile)
        self.of_levels = self._of_levels(count)

    def _of_pixels(
        self, compile: Callable[[Function], Function]
    ) -> dict[Kind, Function]:
        # Several programs: in one, XLA computes what a pixel or a channel needs again
        # for each that needs it.
        sources = compile(operators.sources)
        fetch = compile(functools.partial(operators.fetch, fill=self.plan.fill))
        colour, fill_box = compile(operators.colour), compile(operators.fill_box)
        thirteenths, smooth = compile(operators.thirteenths), compile(operators.smooth)
        blend = compile(operators.blend)

        def move(images: tf.Tensor, actions: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
            places = tf.gather(self.plan.axes, self._rows(Kind.GEOMETRY, actions))
            return fetch(images, sources(places))

        def sharpen(images: tf.Tensor, actions: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
            factors = self._factors(Kind.SHARPNESS, actions)
            rows = tf.reshape(images, [*images.shape[:2], -1])
            changed = blend(smooth(rows, *thirteenths(rows)), rows, factors)
            return tf.reshape(changed, images.shape)

        return {
            Kind.GEOMETRY: move,
            Kind.COLOR: lambda images, actions, _: colour(
                images, self._factors(Kind.COLOR, actions)
            ),
            Kind.SHARPNESS: sharpen,
            Kind.BOX: lambda images, actions, boxes: fill_box(
                images,
                tf.gather(self.plan.colours, self._rows(Kind.BOX, actions)),
                boxes,
            ),
        }

    def _of_levels(self, count: level_tables.Count) -> dict[Kind, Function]:
        def known(levels: tf.Tensor, _: tf.Tensor, actions: tf.Tensor) -> tf.Tensor:
            then = tf.gather(self.plan.points, self._rows(Kind.POINT, actions))
            return level_tables.compose(levels, tf.tile(then[:, tf.newaxis], [1, 3, 1]))

        return {
            Kind.POINT: known,
            Kind.EQUALIZE: lambda levels, images, _: level_tables.equalize(
                levels, images, count
            ),
            Kind.AUTOCONTRAST: lambda levels, images, _: level_tables.autocontrast(
                levels, images, count
            ),
            Kind.CONTRAST: lambda _, images, actions: level_tables.contrast(
                images, self._factors(Kind.CONTRAST, actions)
            ),
        }

    def _rows(self, kind: Kind, actions: tf.Tensor) -> tf.Tensor:
        """Returns the actions' rows in the table of a kind; 0 for actions of others."""
        rows = np.where(self.plan.kinds == kind, self.plan.rows, 0)
        return tf.gather(rows, actions)

    def _factors(self, kind: Kind, actions: tf.Tensor) -> operators.Factors:
        rows = self._rows(kind, actions)
        return tuple(tf.gather(part, rows) for part in self.plan.factors)


def compiled(function: Function) -> Function:
    """Returns a function that XLA compiles for this machine's CPU, if it can.

    TensorFlow's TPU build has no XLA for the CPU. Without it an operator takes up to
    four times as long, and returns the same.
    """
    if not has_xla():
        return function
    return tf.function(function, jit_compile=True, autograph=False)


@functools.cache
def has_xla() -> bool:
    """Whether XLA compiles for this machine's CPU."""
    try:
        with tf.init_scope(), tf.device("CPU:0"):
            tf.function(lambda x: x + 1, jit_compile=True)(tf.constant(1))
    except tf.errors.NotFoundError:
        return False
    return True
