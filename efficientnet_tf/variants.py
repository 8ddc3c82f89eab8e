"""The family as a table, and its expansion into concrete blocks by compound scaling.

Widths, depths, resolutions and dropout: paper section 4 and appendix, and
`efficientnet_params` in tensorflow/tpu efficientnet_builder.py for b8 and l2.
"""

import dataclasses
import difflib
import fractions
import math
import string

from efficientnet_tf import blocks

# Paper table 1; the squeeze-excite ratio is of the block's input filters.
B0_BLOCKS = (
    "r1_k3_s11_e1_i32_o16_se0.25",
    "r2_k3_s22_e6_i16_o24_se0.25",
    "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25",
    "r3_k5_s11_e6_i80_o112_se0.25",
    "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
)


@dataclasses.dataclass(frozen=True)
class Variant:
    """A member of the family: how far the baseline is scaled, and the baseline."""

    name: str
    width: float  # multiplies every filter count
    depth: float  # multiplies every repeat count
    resolution: int  # input height and width in pixels
    dropout: float  # before the classifier
    blocks: tuple[str, ...] = B0_BLOCKS
    stem_filters: int = 32
    head_filters: int = 1280
    survival_prob: float = 0.8  # of the last block; stochastic depth, paper section 5.2
    activation: str = "swish"
    divisor: int = 8


@dataclasses.dataclass(frozen=True)
class Block:
    """One concrete inverted-residual block, after scaling."""

    name: str  # "block2a": stage from 1, repeat from a, as in keras.applications
    kernel_size: int
    strides: tuple[int, int]
    input_filters: int
    output_filters: int
    expand_ratio: int
    se_filters: int  # 0: no squeeze-excite
    skip: bool  # adds its input to its output
    drop_rate: float  # of stochastic depth
    activation: str

    @property
    def expanded_filters(self) -> int:
        return self.input_filters * self.expand_ratio


@dataclasses.dataclass(frozen=True)
class Expansion:
    """A scaled network: the stem's and the head's filters and the blocks between."""

    stem_filters: int
    blocks: tuple[Block, ...]
    head_filters: int
    activation: str

    def __iter__(self):
        return iter(self.blocks)

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index):
        return self.blocks[index]


_VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("efficientnet-b0", 1.0, 1.0, 224, 0.2),
        Variant("efficientnet-b1", 1.0, 1.1, 240, 0.2),
        Variant("efficientnet-b2", 1.1, 1.2, 260, 0.3),
        Variant("efficientnet-b3", 1.2, 1.4, 300, 0.3),
        Variant("efficientnet-b4", 1.4, 1.8, 380, 0.4),
        Variant("efficientnet-b5", 1.6, 2.2, 456, 0.4),
        Variant("efficientnet-b6", 1.8, 2.6, 528, 0.5),
        Variant("efficientnet-b7", 2.0, 3.1, 600, 0.5),
        Variant("efficientnet-b8", 2.2, 3.6, 672, 0.5),
        Variant("efficientnet-l2", 4.3, 5.3, 800, 0.5),
    )
}


def list_variants() -> list[str]:
    """Every name that `get_variant` knows, in order of size."""
    return list(_VARIANTS)


def get_variant(variant: str | Variant) -> Variant:
    """Looks a variant up by name; a `Variant` is returned as it is.

    Raises:
        ValueError: if the name is unknown; names the nearest one.
    """
    if isinstance(variant, Variant):
        return variant
    if variant in _VARIANTS:
        return _VARIANTS[variant]
    near = difflib.get_close_matches(str(variant), _VARIANTS, n=1, cutoff=0.0)
    raise ValueError(
        f"unknown model {variant!r}; did you mean {near[0]!r}? "
        f"Known: {', '.join(_VARIANTS)}"
    )


def round_filters(filters: int, width: float, divisor: int = 8) -> int:
    """Scales a filter count to a multiple of `divisor`, never below 90% of the product.

    Source: `round_filters` in tensorflow/tpu efficientnet_model.py.
    """
    scaled = filters * width
    rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
    if rounded < 0.9 * scaled:
        rounded += divisor
    return rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Scales a repeat count, rounding up.

    The coefficient is taken as the decimal it is written as: in floats 1.1 * 10 is
    above 11 and would round up to 12.
    """
    return math.ceil(fractions.Fraction(str(depth)) * repeats)


def expand(variant: str | Variant, *, survival_prob: float | None = None) -> Expansion:
    """Applies compound scaling (paper section 3.3) and lists every block.

    Args:
        variant: a name or a `Variant`.
        survival_prob: of the last block, in (0, 1]; None takes the variant's. Block i
            of n is dropped with probability (1 - survival_prob) * i / n, with n counted
            after scaling.

    Raises:
        ValueError: if the variant is unknown, a block string is malformed, or asks for
            an option that no builder here supports yet.
    """
    variant = get_variant(variant)
    survival_prob = variant.survival_prob if survival_prob is None else survival_prob
    if not 0 < survival_prob <= 1:
        raise ValueError(f"survival_prob={survival_prob} is not in (0, 1]")
    stages = [_decode_supported(block) for block in variant.blocks]
    repeats = [round_repeats(stage.repeats, variant.depth) for stage in stages]
    total = sum(repeats)
    expanded = []
    for stage_index, (stage, count) in enumerate(zip(stages, repeats, strict=True)):
        for repeat in range(count):
            drop_rate = (1 - survival_prob) * len(expanded) / total
            name = f"block{stage_index + 1}{_letters(repeat)}"
            expanded.append(_block(variant, stage, repeat, name, drop_rate))
    return Expansion(
        stem_filters=round_filters(
            variant.stem_filters, variant.width, variant.divisor
        ),
        blocks=tuple(expanded),
        head_filters=round_filters(
            variant.head_filters, variant.width, variant.divisor
        ),
        activation=variant.activation,
    )


def _decode_supported(block: str) -> blocks.BlockArgs:
    args = blocks.decode_block(block)
    for field in ("conv_type", "fused_conv", "space2depth", "condconv"):
        if getattr(args, field):
            raise ValueError(
                f"block string {block!r}: {field} can be read and written but not "
                "built yet"
            )
    return args


def _block(variant, stage, repeat, name, drop_rate) -> Block:
    """One block of a stage; only the first one strides and changes the width."""
    output_filters = round_filters(stage.output_filters, variant.width, variant.divisor)
    input_filters = output_filters
    if repeat == 0:
        input_filters = round_filters(
            stage.input_filters, variant.width, variant.divisor
        )
    strides = stage.strides if repeat == 0 else (1, 1)
    return Block(
        name=name,
        kernel_size=stage.kernel_size,
        strides=strides,
        input_filters=input_filters,
        output_filters=output_filters,
        expand_ratio=stage.expand_ratio,
        se_filters=max(1, int(input_filters * stage.se_ratio)) if stage.se_ratio else 0,
        skip=stage.id_skip and strides == (1, 1) and input_filters == output_filters,
        drop_rate=drop_rate,
        activation=stage.activation or variant.activation,
    )


def _letters(index: int) -> str:
    """Names 0 to 25 a to z, then aa, ab: no stage of l2 is this long, others may be."""
    alphabet = string.ascii_lowercase
    head, tail = divmod(index, len(alphabet))
    return (_letters(head - 1) if head else "") + alphabet[tail]
