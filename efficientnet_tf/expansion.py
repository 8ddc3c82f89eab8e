"""Compound scaling: from a variant's block strings to a list of concrete blocks."""

import dataclasses
import fractions
import functools
import math
import numbers
import string
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from efficientnet_tf import blocks
from efficientnet_tf.variants import Variant, get_variant

# The layers of a block, by conv_type (c0, c1, ...):
# mbconv: 1x1 expansion, depthwise, squeeze-excite, 1x1 projection, skip.
# edge: full convolution for expansion, 1x1 projection that strides (EdgeTPU).
# separable: depthwise, activated 1x1, no skip (MobileNetV1).
# bottleneck: 1x1, full convolution that strides, 1x1, skip (ResNet v1.5); expand_ratio
#   is the output filters divided by the inner filters.
# bottleneck_v1: the same, but the first 1x1 strides (ResNet v1).
# A fused block (f1) is one full convolution that strides and a 1x1 projection; if its
# expansion is 1, it is a single activated convolution (EfficientNetV2).
KINDS = ("mbconv", "edge", "separable", "bottleneck", "bottleneck_v1")

# The largest network with a name, L2, has 4.3, 5.3 and 88 of them.
MOST_WIDTH = MOST_DEPTH = 100
MOST_BLOCKS = 1000


@dataclasses.dataclass(frozen=True)
class Block:
    """One concrete block, after scaling."""

    name: str  # "block2a": stage from 1, repeat from a, as in keras.applications
    kind: str  # one of KINDS, or fused
    kernel_size: int
    strides: tuple[int, int]
    input_filters: int
    output_filters: int
    expand_ratio: int
    expanded_filters: int  # in a bottleneck, the inner filters
    se_filters: int  # 0: no squeeze-excite
    skip: bool  # adds its input to its output
    drop_rate: float  # probability that stochastic depth drops the block
    activation: str
    experts: int  # 0: plain convolutions

    @property
    def can_be_recomputed(self) -> bool:
        """Whether the fused pass can recompute activations; see `training.fused`."""
        expands = self.kind == "mbconv" and not self.experts
        return expands or self.expand_ratio == 1

    @property
    def projects_shortcut(self) -> bool:
        """Whether a bottleneck's shortcut is a 1x1 convolution."""
        return self.strides != (1, 1) or self.input_filters != self.output_filters


@dataclasses.dataclass(frozen=True)
class Expansion:
    """A scaled network: stem, blocks and head."""

    stem_filters: int
    stem_kernel: int
    stem_pool: bool
    blocks: tuple[Block, ...]
    head_filters: int  # 0: none
    activation: str

    @property
    def feature_filters(self) -> int:
        """Channels of the feature map that is pooled."""
        return self.head_filters or self.blocks[-1].output_filters

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stem and the stages, in order: stem, block1, block2 ..."""
        names = (block.name.rstrip(string.ascii_lowercase) for block in self.blocks)
        return ("stem", *dict.fromkeys(names))

    def reductions(self) -> dict[str, str]:
        """Maps endpoints to the last block before each stride and the last of all.

        `{"reduction_1": "block1a", ...}`; the stem is "stem". Names as in
        tensorflow/tpu efficientnet_model.py.
        """
        strides_at_once = self.stem_pool or max(self.blocks[0].strides) > 1
        last = ["stem"] if strides_at_once else []
        for block, following in zip(self.blocks, self.blocks[1:], strict=False):
            if max(following.strides) > 1:
                last.append(block.name)
        last.append(self.blocks[-1].name)
        return {f"reduction_{i + 1}": name for i, name in enumerate(last)}

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> Block:
        return self.blocks[index]


def customize(
    variant: str | Variant,
    *,
    blocks: Iterable[str] | None = None,
    width: float | None = None,
    depth: float | None = None,
    activation: str | None = None,
) -> Variant:
    """Replaces parts of a variant; None keeps the variant's own.

    Args:
        variant: a name or a `Variant`.
        blocks: block strings; the stem gets the first string's input filters.
        width: filter multiplier, above 0, at most MOST_WIDTH.
        depth: repeat multiplier, above 0, at most MOST_DEPTH.
        activation: name of a Keras activation.

    Raises:
        ValueError: naming the argument or the block string that is wrong.
    """
    variant = get_variant(variant)
    changes: dict[str, Any] = {"width": width, "depth": depth, "activation": activation}
    if isinstance(blocks, str) or not isinstance(blocks, Iterable | None):
        raise ValueError(f"blocks={blocks!r}: allowed is a list of block strings")
    if blocks is not None:
        changes["blocks"] = tuple(blocks)
        changes["stem_filters"] = _decode(changes["blocks"])[0].input_filters
    chosen = {name: value for name, value in changes.items() if value is not None}
    variant = dataclasses.replace(variant, **chosen)
    expand(variant)
    return variant


def _check_coefficient(name: str, value: Any, most: int) -> None:
    if not (isinstance(value, numbers.Real) and 0 < float(value) <= most):
        raise ValueError(f"{name}={value}: allowed is more than 0, at most {most}")


def round_filters(
    filters: int, width: float, divisor: int = 8, *, keep_90_percent: bool = True
) -> int:
    """Scales a filter count to the nearest multiple of `divisor`.

    Args:
        filters: int, the filters before scaling.
        width: float, the multiplier.
        divisor: int that divides the result.
        keep_90_percent: whether to round up rather than go below 90% of the product.

    Source: `round_filters` in tensorflow/tpu efficientnet_model.py.
    """
    scaled = filters * width
    rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
    if keep_90_percent and rounded < 0.9 * scaled:
        rounded += divisor
    return rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Scales a repeat count, rounding up.

    The coefficient is read as the decimal that it prints as; in floats, 1.1 * 10 is
    above 11 and would round up to 12.

    Args:
        repeats: int, repeats of the unscaled stage.
        depth: float above 0, the multiplier.
    """
    return math.ceil(fractions.Fraction(str(depth)) * repeats)


