"""Concrete blocks of every family."""

import pytest
from variants_support import NAMES, TABLE, V1_NAMES

import efficientnet_tf as en


def test_b0_expands_to_the_blocks_of_the_paper():
    found = [
        (b.name, b.kernel_size, b.strides[0], b.input_filters, b.output_filters)
        for b in en.expand("efficientnet-b0")
    ]
    assert found == [
        ("block1a", 3, 1, 32, 16),
        ("block2a", 3, 2, 16, 24),
        ("block2b", 3, 1, 24, 24),
        ("block3a", 5, 2, 24, 40),
        ("block3b", 5, 1, 40, 40),
        ("block4a", 3, 2, 40, 80),
        ("block4b", 3, 1, 80, 80),
        ("block4c", 3, 1, 80, 80),
        ("block5a", 5, 1, 80, 112),
        ("block5b", 5, 1, 112, 112),
        ("block5c", 5, 1, 112, 112),
        ("block6a", 5, 2, 112, 192),
        ("block6b", 5, 1, 192, 192),
        ("block6c", 5, 1, 192, 192),
        ("block6d", 5, 1, 192, 192),
        ("block7a", 3, 1, 192, 320),
    ]


def test_b0_squeezes_a_quarter_of_each_blocks_input():
    squeezed = [block.se_filters for block in en.expand("efficientnet-b0")]
    assert squeezed == [8, 4, 6, 6, 10, 10, 20, 20, 20, 28, 28, 28, 48, 48, 48, 48]


def test_b0_skips_where_a_block_keeps_shape():
    skips = [block.name for block in en.expand("efficientnet-b0") if block.skip]
    assert skips == [
        *("block2b", "block3b", "block4b", "block4c", "block5b", "block5c"),
        *("block6b", "block6c", "block6d"),
    ]


def test_b7_has_55_blocks_with_scaled_repeats_and_filters():
    expansion = en.expand("efficientnet-b7")
    stages = [[b for b in expansion if b.name[5] == str(s)] for s in range(1, 8)]
    assert [len(stage) for stage in stages] == [4, 7, 7, 10, 10, 13, 4]
    assert [stage[0].input_filters for stage in stages] == [
        *(64, 32, 48, 80, 160, 224, 384),
    ]
    assert [stage[-1].output_filters for stage in stages] == [
        *(32, 48, 80, 160, 224, 384, 640),
    ]
    assert [stage[0].strides[0] for stage in stages] == [1, 2, 2, 2, 1, 2, 1]
    assert all(b.strides == (1, 1) for stage in stages for b in stage[1:])
    assert (expansion.stem_filters, expansion.head_filters) == (64, 2560)


def test_v2_s_fuses_its_first_stages_as_the_paper_does():
    # arXiv 2104.00298 table 4.
    expansion = en.expand("efficientnetv2-s")
    stages = {}
    for block in expansion:
        stages.setdefault(block.name[:6], []).append(block)
    found = [
        (s[0].kind, s[0].expand_ratio, s[0].strides[0], s[-1].output_filters, len(s))
        for s in stages.values()
    ]
    assert found == [
        ("fused", 1, 1, 24, 2),
        ("fused", 4, 2, 48, 4),
        ("fused", 4, 2, 64, 4),
        ("mbconv", 4, 2, 128, 6),
        ("mbconv", 6, 1, 160, 9),
        ("mbconv", 6, 2, 256, 15),
    ]
    assert {b.kernel_size for b in expansion} == {3}
    squeezed = [stage[0].se_filters for stage in stages.values()]
    assert squeezed == [0, 0, 0, 16, 32, 40]


