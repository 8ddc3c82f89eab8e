"""Parameters and multiply-accumulates of a variant, by arithmetic alone.

A multiply-accumulate counts once; the paper prints their number as FLOPS. The count
covers convolutions (also the 1x1 ones of squeeze-excite), the routing and mixing of
conditional kernels, and the classifier. Normalisation, activations and pooling count
nothing, as in the paper.
"""

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import Any

from efficientnet_tf import expansion, variants

MOST_PARAMS = 10_000_000_000  # 20 times L2's
MOST_VALUES = 2**31 - 1  # TensorFlow's kernels number the values by 32 bits
# Kinds of blocks whose first convolution strides.
_STRIDE_FIRST = ("fused", "separable", "bottleneck_v1")
_Size = tuple[int, int]  # rows and columns


@dataclasses.dataclass(frozen=True)
class Count:
    """Totals of a network or of a part of it; adds up with `+`."""

    trainable_params: int = 0
    non_trainable_params: int = 0  # batch-norm moving mean and variance
    macs: int = 0

    @property
    def params(self) -> int:
        """All parameters, trained or not."""
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
    image_size: int | _Size | None = None,
    channels: int = 3,
    classes: int = 1000,
    include_top: bool = True,
) -> Count:
    """Counts a variant without building it.

    Args:
        variant: a name or a `Variant`.
        image_size: height and width in pixels, or one number for both; None takes the
            variant's resolution.
        channels: int, channels of the input image.
        classes: int, outputs of the classifier.
        include_top: whether the classifier counts.

    Returns:
        `.params`, `.trainable_params` and `.macs` (for one image).

    Raises:
        ValueError: for an unknown variant or a size below 1.
    """
    variant = variants.get_variant(variant)
    network = expansion.expand(variant)
    size = _size(variant.resolution if image_size is None else image_size)
    size = _strided(size, (2, 2))
    total = _conv(network.stem_kernel, channels, network.stem_filters, size)
    if network.stem_pool:
        size = _strided(size, (2, 2))
    for block in network.blocks:
        total += _COUNTERS[block.kind](block, size)
        size = _strided(size, block.strides)
    if network.head_filters:
        last_filters = network.blocks[-1].output_filters
        total += _conv(1, last_filters, network.head_filters, size)
    if include_top:
        total += _dense(network.feature_filters, classes)
    return total


def _mbconv(block: expansion.Block, size: _Size) -> Count:
    filters, experts = block.expanded_filters, block.experts
    strided = _strided(size, block.strides)
    total = _dense(block.input_filters, experts) if experts else Count()
    if block.expand_ratio != 1:
        total += _conv(1, block.input_filters, filters, size, experts=experts)
    # Depthwise: each filter has one input.
    total += _conv(block.kernel_size, 1, filters, strided, experts=experts)
    total += _squeeze_excite(block)
    return total + _conv(1, filters, block.output_filters, strided, experts=experts)


def _edge(block: expansion.Block, size: _Size) -> Count:
    total = Count()
    if block.expand_ratio != 1:
        filters = block.expanded_filters
        total += _conv(block.kernel_size, block.input_filters, filters, size)
    strided = _strided(size, block.strides)
    return total + _conv(1, block.expanded_filters, block.output_filters, strided)


def _fused(block: expansion.Block, size: _Size) -> Count:
    size = _strided(size, block.strides)
    total = _squeeze_excite(block)
    if block.expand_ratio == 1:
        filters = block.output_filters
        return total + _conv(block.kernel_size, block.input_filters, filters, size)
    filters = block.expanded_filters
    total += _conv(block.kernel_size, block.input_filters, filters, size)
    return total + _conv(1, filters, block.output_filters, size)


def _bottleneck(block: expansion.Block, size: _Size) -> Count:
    filters = block.expanded_filters
    strided = _strided(size, block.strides)
    reduced = strided if block.kind == "bottleneck_v1" else size
    total = _conv(1, block.input_filters, filters, reduced)
    total += _conv(block.kernel_size, filters, filters, strided)
    total += _conv(1, filters, block.output_filters, strided)
    if block.projects_shortcut:
        total += _conv(1, block.input_filters, block.output_filters, strided)
    return total


