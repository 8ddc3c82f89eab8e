"""The operators as tables, in NumPy: exact results of the original's float32.

Source: autoaugment.py of tensorflow/tpu models/official/efficientnet, and the kernel
that it calls for transforms, image_ops.h of tensorflow/contrib/image. A table holds
every rounding that they make, so no compiler's fused operation can change a pixel.
"""

import math

import numpy as np

LEVELS = np.arange(256)
# Weights of red, green and blue in tf.image.rgb_to_grayscale.
_GREY = (0.2989, 0.587, 0.114)
# Weights of a pixel's neighbours and of itself in the smoothing filter of Sharpness.
SMOOTHING = tuple(np.float32([1, 5]) / np.float32(13))


def identity() -> np.ndarray:
    """Returns the table that changes nothing, uint8 [256]."""
    return LEVELS.astype(np.uint8)


def invert() -> np.ndarray:
    """Returns 255 - v for each level v, uint8 [256]."""
    return (255 - LEVELS).astype(np.uint8)


def posterize(bits: int) -> np.ndarray:
    """Returns each level with its lowest bits cleared, uint8 [256].

    The shift of 8 - bits is a uint8, and TensorFlow shifts by 7 at most. So 0 bits, and
    more than 8, keep the highest bit: RandAugment's magnitudes from 22.5 on do so.

    Args:
        bits: int from 0, the bits that stay.
    """
    shift = min((8 - bits) % 256, 7)
    return ((LEVELS >> shift) << shift).astype(np.uint8)


def solarize(threshold: int) -> np.ndarray:
    """Returns the levels with those from `threshold` on inverted, uint8 [256].

    Args:
        threshold: int from 0 to 256.
    """
    return np.where(threshold > LEVELS, LEVELS, 255 - LEVELS).astype(np.uint8)


def solarize_add(addition: int) -> np.ndarray:
    """Returns the levels with `addition` added to those below 128, uint8 [256].

    Args:
        addition: int from 0; the sum ends at 255.
    """
    added = np.clip(LEVELS + addition, 0, 255)
    return np.where(LEVELS < 128, added, LEVELS).astype(np.uint8)


def blend(factor: float) -> np.ndarray:
    """Returns the blend of two levels, uint8 [256, 256]: [degenerate, level].

    It is degenerate + factor * (level - degenerate) in float32, cut off to an integer.

    Args:
        factor: float from 0; 0 gives the degenerate, 1 the level.
    """
    degenerate = LEVELS.astype(np.float32)[:, np.newaxis]
    level = LEVELS.astype(np.float32)
    blended = degenerate + np.float32(factor) * (level - degenerate)
    return np.clip(blended, 0, 255).astype(np.uint8)


def brightness(factor: float) -> np.ndarray:
    """Returns the blend with black, uint8 [256].

    Args:
        factor: float from 0; 1 leaves the image as it is.
    """
    return blend(factor)[0]


def constant_contrast(factor: float, size: int) -> np.ndarray:
    """Returns the blend with what the original takes for the mean grey, uint8 [256].

    Its checkpoints trained with RandAugment have seen this, not Pillow's Contrast. It
    divides the sum of a histogram, which is the number of pixels, by 256.
    So the grey depends on the image's size alone: 196 at 224 pixels, 255 from 256 on.

    Args:
        factor: float from 0; 1 leaves the image as it is.
        size: int, height and width of the image in pixels.
    """
    return blend(factor)[min(size * size // 256, 255)]


def grey_products() -> np.ndarray:
    """Returns what each level of red, green and blue adds to grey, float32 [3, 256].

    Their sum times 255.5, cut off, is the grey of tf.image.rgb_to_grayscale.
    """
    share = LEVELS.astype(np.float32) * np.float32(1 / 255)
    return np.stack([share * np.float32(weight) for weight in _GREY])


def parts(factor: float) -> tuple[np.uint32, np.float32]:
    """Returns a factor's mantissa, below 2**24, and the power of two to scale it with.

    Args:
        factor: float from 0, which is rounded to float32.
    """
    mantissa, exponent = np.frexp(np.float32(factor))
    return np.uint32(mantissa * 2**24), np.float32(2.0 ** (int(exponent) - 24))


def contrast_products() -> np.ndarray:
    """Returns AutoContrast's products, float32 [256, 256]: [range, level].

    For a range of r levels it is level * (255 / r); row 0 is not used.
    """
    ranges = np.maximum(LEVELS, 1).astype(np.float32)[:, np.newaxis]
    return LEVELS.astype(np.float32) * (np.float32(255) / ranges)


def rotation(degrees: float, size: int) -> np.ndarray:
    """Returns the transform that rotates around the centre, float32 [6].

    Args:
        degrees: float, the angle.
        size: int, height and width of the image in pixels.
    """
    radians = float(np.float32(degrees) * np.float32(math.pi / 180))
    cos, sin = np.float32(math.cos(radians)), np.float32(math.sin(radians))
    last, two = np.float32(size - 1), np.float32(2)
    x = (last - (cos * last - sin * last)) / two
    y = (last - (sin * last + cos * last)) / two
    return np.float32([cos, -sin, x, sin, cos, y])


def axes(transform: np.ndarray, size: int) -> np.ndarray:
    """Returns the parts of the places that pixels come from, float32 [2, 3, size].

    The pixel of column x and row y comes from column a[x] + b[y] - c[0], computed in
    this order, where a, b and c are the first three rows; from the row by the others.

    Args:
        transform: float32 [6]: source column = t0 * x + t1 * y + t2, source row =
            t3 * x + t4 * y + t5.
        size: int, height and width of the image in pixels.
    """
    places = np.arange(size, dtype=np.float32)
    matrix = np.asarray(transform, np.float32).reshape(2, 3)
    constants = np.broadcast_to(-matrix[:, 2:], (2, size))
    return np.stack([matrix[:, :1] * places, matrix[:, 1:2] * places, constants], 1)
