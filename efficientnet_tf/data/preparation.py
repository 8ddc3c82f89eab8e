"""Turns encoded bytes into uint8 images of one size, as the TF1 original does.

Source: preprocessing.py in tensorflow/tpu, models/official/efficientnet. All randomness
is stateless: the same seed gives the same image wherever and whenever it is drawn.
"""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from efficientnet_tf.data import decoding, graphs

CROP_PADDING = 32
CROP_FRACTION = 0.875


def crop_fraction(image_size: int, eval_crop: str) -> float:
    """Returns the share of an image's short side that evaluation keeps.

    The released accuracies were measured with "padded", size / (size + 32). Today's
    released code uses "fixed", about 0.875 at every size: it pads a seventh of the
    size, rounded to whole pixels. "exact" is 0.875 itself.

    Args:
        image_size: int, height and width in pixels.
        eval_crop: "padded", "fixed" or "exact".
    """
    if eval_crop == "exact":
        return CROP_FRACTION
    padding = CROP_PADDING
    if eval_crop == "fixed":
        padding = round(image_size * (1 / CROP_FRACTION - 1))
    return image_size / (image_size + padding)


@dataclasses.dataclass(frozen=True)
class Preparation:
    """Turns an encoded image into a model's input, in evaluation and serving.

    Args:
        image_size: int, height and width of the result in pixels.
        crop_fraction: float above 0, at most 1: the side of the central square that is
            kept, as a share of the image's short side; see `crop_fraction`.
        resize: "bicubic" or "bilinear".
        exif: whether images are turned upright, as their EXIF orientation says.
    """

    image_size: int
    crop_fraction: float
    resize: str
    exif: bool = False

    def decode(
        self,
        encoded: tf.Tensor,
        decode_window: decoding.Decode = decoding.decode_window,
    ) -> tf.Tensor:
        """Decodes the central square and resizes it.

        Args:
            encoded: string scalar, an image of any format of `decoding`.
            decode_window: decodes windows, perhaps from a cache.

        Returns:
            uint8 [image_size, image_size, 3], RGB.
        """
        return _shared(self, decode_window, encoded)

    def _image(self, decode_window: decoding.Decode, encoded: tf.Tensor) -> tf.Tensor:
        def window(shape: tf.Tensor) -> tf.Tensor:
            return _center_window(shape, self.crop_fraction)

        image = decode_window(encoded, window, exif=self.exif)
        return _resize(image, self)


def decode_and_distort(
    encoded: tf.Tensor,
    preparation: Preparation,
    *,
    seed: tf.Tensor,
    crop_area_min: float,
    flip: bool,
    cut_off: bool = False,
    decode_window: decoding.Decode = decoding.decode_window,
) -> tf.Tensor:
    """Decodes a random crop, resizes it and mirrors half of all images.

    The crop covers from `crop_area_min`, and at least a tenth, up to all of the image's
    area, at an aspect ratio of 3/4 to 4/3. The evaluation crop takes its place if 10
    attempts find no crop, or if the crop is the whole image; the original cannot tell
    these two cases apart.

    Args:
        encoded: string scalar, as in `Preparation.decode`.
        preparation: size, resampling and evaluation's crop.
        seed: integer [2]; equal seeds give equal images.
        crop_area_min: float above 0, at most 1: the smallest share of the image's area.
        flip: whether to mirror at random.
        cut_off: whether to cut resized levels off to integers rather than round them,
            as the original does before AutoAugment and RandAugment.
        decode_window: decodes windows, perhaps from a cache.

    Returns:
        uint8 [image_size, image_size, 3], RGB.
    """
    distortion = _Distortion(preparation, crop_area_min, flip, cut_off)
    return _shared(distortion, decode_window, encoded, tf.convert_to_tensor(seed))


@dataclasses.dataclass(frozen=True)
class _Distortion:
    """The arguments of `decode_and_distort` that are no tensors."""

    preparation: Preparation
    crop_area_min: float
    flip: bool
    cut_off: bool

    def _image(
        self, decode_window: decoding.Decode, encoded: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        crop_seed, flip_seed = tf.unstack(tf.random.split(seed, 2))

        def window(shape: tf.Tensor) -> tf.Tensor:
            begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
                shape,
                bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
                seed=crop_seed,
                min_object_covered=0.1,
                aspect_ratio_range=(3 / 4, 4 / 3),
                area_range=(self.crop_area_min, 1.0),
                max_attempts=10,
            )
            failed = tf.reduce_all(tf.equal(size[:2], shape[:2]))
            return tf.where(
                failed,
                _center_window(shape, self.preparation.crop_fraction),
                tf.concat([begin[:2], size[:2]], 0),
            )

        image = decode_window(encoded, window, exif=self.preparation.exif)
        image = _resize(image, self.preparation, cut_off=self.cut_off)
        if self.flip:
            image = tf.image.stateless_random_flip_left_right(image, flip_seed)
        return image


def _shared(
    work: Preparation | _Distortion,
    decode_window: decoding.Decode,
    encoded: tf.Tensor,
    *seed: tf.Tensor,
) -> tf.Tensor:
    """Makes an image; all pipelines of a process share the graph that does it.

    A cache's `decode_window` belongs to one data set, so its graph is not shared.
    """
    if decode_window is not decoding.decode_window:
        return work._image(decode_window, encoded, *seed)
    return _graph(work, *(one.dtype for one in seed))(encoded, *seed)


@functools.lru_cache(maxsize=32)
def _graph(
    work: Preparation | _Distortion, *seed: tf.DType
) -> Callable[..., tf.Tensor]:
    inputs = [graphs.BYTES, *(tf.TensorSpec([2], dtype) for dtype in seed)]
    function = functools.partial(work._image, decoding.decode_window)
    return graphs.traced_once(function, inputs)


def _center_window(shape: tf.Tensor, fraction: float) -> tf.Tensor:
    """Returns [y, x, height, width] of the central square of an image."""
    short_side = tf.cast(tf.minimum(shape[0], shape[1]), tf.float32)
    side = tf.maximum(1, tf.cast(fraction * short_side, tf.int32))
    y = (shape[0] - side + 1) // 2
    x = (shape[1] - side + 1) // 2
    return tf.stack([y, x, side, side])


def _resize(
    image: tf.Tensor, preparation: Preparation, *, cut_off: bool = False
) -> tf.Tensor:
    """Resizes as TF1 did (no half-pixel centres), and rounds or cuts off to uint8."""
    operator = {
        "bicubic": tf.raw_ops.ResizeBicubic,
        "bilinear": tf.raw_ops.ResizeBilinear,
    }
    size = [preparation.image_size, preparation.image_size]
    resized = operator[preparation.resize](
        images=image[tf.newaxis],
        size=size,
        align_corners=False,
        half_pixel_centers=False,
    )[0]
    levels = resized if cut_off else tf.round(resized)
    # Only bicubic weights are negative, and take levels out of 0 to 255.
    cast = tf.saturate_cast if preparation.resize == "bicubic" else tf.cast
    return tf.ensure_shape(cast(levels, tf.uint8), [*size, 3])
