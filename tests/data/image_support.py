"""Made-up images, and their bytes."""

import io

import numpy as np
from PIL import Image


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth random colours, which JPEG keeps nearly as they are."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    large = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(large)


def encode(pixels: np.ndarray, file_format="PNG", mode="RGB", **options) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels).convert(mode)
    image.save(buffer, file_format, **options)
    return buffer.getvalue()
