"""Images in memory, from arrays or PIL, as a source of data like files."""

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.data import (
    folder,
    graphs,
    held_out,
    image_files,
    sources,
    tfrecord,
)
from efficientnet_tf.data.preparation import Preparation, crop_fraction

_CHANNELS = (1, 3, 4)


@dataclasses.dataclass(frozen=True)
class InMemory(image_files.ImageFiles):
    """Images that are kept as PNG; the name of one is its place, from 0."""

    encoded: tf.Tensor = dataclasses.field(kw_only=True, repr=False, compare=False)

    def example(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `tfrecord.Split.example`."""
        told, place = tf.unstack(tf.strings.split(record, "\n", maxsplit=1), num=2)
        encoded = tf.gather(self.encoded, tf.strings.to_number(place, tf.int32))
        labels = tf.strings.to_number(tf.strings.split(told), tf.int64)
        return encoded, labels if self.multi_label else labels[0]


@dataclasses.dataclass(frozen=True)
class Arrays(sources.Files):
    """A `Source` of images in memory.

    Args:
        splits: "train" and "validation" images.
        multi_label: whether an image may have any number of labels.
    """

    multi_label: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers."""
        return self.splits.class_names or ()

    def dataset(
        self,
        split: str = "train",
        *,
        image_size: int,
        batch_size: int = 32,
        eval_crop: str = "padded",
        resize: str = "bicubic",
    ) -> tf.data.Dataset:
        """Returns one epoch of a split, for `en.finetune` and `model.fit`.

        Images are cropped and resized as for evaluation. Training images are shuffled
        anew in each epoch, by `tf.random.set_seed`.

        Args:
            split: "train" or "validation".
            image_size: int, height and width in pixels.
            batch_size: int, images in a batch; the last one may have fewer.
            eval_crop: the centre crop, see `preparation.crop_fraction`.
            resize: "bicubic" or "bilinear".

        Returns:
            Batches of images, uint8 [batch, image_size, image_size, 3], and labels,
            int32 [batch], or float32 [batch, classes] of 0 and 1 where an image may
            have several.

        Raises:
            ValueError: if there is no such split.
        """
        images = {"train": self.splits.train, "validation": self.splits.validation}
        chosen = images.get(split)
        if chosen is None or not chosen.images:
            raise ValueError(f"split={split}: holds no images")
        prepared = Preparation(image_size, crop_fraction(image_size, eval_crop), resize)
        classes = len(self.class_names)

        def example(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            encoded, label = chosen.example(record)
            if self.multi_label:
                label = tf.reduce_sum(tf.one_hot(label, classes), 0)
            else:
                label = tf.cast(label, tf.int32)
            return prepared.decode(encoded), label

        entries = tf.constant([chosen.entry(file) for file in chosen.files])
        dataset = tf.data.Dataset.from_tensor_slices(entries)
        if split == "train":
            dataset = dataset.shuffle(chosen.images)
        dataset = dataset.map(example, num_parallel_calls=tf.data.AUTOTUNE)
        return graphs.untuned(dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE))


def from_arrays(
    images: Any,
    labels: Any,
    *,
    class_names: Sequence[str] | None = None,
    validation: tuple[Any, Any] | None = None,
    val_fraction: float = 0.2,
    seed: int = 0,
) -> Arrays:
    """Makes a source of data from images in memory.

    `en.data.from_arrays(photos, labels).dataset("train", image_size=224)` is what
    `en.finetune` and `model.fit` take.

    Args:
        images: an array [images, height, width] or [images, height, width, channels],
            or a sequence of arrays or PIL images of any sizes. Pixels are from 0 to
            255; channels are grey, RGB or RGBA.
        labels: int [images] from 0, or a name for each image, or, where an image may
            have several labels, 0 and 1 [images, classes].
        class_names: the classes' names in order; None takes the sorted names, or calls
            number 7 "class 7".
        validation: images and labels to validate with; None takes some of `images`.
        val_fraction: float from 0 to below 1, the share of each class to take for
            this; 0 takes none.
        seed: int, decides which images these are.

    Raises:
        ValueError: naming the image or label that cannot be used.
    """
    names = _class_names(labels, class_names)
    several = np.ndim(labels) == 2
    pixels = _encode_all(images)
    train = _listed(labels, names, images=len(pixels))
    held: tuple[folder.Image, ...] = ()
    if validation:
        more = _encode_all(validation[0])
        held = _listed(validation[1], names, images=len(more), first=len(pixels))
        pixels += more
    elif val_fraction:
        held, train = held_out.by_name(
            train, ".", fraction=val_fraction, seed=seed, in_each=not several
        )
    encoded = tf.constant(pixels, tf.string)

    def split(name: str, some: tuple[folder.Image, ...]) -> InMemory:
        files, numbers = zip(*some, strict=True) if some else ((), ())
        return InMemory(
            *(name, files, len(files), names, numbers, several), encoded=encoded
        )

    return Arrays(
        tfrecord.Splits(
            split("train", train), None, split("validation", held), class_names=names
        ),
        multi_label=several,
    )


def _listed(
    labels: Any, names: tuple[str, ...], *, images: int, first: int = 0
) -> tuple[folder.Image, ...]:
    """Lists images by their numbers, from `first` on, sorted by their labels."""
    places = enumerate(_places(labels, names, images=images), start=first)
    ordered = sorted((label, number) for number, label in places)
    return tuple((str(number), label) for label, number in ordered)


def _class_names(labels: Any, given: Sequence[str] | None) -> tuple[str, ...]:
    if given is not None:
        return tuple(given)
    array = np.asarray(labels)
    if array.ndim == 2:
        return tuple(f"class {number}" for number in range(array.shape[1]))
    if array.dtype.kind in "US":
        return tuple(sorted(set(array.tolist())))
    highest = int(array.max()) if array.size else -1
    return tuple(f"class {number}" for number in range(highest + 1))


def _places(
    labels: Any, names: tuple[str, ...], *, images: int
) -> list[tuple[int, ...]]:
    """Returns the labels of each image, as places in `names`."""
    array = np.asarray(labels)
    if array.ndim not in (1, 2) or len(array) != images:
        raise ValueError(
            f"labels: have the shape {list(array.shape)} for {images} images; allowed "
            "is [images], or [images, classes] of 0 and 1"
        )
    if array.ndim == 2:
        wrong = np.argwhere((array != 0) & (array != 1))
        if len(wrong) or array.shape[1] != len(names):
            raise ValueError(
                f"labels: allowed is 0 and 1 for each of {len(names)} classes, not "
                + (str(array[tuple(wrong[0])]) if len(wrong) else str(array.shape[1]))
            )
        return [tuple(np.flatnonzero(row).tolist()) for row in array]
    if array.dtype.kind in "US":
        number = {name: place for place, name in enumerate(names)}
        array = np.array([number.get(str(name), -1) for name in array.tolist()])
    if array.dtype.kind not in "iu":
        raise ValueError(f"labels: are {array.dtype}; allowed are integers and names")
    wrong = np.flatnonzero((array < 0) | (array >= len(names)))
    if len(wrong):
        told = np.asarray(labels)[wrong[0]]
        raise ValueError(
            f"labels: that of image {wrong[0]} is {told}; allowed is 0 to "
            f"{len(names) - 1}, or one of {', '.join(names[:5])}"
        )
    return [(int(label),) for label in array]


def _encode_all(images: Any) -> list[bytes]:
    """Encodes each image without loss."""
    if not len(images):
        raise ValueError("images: there are none")
    arrays = [image for image in images if not hasattr(image, "getexif")]
    small = (np.asarray(image) for image in arrays)
    floats = [array.max(initial=0) for array in small if array.dtype.kind == "f"]
    if floats and max(floats) <= 1:
        raise ValueError(
            "images: the largest pixel is "
            f"{max(floats):g}; pixels are from 0 to 255, so multiply them by 255"
        )
    return [_encode(image, number) for number, image in enumerate(images)]


def _encode(image: Any, number: int) -> bytes:
    from PIL import Image, ImageOps

    if isinstance(image, Image.Image):
        upright = ImageOps.exif_transpose(image)
        known = upright.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
        picture = upright if known else upright.convert("RGB")
    else:
        picture = Image.fromarray(_levels(np.asarray(image), number))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1, icc_profile=None)
    return buffer.getvalue()


def _levels(array: np.ndarray, number: int) -> np.ndarray:
    """Returns pixels as uint8 [height, width] or [height, width, 3 or 4]."""
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    is_shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in _CHANNELS)
    if not is_shaped or not array.size or array.dtype.kind not in "uif":
        raise ValueError(
            f"images: image {number} is {array.dtype} {list(array.shape)}; allowed are "
            "numbers [height, width] or [height, width, channels], of 1, 3 or 4"
        )
    rounded = np.rint(array)
    if not (np.isfinite(rounded).all() and 0 <= rounded.min() <= rounded.max() <= 255):
        raise ValueError(
            f"images: image {number} has pixels from {array.min()} to {array.max()}; "
            "allowed is 0 to 255"
        )
    return rounded.astype(np.uint8)