def expand(variant: str | Variant, *, survival_prob: float | None = None) -> Expansion:
    """Applies compound scaling (paper section 3.3) and lists every block.

    Args:
        variant: a name or a `Variant`.
        survival_prob: float in (0, 1], of the last block; None takes the variant's.
            Block i of n is dropped with probability (1 - survival_prob) * i / n, with n
            counted after scaling.

    Raises:
        ValueError: if the variant is unknown, or if a block string is malformed, cannot
            be built or does not take the filters that the string before it gives, or
            if there would be more than MOST_BLOCKS blocks.
    """
    variant = get_variant(variant)
    survival_prob = variant.survival_prob if survival_prob is None else survival_prob
    if not 0 < survival_prob <= 1:
        raise ValueError(f"survival_prob={survival_prob} is not in (0, 1]")
    return _expand(variant, survival_prob)


@functools.lru_cache(maxsize=64)  # a run asks for its own network ten times
def _expand(variant: Variant, survival_prob: float) -> Expansion:
    _check_coefficient("width", variant.width, MOST_WIDTH)
    _check_coefficient("depth", variant.depth, MOST_DEPTH)
    stages = _decode(variant.blocks)
    _check_stages(variant, stages)
    repeats = _repeats(variant, stages)
    total = sum(repeats)
    if total > MOST_BLOCKS:
        raise ValueError(f"{variant.name}: {total} blocks; allowed are {MOST_BLOCKS}")
    stem_filters, head_filters = _ends(variant)
    expanded: list[Block] = []
    channels = stem_filters
    for stage_index, (stage, count) in enumerate(zip(stages, repeats, strict=True)):
        for repeat in range(count):
            drop_rate = (1 - survival_prob) * len(expanded) / total
            name = f"block{stage_index + 1}{_letters(repeat)}"
            block = _block(variant, stage, repeat, name, channels, drop_rate)
            expanded.append(block)
            channels = block.output_filters
    return Expansion(
        stem_filters=stem_filters,
        stem_kernel=variant.stem_kernel,
        stem_pool=variant.stem_pool,
        blocks=tuple(expanded),
        head_filters=head_filters,
        activation=variant.activation,
    )


def _decode(strings: Sequence[str]) -> list[blocks.BlockArgs]:
    if not strings:
        raise ValueError("blocks=[]: allowed is one block string or more")
    return [blocks.decode_block(string) for string in strings]


def _check_stages(variant: Variant, stages: list[blocks.BlockArgs]) -> None:
    """Raises ValueError for stages that cannot be built or do not fit together."""
    given = None
    for text, stage in zip(variant.blocks, stages, strict=True):
        problem = _kind_problem(variant, stage)
        if given not in (None, stage.input_filters):
            problem = problem or (
                f"input_filters: takes {stage.input_filters}, but the block string "
                f"before it gives {given}"
            )
        if problem:
            raise ValueError(f"block string {text!r}: {problem}")
        given = stage.output_filters


