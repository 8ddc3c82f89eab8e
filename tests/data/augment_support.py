"""The original's formulas in NumPy's float32, and its random numbers.

Source: autoaugment.py of tensorflow/tpu models/official/efficientnet, with
tensorflow/contrib/image for transforms.
"""

import numpy as np
import pipelines
from PIL import Image, ImageOps

from efficientnet_tf.data.augment import plan

F = np.float32
GREY = 128


def made_plan(augment: str, size: int, **chosen) -> plan.Plan:
    return plan.Plan(pipelines.augmentation(augment=augment, **chosen), size)


def image(size: int, seed: int = 0) -> np.ndarray:
    """Noise over slopes, so that every operator changes it; no level below 10."""
    rng = np.random.default_rng(seed)
    slopes = np.linspace(10, 170, size)[:, np.newaxis] + np.linspace(0, 35, 3)
    return (slopes + rng.integers(0, 50, (size, size, 3))).astype(np.uint8)


def blend(degenerate, pixels, factor) -> np.ndarray:
    degenerate, pixels = np.asarray(degenerate).astype(F), pixels.astype(F)
    mixed = degenerate + F(factor) * (pixels - degenerate)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def grey(pixels) -> np.ndarray:
    red, green, blue = np.moveaxis(pixels.astype(F) * F(1 / 255), -1, 0)
    total = red * F(0.2989) + green * F(0.587) + blue * F(0.114)
    return (total * F(255.5)).astype(np.uint8)


