"""A model that is ready to serve: its weights, its images, its classes."""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf import files, label_sets
from efficientnet_tf.config import Config
from efficientnet_tf.data import decoding
from efficientnet_tf.data.preparation import Preparation
from efficientnet_tf.inference import batch_sizes
from efficientnet_tf.runs import inspection, run_model
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.weights import passport as passports
from efficientnet_tf.weights import weights_file


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A model with the preparation of its images and the numbering of its classes.

    Args:
        model: maps uint8 or float32 pixels [batch, image_size, image_size, 3] in
            [0, 255] to logits [batch, classes].
        preparation: turns an encoded image into such pixels.
        label_offset: int, outputs of the model before the first label.
    """

    model: keras.Model
    preparation: Preparation
    label_offset: int = 0

    @classmethod
    def of_run(cls, model_dir: str, *, chosen: dict[str, Any] | None = None) -> Self:
        """Opens the weights that a run serves: its best ones, else its latest.

        Args:
            model_dir: the run's folder, local or gs:// URL.
            chosen: fields of Config; those that may not change must be the run's.

        Raises:
            ValueError: if the folder holds no run, or a choice contradicts it.
        """
        run = RunDir(model_dir)
        config = run.read_config(chosen)
        return cls.of(run_model.of_run(run, config), config)

    @classmethod
    def of_weights(
        cls,
        source: str,
        model: str | None = None,
        *,
        ema: bool = True,
        chosen: dict[str, Any] | None = None,
    ) -> Self:
        """Opens weights from outside, as they are, with a classifier.

        Args:
            source: a file, a TF1 checkpoint or a release, see `load_weights`.
            model: the network's name; None goes by what the file says of itself.
            ema: True takes moving averages, False raw weights, if the file has both.
            chosen: fields of Config that say how images are prepared, in place of what
                the weights say.

        Raises:
            ValueError: if the file does not say what it holds or does not fit.
        """
        config, checkpoint = run_model.open_weights(
            source, model, ema=ema, chosen=chosen
        )
        return cls.of(run_model.of_weights(config, checkpoint), config)

    @classmethod
    def of(cls, model: keras.Model, config: Config) -> Self:
        """Joins a model with what the configuration says of images and labels.

        Args:
            model: a model that `run_model` built.
            config: the configuration that it was built from.
        """
        return cls(model, run_model.preparation(config), config.label_offset)

    @property
    def classes(self) -> int:
        """Number of the model's outputs, with those before the first label."""
        return self.model.output_shape[-1]

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several classes, each with its own probability."""
        return passports.of(self.model).multi_label

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the model's outputs, from its passport.

        Outputs before the first label are "background"; classes whose names are not
        known are "class 0" and on, as predictions number them.
        """
        return label_sets.output_names(
            passports.of(self.model).class_names,
            outputs=self.classes,
            label_offset=self.label_offset,
        )

    def read_image(self, path: str) -> tf.Tensor:
        """Reads one image file as evaluation does.

        Args:
            path: JPEG, PNG, GIF, BMP or WebP file, local or in a bucket.

        Returns:
            uint8 [image_size, image_size, 3], RGB.

        Raises:
            ValueError: naming a file that is missing or no image.
        """
        encoded = _read(path)
        try:
            return self._decode(encoded)
        except tf.errors.OpError as error:
            reason = decoding.reason(encoded.numpy()) or files.reason(error)
            raise ValueError(
                f"image file {path} cannot be decoded ({reason})"
            ) from None

    @functools.cached_property
    def _decode(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Prepares an encoded image in a graph, 4 times as fast as by single calls."""
        return tf.function(
            self.preparation.decode,
            input_signature=[tf.TensorSpec([], tf.string)],
            autograph=False,
        )

    def predict(
        self, images: Sequence[tf.Tensor | np.ndarray] | np.ndarray
    ) -> np.ndarray:
        """Classifies images that are prepared already.

        Args:
            images: uint8 [images, image_size, image_size, 3], RGB.

        Returns:
            float32 [images, classes], probabilities; they add up to 1 unless an image
            may have several classes.
        """
        size = self.preparation.image_size
        count = batch_sizes.largest(size, size)
        starts = range(0, len(images), count)
        batches = (np.stack(images[start : start + count]) for start in starts)
        return np.concatenate([self._probabilities(batch) for batch in batches])

    @functools.cached_property
    def _probabilities(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Maps uint8 pixels to probabilities, in one graph for all batches.

        Keras's predict compiles with XLA wherever there is a device other than a CPU;
        TensorFlow's TPU build has no XLA for the CPU.
        """
        size = self.preparation.image_size
        return tf.function(
            lambda batch: classify(self.model, batch)["probabilities"],
            input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8)],
            autograph=False,
        )


def _read(path: str) -> tf.Tensor:
    """Reads an image file; see `Classifier.read_image`."""
    files.check_name(path, label="image file ")
    try:
        return tf.io.read_file(os.fsencode(path))
    except tf.errors.NotFoundError:
        raise ValueError(f"image file {path} does not exist") from None
    except tf.errors.OpError as error:
        raise ValueError(f"image file {files.why_unread(path, error)}") from None


def open_classifier(
    *, model_dir: str | None = None, weights: str | None = None, **kwargs: Any
) -> Classifier:
    """Opens a run's classifier, or that of weights from outside, for a command.

    It prints what was chosen from the weights' file.

    Args:
        model_dir: a run's folder; None takes `weights`.
        weights: a file, a TF1 checkpoint or a release.
        **kwargs: keyword arguments of `Classifier.of_run` or `Classifier.of_weights`.
    """
    if weights:
        opened = Classifier.of_weights(weights, **kwargs)
        weights_file.print_notes(opened.model.load_report)
        return opened
    if model_dir:
        inspection.warn(RunDir(model_dir))
        return Classifier.of_run(model_dir, **kwargs)
    raise ValueError("neither model_dir nor weights is given")


def classify(model: keras.Model, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Computes what is served: a model's logits and their probabilities.

    These are sigmoids where the model's passport says that an image may have several
    classes, else a softmax.

    Args:
        model: the model of a `Classifier`.
        images: uint8 or float32 [batch, image_size, image_size, 3].

    Returns:
        "probabilities" and "logits", float32 [batch, classes].
    """
    logits = tf.cast(model(images, training=False), tf.float32)
    return {"probabilities": to_probabilities(model, logits), "logits": logits}


def to_probabilities(model: keras.Model, logits: tf.Tensor) -> tf.Tensor:
    """Returns the probabilities of a model's logits; see `classify`."""
    is_multi = passports.of(model).multi_label
    return tf.sigmoid(logits) if is_multi else tf.nn.softmax(logits)
