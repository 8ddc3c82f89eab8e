"""The functions that a module needs to read and write one format of weights files."""

from typing import Protocol

import keras

from efficientnet_tf.weights import model_layout
from efficientnet_tf.weights.weights_file import WeightsFile


class Format(Protocol):
    """Interface of `keras_files`, `torch_files` and `tf1`; `reading` tries each."""

    def recognises(self, path: str) -> bool:
        """Whether a path is a file of this format."""

    def open_file(self, path: str, *, ema: bool) -> WeightsFile:
        """Reads a whole file.

        Args:
            path: path of a file that `recognises` accepts.
            ema: True takes moving averages, False raw weights, if the format has both.

        Returns:
            The tensors by the project's names, with the functions `names` (from this
            package's paths to the project's names) and `decode` (from the project's
            axes to this package's).

        Raises:
            ValueError: naming a file that is damaged or has unknown names.
        """

    def write_file(
        self, path: str, model: keras.Model, layout: model_layout.Layout
    ) -> None:
        """Writes a model's weights.

        Args:
            path: path of the file to write.
            model: the model whose weights to write.
            layout: the model's tensors.
        """
