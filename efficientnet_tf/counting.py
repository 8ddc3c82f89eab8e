"""Parameters and multiply-accumulates of a variant, by arithmetic alone.

One multiply-accumulate counts once (the paper prints these as FLOPS): convolutions, the
squeeze-excite 1x1 convolutions and the classifier. Normalisation, activations and
pooling count nothing, as in the paper.
"""

import dataclasses

from efficientnet_tf import variants


@dataclasses.dataclass(frozen=True)
class Count:
    """Totals of a network or of a part of it; adds up with `+`."""

    trainable_params: int = 0
    non_trainable_params: int = 0  # batch-norm moving mean and variance
    macs: int = 0

    @property
    def params(self) -> int:
        return self.trainable_params + self.non_trainable_params

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.trainable_params + other.trainable_params,
            self.non_trainable_params + other.non_trainable_params,
            self.macs + other.macs,
        )


def count(
    variant: str | variants.Variant,
    *,
    image_size: int | None = None,
    classes: int = 1000,
    include_top: bool = True,
) -> Count:
    """Counts a variant without building it.

    Args:
        variant: a name or a `Variant`.
        image_size: height and width in pixels; None takes the variant's resolution.
        classes: outputs of the classifier.
        include_top: whether the classifier counts.

    Returns:
        `.params`, `.trainable_params` and `.macs` (for one image).
    """
    variant = variants.get_variant(variant)
    network = variants.expand(variant)
    size = variant.resolution if image_size is None else image_size
    if size < 1:
        raise ValueError(f"image_size={size} is not a positive number of pixels")
    rows = columns = _strided(size, 2)
    total = _conv(3, 3, network.stem_filters, rows * columns)
    for block in network.blocks:
        expansion_pixels = rows * columns
        rows = _strided(rows, block.strides[0])
        columns = _strided(columns, block.strides[1])
        total += _block(block, expansion_pixels, rows * columns)
    last_filters = network.blocks[-1].output_filters
    total += _conv(1, last_filters, network.head_filters, rows * columns)
    if include_top:
        weights = network.head_filters * classes
        total += Count(trainable_params=weights + classes, macs=weights)
    return total


def _block(block: variants.Block, expansion_pixels: int, pixels: int) -> Count:
    filters = block.expanded_filters
    total = Count()
    if block.expand_ratio != 1:
        total += _conv(1, block.input_filters, filters, expansion_pixels)
    total += _conv(block.kernel_size, 1, filters, pixels)  # depthwise: 1 input each
    if block.se_filters:
        weights = 2 * filters * block.se_filters
        biases = block.se_filters + filters
        total += Count(trainable_params=weights + biases, macs=weights)
    return total + _conv(1, filters, block.output_filters, pixels)


def _conv(kernel_size: int, inputs: int, outputs: int, pixels: int) -> Count:
    """A bias-free convolution and the batch normalisation behind it."""
    weights = kernel_size * kernel_size * inputs * outputs
    return Count(weights + 2 * outputs, 2 * outputs, weights * pixels)


def _strided(size: int, stride: int) -> int:
    """Output size under SAME padding."""
    return -(-size // stride)
