"""Keeps rare branches out of TensorFlow's graphs."""

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

T = TypeVar("T")


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
    kept = {"_noinline": True}
    return tf.function(branch, autograph=False, experimental_attributes=kept)


def of_bytes(function: Callable[[tf.Tensor], T]) -> Callable[[tf.Tensor], T]:
    """Makes a function of a string scalar one operation, traced once in a process.

    Otherwise each pipeline would trace some hundred operations, which takes a second.

    Args:
        function: maps encoded bytes to tensors.
    """
    return tf.function(
        function,
        input_signature=[tf.TensorSpec([], tf.string)],
        autograph=False,
        experimental_attributes={"_noinline": True},
    )
