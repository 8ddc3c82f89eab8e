"""Data sets: sources of images, their splits, and the pipelines that read them.

`from_arrays` makes one of images in memory; it loads on first use.
"""

from typing import Any

__all__ = ["from_arrays"]


def __getattr__(name: str) -> Any:
    if name != "from_arrays":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from efficientnet_tf.data import arrays

    return arrays.from_arrays