_COUNTERS = {
    "mbconv": _mbconv,
    "edge": _edge,
    "fused": _fused,
    "separable": _mbconv,
    "bottleneck": _bottleneck,
    "bottleneck_v1": _bottleneck,
}


def _squeeze_excite(block: expansion.Block) -> Count:
    if not block.se_filters:
        return Count()
    return _dense(block.expanded_filters, block.se_filters) + _dense(
        block.se_filters, block.expanded_filters
    )


def _dense(inputs: int, outputs: int) -> Count:
    return Count(trainable_params=(inputs + 1) * outputs, macs=inputs * outputs)


def _conv(
    kernel_size: int, inputs: int, outputs: int, size: _Size, *, experts: int = 0
) -> Count:
    """Counts a convolution without a bias, and the batch normalisation behind it.

    With experts, each image's kernel is a mixture of the experts' kernels.
    """
    weights = kernel_size * kernel_size * inputs * outputs
    mixing = weights * experts
    return Count(
        weights * max(1, experts) + 2 * outputs,
        2 * outputs,
        weights * size[0] * size[1] + mixing,
    )


def too_large(
    variant: str | variants.Variant, *, image_size: int | _Size, classes: int
) -> tuple[str, str] | None:
    """Finds what makes a network too large for any machine.

    Args:
        variant: a name or a `Variant`.
        image_size: as in `count`.
        classes: int, outputs of the classifier; 0 if there is none.

    Returns:
        The cause, "network", "classes" or "image_size", and words that go on from its
        name; None if the network is not too large.
    """
    total = count(variant, image_size=image_size, classes=classes)
    if total.params > MOST_PARAMS:
        body = count(variant, image_size=image_size, include_top=False)
        cause = "classes" if body.params <= MOST_PARAMS else "network"
        return (
            cause,
            f"makes {total.params} parameters; allowed are {MOST_PARAMS} at most",
        )
    where, values = largest_map(variant, image_size=image_size)
    if values > MOST_VALUES:
        return "image_size", (
            f"makes a feature map of {values} values in {where}; allowed are "
            f"{MOST_VALUES} at most"
        )
    return None


def check_size(
    variant: str | variants.Variant,
    *,
    image_size: int | _Size,
    classes: int,
    named: Mapping[str, str],
) -> None:
    """Raises ValueError for a network that is too large for any machine.

    Args:
        variant: as in `too_large`.
        image_size: as in `count`.
        classes: as in `too_large`.
        named: what the user calls each of the causes.
    """
    found = too_large(variant, image_size=image_size, classes=classes)
    if found:
        raise ValueError(f"{named[found[0]]}: {found[1]}")


def largest_map(
    variant: str | variants.Variant,
    *,
    image_size: int | _Size | None = None,
) -> tuple[str, int]:
    """Finds the largest feature map of one image.

    Args:
        variant: a name or a `Variant`.
        image_size: as in `count`.

    Returns:
        The stem's, block's or head's name, and the number of values in its map.
    """
    variant = variants.get_variant(variant)
    network = expansion.expand(variant)
    size = _size(variant.resolution if image_size is None else image_size)
    size = _strided(size, (2, 2))
    maps = {"stem": network.stem_filters * math.prod(size)}
    if network.stem_pool:
        size = _strided(size, (2, 2))
    for block in network.blocks:
        strided = _strided(size, block.strides)
        inner = strided if block.kind in _STRIDE_FIRST else size
        maps[block.name] = max(
            block.expanded_filters * math.prod(inner),
            block.output_filters * math.prod(strided),
        )
        size = strided
    maps["top"] = network.feature_filters * math.prod(size)
    return max(maps.items(), key=lambda named: named[1])


def _size(image_size: int | _Size) -> _Size:
    is_one = isinstance(image_size, numbers.Integral)
    size: Any = (image_size,) * 2 if is_one else image_size
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"image_size={image_size} is not a positive number of pixels")
    return tuple(size)


def _strided(size: _Size, strides: tuple[int, int]) -> _Size:
    """Returns the output size of a padded convolution or pooling."""
    return -(-size[0] // strides[0]), -(-size[1] // strides[1])
