"""Turns records into examples where some records cannot be turned into any.

An operation of TensorFlow that fails ends the whole input pipeline. Only
`Dataset.ignore_errors` goes on, and leaves the element out. So a few records at a time
get a small pipeline of their own, whose result says which of them are missing. The
pipeline of 16 records costs 0.02 ms a record (AMD EPYC), that of one record 0.2 ms.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from efficientnet_tf.data import graphs

_TOGETHER = 16  # records

Example = Any  # tensors, nested in tuples and dicts
Note = Callable[[bytes, int, bytes], None]  # path, number in the file, record


def examples(
    records: tf.data.Dataset,
    make: Callable[[Example, tf.Tensor], Example],
    note: Note,
) -> tf.data.Dataset:
    """Makes an example of each record, or says that there is none.

    Args:
        records: pairs (number, (path, number in the file, record)). The number may be
            anything that `make` needs.
        make: function of the number and the record, which may fail.
        note: called for each record of which no example can be made. An error that it
            raises ends the pipeline.

    Returns:
        A dataset of triples (number, whether there is an example, example), in the
        order of the records. What stands in place of a missing one means nothing.
    """

    @tf.autograph.experimental.do_not_convert
    def try_some(numbers: Example, placed: tuple[tf.Tensor, ...]) -> tf.data.Dataset:
        count = tf.size(placed[-1], tf.int64)
        made = _made(count, (numbers, placed[-1]), lambda pair: make(*pair))

        def spread(slots: tf.Tensor, found: Example) -> tuple[tf.Tensor, ...]:
            there = _there(slots, count)
            noted = _note_missing(placed, there, note)
            with tf.control_dependencies([noted]):
                return numbers, tf.identity(there), _spread(found, there)

        return made.map(spread).unbatch()

    return records.batch(_TOGETHER).interleave(
        try_some,
        block_length=_TOGETHER,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def try_each(
    elements: tf.Tensor, make: Callable[[tf.Tensor], Example]
) -> tuple[tf.Tensor, Example]:
    """Makes an example of each element of a batch, in a graph that may be served.

    Args:
        elements: a tensor [batch], which may be empty.
        make: function of one element, which may fail.

    Returns:
        Whether there is an example, bool [batch], and the examples, tensors
        [batch, ...]; zeros stand in place of a missing one.
    """
    count = tf.size(elements, tf.int64)
    made = _made(count, elements, make, parallel=tf.data.AUTOTUNE)
    slots, found = graphs.untuned(made).get_single_element()
    there = _there(slots, count)
    return there, _spread(found, there)


def _made(
    count: tf.Tensor,
    elements: Example,
    make: Callable[[Example], Example],
    *,
    parallel: int | None = None,
) -> tf.data.Dataset:
    """Makes examples of elements, and leaves out those of which none can be made.

    Args:
        count: int64 scalar, the number of elements.
        elements: tensors with an axis of elements, nested in tuples and dicts.
        make: function of one element, which may fail.
        parallel: int, calls of `make` at a time; None makes one after the other.

    Returns:
        A dataset of one batch: the numbers of the elements whose examples were made,
        and the examples.
    """
    made = tf.data.Dataset.from_tensor_slices((tf.range(count), elements)).map(
        lambda slot, element: (slot, make(element)), num_parallel_calls=parallel
    )
    none = tf.nest.map_structure(_none, made.element_spec)
    made = made.ignore_errors(log_warning=False).batch(tf.maximum(count, 1))
    return made.concatenate(tf.data.Dataset.from_tensors(none)).take(1)


def _there(slots: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Returns bool [count], true at the numbers in `slots`."""
    return tf.scatter_nd(slots[:, tf.newaxis], tf.ones_like(slots), [count]) > 0


def replace_missing(there: tf.Tensor, batch: Example) -> Example:
    """Puts a copy of a neighbour in the place of each example that is missing.

    Args:
        there: bool [batch], whether there is an example; one at least is true.
        batch: a batch of examples, tensors nested in tuples and dicts.

    Returns:
        The batch, in which the last example before, or else the first one, is in the
        place of a missing one.
    """
    present = tf.where(there)[:, 0]
    nearest = tf.gather(present, tf.maximum(_ranks(there) - 1, 0))
    return _changed(
        batch,
        lambda tensor: tf.gather(tensor, nearest),
        is_whole=tf.reduce_all(there),
    )


def _none(spec: tf.TensorSpec) -> tf.Tensor:
    return tf.zeros([0, *spec.shape], spec.dtype)


def _ranks(there: tf.Tensor) -> tf.Tensor:
    """Counts the examples up to each place."""
    return tf.cumsum(tf.cast(there, tf.int32))


def _spread(found: Example, there: tf.Tensor) -> Example:
    """Gives each example the place of its record; zeros take the other places."""
    ranks = _ranks(there) * tf.cast(there, tf.int32)

    def spread(tensor: tf.Tensor) -> tf.Tensor:
        blank = tf.zeros([1, *tensor.shape[1:]], tensor.dtype)
        return tf.gather(tf.concat([blank, tensor], 0), ranks)

    return _changed(found, spread, is_whole=tf.reduce_all(there))


def _changed(
    batch: Example, change: Callable[[tf.Tensor], tf.Tensor], *, is_whole: tf.Tensor
) -> Example:
    """Changes each tensor of a batch; a whole batch is not even copied."""
    return tf.nest.map_structure(
        lambda tensor: tf.ensure_shape(
            tf.cond(is_whole, lambda: tensor, lambda: change(tensor)), tensor.shape
        ),
        batch,
    )


def _note_missing(
    placed: tuple[tf.Tensor, ...], there: tf.Tensor, note: Note
) -> tf.Tensor:
    def call(*columns: Any) -> bool:
        for row in zip(*columns, strict=True):
            note(*row)
        return True

    missing = [tf.boolean_mask(column, ~there) for column in placed]
    return tf.cond(
        tf.reduce_all(there),
        lambda: tf.constant(True),
        lambda: graphs.call_python(call, missing, tf.bool),
    )