def sharpness(pixels, factor) -> np.ndarray:
    height, width, _ = pixels.shape
    kernel = F([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / F(13)
    total = np.zeros([height - 2, width - 2, 3], F)
    for y, x in np.ndindex(3, 3):
        total += pixels[y : y + height - 2, x : x + width - 2].astype(F) * kernel[y, x]
    smooth = pixels.copy()
    smooth[1:-1, 1:-1] = np.clip(total, 0, 255).astype(np.uint8)
    return blend(smooth, pixels, factor)


def autocontrast(pixels) -> np.ndarray:
    changed = pixels.copy()
    for channel in range(3):
        values = pixels[..., channel]
        low, high = F(values.min()), F(values.max())
        if high > low:
            scale = F(255) / (high - low)
            scaled = values.astype(F) * scale + -low * scale
            changed[..., channel] = np.clip(scaled, 0, 255).astype(np.uint8)
    return changed


def equalize(pixels) -> np.ndarray:
    return np.asarray(ImageOps.equalize(Image.fromarray(pixels)))


def constant_contrast(pixels, factor) -> np.ndarray:
    height, width, _ = pixels.shape
    mean = F(height * width) / F(256)
    return blend(np.uint8(np.clip(mean, 0, 255)), pixels, factor)


def rotation(degrees, size) -> np.ndarray:
    angle = F(degrees) * F(np.pi / 180)
    cos, sin = F(np.cos(float(angle))), F(np.sin(float(angle)))
    last = F(size - 1)
    x = (last - (cos * last - sin * last)) / F(2)
    y = (last - (sin * last + cos * last)) / F(2)
    return F([cos, -sin, x, sin, cos, y])


def places(matrix, size) -> np.ndarray:
    """Source columns and rows of all pixels, rounded away from zero, [2, ., .]."""
    y, x = np.mgrid[:size, :size].astype(F)
    a, b, c, d, e, f = F(matrix)
    exact = np.stack([(a * x + b * y) + c, (d * x + e * y) + f]).astype(np.float64)
    return (np.sign(exact) * np.floor(np.abs(exact) + 0.5)).astype(int)


def transform(pixels, matrix, fill=GREY) -> np.ndarray:
    size = len(pixels)
    x, y = places(matrix, size)
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    found = pixels[np.where(inside, y, 0), np.where(inside, x, 0)]
    return np.where(inside[..., np.newaxis], found, np.uint8(fill))


def cutout(pixels, centre, half_side) -> np.ndarray:
    changed = pixels.copy()
    top, left = (max(0, c - half_side) for c in centre)
    changed[top : centre[0] + half_side, left : centre[1] + half_side] = GREY
    return changed


def operator(name, level, pixels, *, negative=False, centre=(0, 0)) -> np.ndarray:
    """An operator at RandAugment's level; translations are of 100 pixels at 10."""
    share = level / 10
    enhance, sign = share * 1.8 + 0.1, -1 if negative else 1
    shift, shear = sign * share * 100, sign * share * 0.3
    threshold = int(share * 256) % 256  # NumPy and TensorFlow wrap a uint8
    shift_bits = min((8 - int(share * 4)) % 256, 7)  # what TensorFlow shifts by
    brighter = np.clip(pixels.astype(int) + int(share * 110), 0, 255)
    size = len(pixels)
    return {
        "AutoContrast": lambda: autocontrast(pixels),
        "Equalize": lambda: equalize(pixels),
        "Invert": lambda: 255 - pixels,
        "Rotate": lambda: transform(pixels, rotation(sign * share * 30, size)),
        "Posterize": lambda: pixels >> shift_bits << shift_bits,
        "Solarize": lambda: np.where(pixels < threshold, pixels, 255 - pixels),
        "SolarizeAdd": lambda: np.where(pixels < 128, brighter, pixels),
        "Color": lambda: blend(grey(pixels)[..., np.newaxis], pixels, enhance),
        "Contrast": lambda: constant_contrast(pixels, enhance),
        "Brightness": lambda: blend(0, pixels, enhance),
        "Sharpness": lambda: sharpness(pixels, enhance),
        "ShearX": lambda: transform(pixels, (1, shear, 0, 0, 1, 0)),
        "ShearY": lambda: transform(pixels, (1, 0, 0, shear, 1, 0)),
        "TranslateX": lambda: transform(pixels, (1, 0, shift, 0, 1, 0)),
        "TranslateY": lambda: transform(pixels, (1, 0, 0, 0, 1, shift)),
        "Cutout": lambda: cutout(pixels, centre, int(share * 40)),
    }[name]().astype(np.uint8)


_U32 = 0xFFFFFFFF


def _philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox 4x32 with 10 rounds (Salmon et al. 2011)."""
    counter, key = list(counter), list(key)
    for _ in range(10):
        one, other = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [
            (other >> 32) ^ counter[1] ^ key[0],
            other & _U32,
            (one >> 32) ^ counter[3] ^ key[1],
            one & _U32,
        ]
        key = [(key[0] + 0x9E3779B9) & _U32, (key[1] + 0xBB67AE85) & _U32]
    return counter


def random_bits(seed, count: int) -> list[int]:
    """The first 32-bit numbers of TensorFlow's stateless generator for a seed."""
    words = [int(value) & 0xFFFFFFFFFFFFFFFF for value in seed]
    halves = [half for word in words for half in (word & _U32, word >> 32)]
    mixed = _philox(halves, [0x3EC8F720, 0x02461E29])
    key, counter = mixed[:2], [0, 0, *mixed[2:]]
    found = []
    while len(found) < count:
        found += _philox(counter, key)
        counter[0] += 1
    return found[:count]


def uniform(seed, count: int = 1) -> np.ndarray:
    """Numbers from 0 to below 1, of 23 bits."""
    return np.float32([(b & 0x7FFFFF) / 2**23 for b in random_bits(seed, count)])


def index(seed, below: int) -> int:
    return random_bits(seed, 1)[0] % below


def split(seed, count: int) -> list[list[int]]:
    """New seeds, of 64-bit words."""
    bits = random_bits(seed, 4 * count)
    words = [low | high << 32 for low, high in zip(bits[::2], bits[1::2], strict=True)]
    return [words[2 * i : 2 * i + 2] for i in range(count)]