def test_resnet_50_is_the_papers_and_only_v1_strides_first():
    # arXiv 1512.03385 table 1.
    for name, kind in (
        ("resnet-50", "bottleneck"),
        ("resnet-50-v1", "bottleneck_v1"),
    ):
        expansion = en.expand(name)
        assert {b.kind for b in expansion} == {kind}
        assert [b.expanded_filters for b in expansion] == (
            [64] * 3 + [128] * 4 + [256] * 6 + [512] * 3
        )
        assert [b.output_filters for b in expansion] == (
            [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
        )
        projected = [b.name for b in expansion if b.projects_shortcut]
        assert projected == ["block1a", "block2a", "block3a", "block4a"]
        assert [b.strides for b in expansion if b.strides != (1, 1)] == [(2, 2)] * 3
        assert (expansion.stem_filters, expansion.stem_kernel) == (64, 7)
        assert (expansion.stem_pool, expansion.head_filters) == (True, 0)
        assert expansion.feature_filters == 2048


def test_conditional_convolutions_are_the_last_three_stages():
    for name, experts in (("4e", 4), ("8e", 8)):
        blocks = en.expand(f"efficientnet-condconv-b0-{name}")
        assert [b.experts for b in blocks] == [0] * 8 + [experts] * 8


# Names of the blocks and channels of the maps; the channels as in timm's feature_info.
REDUCTIONS = {
    "efficientnet-b0": (
        ["block1a", "block2b", "block3b", "block5c", "block7a"],
        [16, 24, 40, 112, 320],
    ),
    "efficientnet-lite0": (
        ["block1a", "block2b", "block3b", "block5c", "block7a"],
        [16, 24, 40, 112, 320],
    ),
    "efficientnet-edgetpu-s": (
        ["block1a", "block2b", "block3d", "block5d", "block6b"],
        [24, 32, 48, 144, 192],
    ),
    "efficientnetv2-b0": (
        ["block1a", "block2b", "block3b", "block5e", "block6h"],
        [16, 32, 48, 112, 192],
    ),
    "efficientnetv2-s": (
        ["block1b", "block2d", "block3d", "block5i", "block6o"],
        [24, 48, 64, 160, 256],
    ),
    "efficientnetv2-m": (
        ["block1c", "block2e", "block3e", "block5n", "block7e"],
        [24, 48, 80, 176, 512],
    ),
    "mobilenet-v1": (
        ["block1a", "block2b", "block3b", "block4f", "block5b"],
        [64, 128, 256, 512, 1024],
    ),
    "mobilenet-v2": (
        ["block1a", "block2b", "block3c", "block5c", "block7a"],
        [16, 24, 32, 96, 320],
    ),
    "resnet-50": (
        ["stem", "block1c", "block2d", "block3f", "block4c"],
        [64, 256, 512, 1024, 2048],
    ),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_are_the_last_maps_before_each_stride(name):
    expansion = en.expand(name)
    blocks, channels = REDUCTIONS[name]
    assert expansion.reductions() == {
        f"reduction_{i}": block for i, block in enumerate(blocks, 1)
    }
    filters = {b.name: b.output_filters for b in expansion}
    filters["stem"] = expansion.stem_filters
    assert [filters[block] for block in blocks] == channels


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"efficientnet-test"}))
def test_every_variant_has_five_reductions(name):
    assert len(en.expand(name).reductions()) == 5


@pytest.mark.parametrize("row", TABLE, ids=V1_NAMES)
def test_drop_rates_rise_over_the_blocks_counted_after_scaling(row):
    rates = [block.drop_rate for block in en.expand(f"efficientnet-{row[0]}")]
    total = row[5]
    assert rates == pytest.approx([0.2 * i / total for i in range(total)], abs=1e-15)


@pytest.mark.parametrize(
    "name", ["mobilenet-v1", "mobilenet-v2", "resnet-50", "resnet-152-v1"]
)
def test_baselines_drop_no_blocks_unless_asked_to(name):
    assert {block.drop_rate for block in en.expand(name)} == {0}
    assert en.expand(name, survival_prob=0.5)[-1].drop_rate > 0.45


def test_survival_prob_replaces_the_variants():
    rates = [b.drop_rate for b in en.expand("efficientnet-b0", survival_prob=0.5)]
    assert rates == pytest.approx([0.5 * i / 16 for i in range(16)])
    assert {b.drop_rate for b in en.expand("efficientnet-b0", survival_prob=1)} == {0}


@pytest.mark.parametrize("survival_prob", [0, -0.1, 1.1, float("nan")])
def test_a_survival_prob_that_is_none_is_refused(survival_prob):
    with pytest.raises(ValueError, match="survival_prob="):
        en.expand("efficientnet-b0", survival_prob=survival_prob)