def _kind_problem(variant: Variant, stage: blocks.BlockArgs) -> str | None:
    """Says why a stage cannot be built; None where it can. See KINDS."""
    kind, ratio = stage.conv_type, stage.expand_ratio
    checks = {
        f"conv_type: c{kind} is not c0 to c{len(KINDS) - 1}": kind >= len(KINDS),
        "fused_conv: allowed is f1, and only without c": (
            stage.fused_conv > 1 or (stage.fused_conv and kind)
        ),
        "space2depth can be read and written but not built": stage.space2depth,
        "condconv: cc goes with depthwise blocks alone (no c, no f)": (
            stage.condconv and (kind or stage.fused_conv)
        ),
        "condconv: cc needs a variant with experts": (
            stage.condconv and variant.experts < 1
        ),
        f"se_ratio: c{kind} blocks have no squeeze-excite": kind and stage.se_ratio,
        "expand_ratio: c2 blocks do not expand; allowed is e1": (
            kind == 2 and ratio != 1
        ),
        f"id_skip: noskip has no effect on c{kind} blocks; leave it out": (
            kind >= 2 and not stage.id_skip
        ),
        f"output_filters: {stage.output_filters} is no multiple of the expansion "
        f"{ratio}": kind >= 3 and stage.output_filters % ratio,
    }
    return next((problem for problem, found in checks.items() if found), None)


def _repeats(variant: Variant, stages: list[blocks.BlockArgs]) -> list[int]:
    repeats = [round_repeats(stage.repeats, variant.depth) for stage in stages]
    if not variant.scale_ends:
        for end in (0, -1):
            repeats[end] = stages[end].repeats
    return repeats


def _ends(variant: Variant) -> tuple[int, int]:
    """Returns the filters of stem and head."""
    if not variant.scale_ends:
        return variant.stem_filters, variant.head_filters
    head_width = variant.width if variant.head_shrinks else max(1.0, variant.width)
    head = _scaled(variant, variant.head_filters, head_width)
    return _scaled(variant, variant.stem_filters), head if variant.head_filters else 0


def _scaled(variant: Variant, filters: int, width: float | None = None) -> int:
    return round_filters(
        filters,
        variant.width if width is None else width,
        variant.divisor,
        keep_90_percent=variant.keep_90_percent,
    )


def _block(
    variant: Variant,
    stage: blocks.BlockArgs,
    repeat: int,
    name: str,
    channels: int,
    drop_rate: float,
) -> Block:
    """Makes one block of a stage; only the first block strides and changes filters.

    `channels` is the number of filters that the block before gives. The block string's
    input filters differ from it where the stem has a width of its own (Lite, EdgeTPU);
    expansion and squeeze-excite use the string's, as in the original.
    """
    kind = "fused" if stage.fused_conv else KINDS[stage.conv_type]
    ratio = stage.expand_ratio
    strides = (1, 1) if repeat else stage.strides
    nominal = _scaled(variant, stage.output_filters if repeat else stage.input_filters)
    if kind.startswith("bottleneck"):
        expanded_filters = _scaled(variant, stage.output_filters // ratio)
        output_filters = expanded_filters * ratio
    else:
        expanded_filters = channels if ratio == 1 else nominal * ratio
        output_filters = _scaled(variant, stage.output_filters)
    keeps_shape = strides == (1, 1) and channels == output_filters
    return Block(
        name=name,
        kind=kind,
        kernel_size=stage.kernel_size,
        strides=strides,
        input_filters=channels,
        output_filters=output_filters,
        expand_ratio=ratio,
        expanded_filters=expanded_filters,
        se_filters=max(1, int(nominal * stage.se_ratio)) if stage.se_ratio else 0,
        skip=stage.id_skip and keeps_shape and kind != "separable",
        drop_rate=drop_rate,
        activation=stage.activation or variant.activation,
        experts=variant.experts if stage.condconv else 0,
    )


def _letters(index: int) -> str:
    """Returns a to z for 0 to 25, then aa, ab and so on."""
    alphabet = string.ascii_lowercase
    head, tail = divmod(index, len(alphabet))
    return (_letters(head - 1) if head else "") + alphabet[tail]
