"""Class activation maps: where in an image a classifier finds a class.

Source: Zhou et al., arXiv 1512.04150, section 2; figure 7 of the EfficientNet paper
compares scaled models by them.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from efficientnet_tf.inference import batch_sizes
from efficientnet_tf.models import efficientnet
from efficientnet_tf.weights import passport as passports

_ACTIVATIONS = (keras.layers.Activation, keras.layers.Softmax)


@dataclasses.dataclass(frozen=True)
class CAM:
    """The maps of a batch of images, one class each."""

    maps: np.ndarray  # float32 [batch, height, width], raw maps at the images' size
    raw: np.ndarray  # float32 [batch, rows, columns]; mean + bias is the class's logit
    classes: np.ndarray  # int64 [batch], from 0 as the model counts
    scores: np.ndarray  # float32 [batch], probabilities


def cam(
    model: keras.Model, images: Any, classes: int | Sequence[int] | None = None
) -> CAM:
    """Maps a class's evidence in each image.

    A raw map is the sum of the last feature map's channels, weighted by the class's
    weights in the classifier. It is upsampled bilinearly.

    Args:
        model: a model that ends in GlobalAveragePooling2D and Dense, with or without
            Dropout between them and an activation after them.
        images: uint8 or float [batch, height, width, channels] as the model takes them
            (this package's: pixels in [0, 255]); channels first if the model's are.
        classes: int, one for all images or one for each; None takes the most likely.

    Returns:
        The maps, in logits, and the classes' probabilities: the model's own, or, if it
        ends in logits, their softmax, or sigmoids of a single logit and where the
        model's passport says that an image may have several classes.

    Raises:
        ValueError: naming the end of a model that ends otherwise, or images or classes
            that do not fit the model.
    """
    head = find_head(model)
    images = keras.ops.convert_to_numpy(images)
    _check_images(images, model.inputs[0].shape)
    _check_classes(classes, images=len(images), known=head.dense.units)
    features, outputs = _run(model, head, images)
    chosen = outputs.argmax(1) if classes is None else np.asarray(classes, "int64")
    chosen = np.broadcast_to(chosen, len(images)).copy()
    if head.gives_logits:
        apart = outputs.shape[1] == 1 or passports.of(model).multi_label
        to_scores = keras.ops.sigmoid if apart else keras.ops.softmax
        outputs = _float32(to_scores(outputs))
    raw = np.einsum("bhwc,cb->bhw", features, _float32(head.dense.kernel)[:, chosen])
    maps = keras.ops.image.resize(
        raw[..., None],
        _size(images, head),
        interpolation="bilinear",
        data_format="channels_last",
    )
    return CAM(
        maps=_float32(maps)[..., 0],
        raw=raw,
        classes=chosen,
        scores=outputs[np.arange(len(images)), chosen],
    )


@dataclasses.dataclass(frozen=True)
class Head:
    """The end of a classifier."""

    features: keras.KerasTensor  # the feature map before pooling
    channels_first: bool
    dense: keras.layers.Dense
    gives_logits: bool


def find_head(model: keras.Model) -> Head:
    """Finds the map that is pooled and the classifier; see `cam` for the errors."""
    inputs = getattr(model, "inputs", None) or []
    outputs = getattr(model, "outputs", None) or []
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(
            f"model={model.name}: allowed is a functional model of one input and one "
            f"output; found {type(model).__name__} of {len(inputs)} and {len(outputs)}"
        )
    end = list(itertools.islice(_back_from(outputs[0]), 6))
    trail = [step for step in end if not isinstance(step[0], keras.layers.Dropout)]
    last = trail[0][0]
    activated = isinstance(last, _ACTIVATIONS)
    (dense, _), (pool, taken) = (trail[activated:] + [(None, ())] * 2)[:2]
    pooled = isinstance(pool, keras.layers.GlobalAveragePooling2D) and not pool.keepdims
    if not (pooled and isinstance(dense, keras.layers.Dense)):
        names = [f"{type(layer).__name__} {layer.name}" for layer, _ in reversed(end)]
        raise ValueError(
            f"model={model.name}: allowed is one that ends in GlobalAveragePooling2D "
            f"and Dense; found at its end {', '.join(names)}"
        )
    return Head(
        features=taken[0],
        channels_first=pool.data_format == "channels_first",
        dense=dense,
        gives_logits=all(
            getattr(layer, "activation", None) is keras.activations.linear
            for layer in (dense, last)
        ),
    )


def _back_from(tensor: Any) -> Iterator[tuple[Any, Any]]:
    """Yields the operations before a tensor, the last first, with their inputs."""
    while True:
        operation, node, _ = tensor._keras_history
        # A layer's `input` is that of its first call: Sequential.add calls layers anew.
        taken = operation._inbound_nodes[node].input_tensors
        yield operation, taken
        if len(taken) != 1:
            return
        (tensor,) = taken


def _run(
    model: keras.Model, head: Head, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features, channels last, and the outputs."""
    with efficientnet.deep_graphs():
        both = keras.Model(model.inputs[0], [head.features, model.outputs[0]])
    count = batch_sizes.largest(*_size(images, head))
    batches = [
        [_float32(value) for value in both(images[i : i + count], training=False)]
        for i in range(0, len(images), count)
    ]
    features, outputs = (np.concatenate(v) for v in zip(*batches, strict=True))
    return np.moveaxis(features, 1, -1) if head.channels_first else features, outputs


def _size(images: np.ndarray, head: Head) -> tuple[int, int]:
    """Returns height and width."""
    height, width = images.shape[2:] if head.channels_first else images.shape[1:3]
    return height, width


def _float32(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def _check_images(images: np.ndarray, wanted: tuple) -> None:
    pairs = zip(wanted[1:], images.shape[1:], strict=False)
    fits = all(want in (None, size) for want, size in pairs)
    if images.ndim != 4 or not images.size or not fits:
        raise ValueError(f"images of shape {images.shape}: allowed is {wanted}")


def _check_classes(
    classes: int | Sequence[int] | None, *, images: int, known: int
) -> None:
    if classes is None:
        return
    given = np.asarray(classes)
    if given.shape not in ((), (images,)):
        raise ValueError(f"classes={classes}: allowed is one, or one for each image")
    if given.dtype.kind not in "iu" or not np.all((given >= 0) & (given < known)):
        raise ValueError(f"classes={classes}: allowed are 0 to {known - 1}")
