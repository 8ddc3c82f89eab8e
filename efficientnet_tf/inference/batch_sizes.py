"""How many images a network predicts at once."""

MOST = 32  # as Keras's predict
# One core predicts Lite0 and B0 at 224 pixels 6 to 14% faster by 8 than by 32 (AMD
# EPYC, Zen 5).
_MOST_ON_A_CORE = 8
# One layer's output of B7 takes 2.2 GB for 32 images of 600x600.
_PIXELS = MOST * 300 * 300


def largest(height: int, width: int, batches: int = 1) -> int:
    """Returns 32, or fewer for images of more than 300x300 pixels, but at least 1.

    Args:
        height: int, of the images in pixels.
        width: int, of the images in pixels.
        batches: int, how many are predicted at once. Several hold at most 8 images
            each, and together no more pixels than one.
    """
    most = MOST if batches == 1 else _MOST_ON_A_CORE
    return min(most, max(1, _PIXELS // (height * width * batches)))
