"""Keeps rare branches out of TensorFlow's graphs, and calls Python from them.

It also turns off TensorFlow's tuning of pipelines.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tensorflow as tf

T = TypeVar("T")
BYTES = tf.TensorSpec([], tf.string)
_ONE_OPERATION = {"_noinline": True}


def apart(branch: Callable[[], T]) -> Callable[[], T]:
    """Makes a rare branch of a `tf.cond` one operation where it is not taken.

    TensorFlow merges the branches of a condition into the graph around it, and then
    visits every operation of the branch that is not taken: some hundred operations took
    as long as a tenth of decoding a photo.

    Args:
        branch: returns tensors; may use tensors from outside.
    """
    if tf.executing_eagerly():
        return branch
    return tf.function(branch, autograph=False, experimental_attributes=_ONE_OPERATION)


def traced_once(
    function: Callable[..., T],
    inputs: Sequence[tf.TensorSpec],
    *,
    attributes: dict[str, bool] | None = None,
) -> Callable[..., T]:
    """Makes a function that is traced once in a process.

    Otherwise each pipeline would trace some hundred operations, which takes a second.
    Outside of graphs the function runs as it is, see `call_python`.

    Args:
        function: maps tensors to tensors.
        inputs: shapes and dtypes of its arguments.
        attributes: of TensorFlow's function.
    """
    traced = tf.function(
        function,
        input_signature=inputs,
        autograph=False,
        experimental_attributes=attributes,
    )

    @functools.wraps(function)
    def call(*tensors: tf.Tensor) -> T:
        return function(*tensors) if tf.executing_eagerly() else traced(*tensors)

    return call


def of_bytes(function: Callable[[tf.Tensor], T]) -> Callable[[tf.Tensor], T]:
    """Makes a rare function of encoded bytes one operation, traced once in a process.

    Args:
        function: maps a string scalar to tensors.
    """
    return traced_once(function, [BYTES], attributes=_ONE_OPERATION)


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a data set without TensorFlow's tuning, whose iterators end at once.

    A parallel call then has a thread for each core, with which decoding was as fast.
    The thread that tunes sleeps for up to a minute. TensorFlow 2.20 wakes it when its
    iterator is deleted, at times before it sets the flag that the thread looks at: the
    thread then sleeps on, and the deletion waits for it. A fine-tuning of ten minutes
    waited for one.

    Args:
        dataset: the data set.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def call_python(
    function: Callable[..., Any],
    inputs: Sequence[tf.Tensor],
    dtypes: tf.DType | Sequence[tf.DType],
) -> Any:
    """Makes a call of a Python function an operation of the graph.

    The call holds a thread of TensorFlow's pool, which has one for each core. So the
    function must not wait for that pool: where all threads make such calls, nobody
    would ever answer. It may run single operations and read data sets that have no
    functions; it must not run a `tf.function`, `Dataset.map` or `Dataset.reduce`.

    Args:
        function: takes NumPy values and bytes, returns what NumPy can hold.
        inputs: the tensors to call it with.
        dtypes: of each result.
    """
    return tf.numpy_function(function, inputs, dtypes)
