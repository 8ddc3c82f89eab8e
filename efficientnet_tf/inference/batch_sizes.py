"""How many images a network predicts at once."""

MOST = 32  # as Keras's predict
# One layer's output of B7 takes 2.2 GB for 32 images of 600x600.
_PIXELS = MOST * 300 * 300
# A core gains nothing by more: it takes 7.2 ms for each of 4 images of B0, 7.8 of 8 and
# 8.9 of 32; 62 for one image of B4 and 73 for each of 8 (AMD EPYC, Zen 5).
_PIXELS_ON_A_CORE = 8 * 224 * 224


def largest(height: int, width: int, batches: int = 1) -> int:
    """Returns 32, or fewer for images of more than 300x300 pixels, but at least 1.

    Args:
        height: int, of the images in pixels.
        width: int, of the images in pixels.
        batches: int, how many are predicted at once. Each of several holds at most 8
            images of 224x224 pixels, or as many pixels in others, and together they
            hold no more than one.
    """
    pixels = _PIXELS
    if batches > 1:
        pixels = min(_PIXELS // batches, _PIXELS_ON_A_CORE)
    return min(MOST, max(1, pixels // (height * width)))
