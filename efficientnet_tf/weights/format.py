"""What a kind of weights file needs, to be read: a module with these functions."""

from typing import Protocol

import keras

from efficientnet_tf.weights import model_layout
from efficientnet_tf.weights.weights_file import WeightsFile


class Format(Protocol):
    """`keras_files`, `torch_files` and `tf1`; `reading` tries one after the other."""

    def recognises(self, path: str) -> bool:
        """Whether a path is a file of this kind."""

    def open_file(self, path: str, *, ema: bool) -> WeightsFile:
        """Reads a file whole.

        Args:
            path: path of a file that `recognises` knows.
            ema: whether to take moving averages where the kind has both.

        Returns:
            The tensors by the project's names, with the functions `names` (this
            package's paths to the project's names) and `decode` (the project's axes to
            this package's).

        Raises:
            ValueError: naming a file that is damaged, or whose names nobody knows.
        """

    def write_file(
        self, path: str, model: keras.Model, layout: model_layout.Layout
    ) -> None:
        """Writes a model's weights.

        Args:
            path: path of the file to write.
            model: the model whose weights they are.
            layout: the model's tensors.
        """
