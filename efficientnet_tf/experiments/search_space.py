"""The networks that a search chooses from: block strings, stage by stage.

The factorised hierarchical space of MnasNet (arXiv 1807.11626 section 4, figure 4),
which the paper searches for EfficientNet-B0 (section 4): every stage has choices of its
own, and all its blocks share them. Strides and stem are always the skeleton's.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from efficientnet_tf import blocks as blocks_lib
from efficientnet_tf import expansion, variants

# These two kinds go together with every other choice. With an expansion of 1 they are
# the separable and the regular convolution that MnasNet chooses from as well.
KINDS = ("mbconv", "fused")
KERNEL_SIZES = (3, 5)
EXPANSIONS = (1, 2, 3, 4, 5, 6)
SE_RATIOS = (0.0, 0.25)  # 0: no squeeze-excite
WIDTHS = (0.75, 1.0, 1.25)  # multiples of the skeleton's filters
REPEATS = (-1, 0, 1)  # added to the skeleton's repeats
_DIVISOR = 8  # the builder rounds filters to multiples of it
_B0 = variants.get_variant("efficientnet-b0").blocks


@dataclasses.dataclass(frozen=True)
class Space:
    """All networks around a skeleton.

    Args:
        skeleton: block strings that fix the strides, the first input filters, and the
            middle of the choices of filters and repeats.

    Raises:
        ValueError: if the skeleton is not a network.
    """

    skeleton: tuple[str, ...] = _B0

    def __post_init__(self) -> None:
        expansion.customize("efficientnet-b0", blocks=self.skeleton)

    def sample(self, trial: Any) -> tuple[str, ...]:
        """Chooses a network.

        Args:
            trial: an Optuna trial that chooses, or one that has chosen; its parameters
                are called stage1_kind, stage1_kernel and so on.

        Returns:
            Block strings, as `EfficientNet(blocks=...)` and, joined by commas,
            `--blocks` take them. All choices of one network give the same strings.
        """
        stages = [blocks_lib.decode_block(text) for text in self.skeleton]
        filters = stages[0].input_filters
        strings = []
        for number, stage in enumerate(stages, 1):
            chosen = _choose(trial, f"stage{number}", stage, filters)
            strings.append(blocks_lib.encode_block(chosen))
            filters = chosen.output_filters
        return tuple(strings)

    def size(self) -> int:
        """Returns the number of combinations of choices."""
        total = 1
        for text in self.skeleton:
            stage = blocks_lib.decode_block(text)
            total *= len(KINDS) * len(KERNEL_SIZES) * len(EXPANSIONS) * len(SE_RATIOS)
            total *= 2 * len(_filters(stage)) * len(_repeats(stage))
        return total


def _choose(
    trial: Any, name: str, stage: blocks_lib.BlockArgs, input_filters: int
) -> blocks_lib.BlockArgs:
    """Chooses one stage's blocks."""

    def choice(what: str, values: Sequence) -> Any:
        return trial.suggest_categorical(f"{name}_{what}", values)

    chosen = dataclasses.replace(
        stage,
        conv_type=0,
        fused_conv=KINDS.index(choice("kind", KINDS)),
        kernel_size=choice("kernel", KERNEL_SIZES),
        expand_ratio=choice("expansion", EXPANSIONS),
        se_ratio=choice("se", SE_RATIOS) or None,
        id_skip=choice("skip", (True, False)),
        input_filters=input_filters,
        output_filters=choice("filters", _filters(stage)),
        repeats=choice("repeats", _repeats(stage)),
    )
    keeps_shape = input_filters == chosen.output_filters and stage.strides == (1, 1)
    if chosen.repeats > 1 or keeps_shape:
        return chosen
    return dataclasses.replace(chosen, id_skip=True)  # there is nothing to skip


def _filters(stage: blocks_lib.BlockArgs) -> tuple[int, ...]:
    return _distinct(
        expansion.round_filters(
            stage.output_filters, width, _DIVISOR, keep_90_percent=False
        )
        for width in WIDTHS
    )


def _repeats(stage: blocks_lib.BlockArgs) -> tuple[int, ...]:
    return _distinct(max(1, stage.repeats + more) for more in REPEATS)


def _distinct(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(values)))
