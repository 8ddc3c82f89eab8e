"""How many images a network predicts at once."""

MOST = 32  # as Keras's predict
# One layer's output of B7 takes 2.2 GB for 32 images of 600x600.
_PIXELS = MOST * 300 * 300


def largest(height: int, width: int) -> int:
    """Returns 32, or fewer for images of more than 300x300 pixels, but at least 1.

    Args:
        height: int, of the images in pixels.
        width: int, of the images in pixels.
    """
    return min(MOST, max(1, _PIXELS // (height * width)))
