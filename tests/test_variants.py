import dataclasses

import numpy as np
import pytest

import efficientnet_tf as en
from efficientnet_tf import expansion as expansion_lib
from efficientnet_tf import variants

# Name, width, depth, resolution, dropout, blocks, head filters, all parameters, the
# trainable ones, billions of multiply-accumulates (as printed).
TABLE = [
    ("b0", 1.0, 1.0, 224, 0.2, 16, 1280, 5_330_564, 5_288_548, "0.386"),
    ("b1", 1.0, 1.1, 240, 0.2, 23, 1280, 7_856_232, 7_794_184, "0.687"),
    ("b2", 1.1, 1.2, 260, 0.3, 23, 1408, 9_177_562, 9_109_994, "0.994"),
    ("b3", 1.2, 1.4, 300, 0.3, 26, 1536, 12_320_528, 12_233_232, "1.827"),
    ("b4", 1.4, 1.8, 380, 0.4, 32, 1792, 19_466_816, 19_341_616, "4.394"),
    ("b5", 1.6, 2.2, 456, 0.4, 39, 2048, 30_562_520, 30_389_784, "10.266"),
    ("b6", 1.8, 2.6, 528, 0.5, 45, 2304, 43_265_136, 43_040_704, "19.068"),
    ("b7", 2.0, 3.1, 600, 0.5, 55, 2560, 66_658_680, 66_347_960, "37.746"),
    ("b8", 2.2, 3.6, 672, 0.5, 61, 2816, 87_793_174, 87_413_142, "62.6"),
    ("l2", 4.3, 5.3, 800, 0.5, 88, 5504, 481_399_996, 480_309_308, "475.7"),
]
V1_NAMES = [f"efficientnet-{row[0]}" for row in TABLE]
WIDTHS = [0.35, 0.5, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 4.3]

# The other families: resolution, dropout, blocks, all parameters, the trainable ones,
# billions of multiply-accumulates as their authors or torchvision print them.
OTHERS = {
    "efficientnet-l2-475": (475, 0.5, 88, 481_399_996, 480_309_308, None),
    "efficientnet-lite0": (224, 0.2, 16, None, 4_652_008, None),
    "efficientnet-lite1": (240, 0.2, 21, None, 5_416_680, None),
    "efficientnet-lite2": (260, 0.3, 21, None, 6_092_072, None),
    "efficientnet-lite3": (280, 0.3, 24, None, 8_197_096, None),
    "efficientnet-lite4": (300, 0.3, 30, None, 13_006_568, None),
    "efficientnet-edgetpu-s": (224, 0.2, 18, None, 5_438_392, None),
    "efficientnet-edgetpu-m": (240, 0.2, 24, None, 6_899_496, None),
    "efficientnet-edgetpu-l": (300, 0.3, 27, None, 10_589_712, None),
    "efficientnet-condconv-b0-4e": (224, 0.25, 16, None, 13_314_116, None),
    "efficientnet-condconv-b0-8e": (224, 0.25, 16, None, 24_013_284, None),
    "efficientnet-condconv-b0-8e-depth": (224, 0.25, 23, None, 39_715_968, None),
    "efficientnetv2-b0": (224, 0.2, 21, 7_200_312, None, "0.7"),
    "efficientnetv2-b1": (240, 0.2, 27, 8_212_124, None, "1.2"),
    "efficientnetv2-b2": (260, 0.3, 28, 10_178_374, None, "1.7"),
    "efficientnetv2-b3": (300, 0.3, 32, 14_467_622, None, "3.0"),
    "efficientnetv2-s": (384, 0.2, 40, 21_612_360, 21_458_488, "8.37"),
    "efficientnetv2-m": (480, 0.3, 57, 54_431_388, 54_139_356, "24.58"),
    "efficientnetv2-l": (480, 0.4, 79, 119_027_848, 118_515_272, "56.08"),
    "efficientnetv2-xl": (512, 0.4, 100, 208_896_832, None, None),
    "mobilenet-v1": (224, 0.001, 13, 4_253_864, None, "0.569"),
    "mobilenet-v2": (224, 0.2, 17, 3_538_984, None, "0.30"),
    "resnet-50": (224, 0.0, 16, 25_610_152, 25_557_032, "4.09"),
    "resnet-152": (224, 0.0, 50, 60_344_232, 60_192_808, "11.51"),
    "resnet-50-v1": (224, 0.0, 16, 25_610_152, 25_557_032, "3.86"),
    "resnet-152-v1": (224, 0.0, 50, 60_344_232, 60_192_808, "11.3"),
    "efficientnet-test": (32, 0.2, 7, None, None, None),
}
# Ours alone: another size of L2, the baselines, and the one for tests.
NOT_OF_THE_REFERENCE = {
    *("efficientnet-l2-475", "mobilenet-v1", "mobilenet-v2", "efficientnet-test"),
    *("resnet-50", "resnet-152", "resnet-50-v1", "resnet-152-v1"),
}
NAMES = V1_NAMES + list(OTHERS)


def own(*blocks, **kwargs):
    """A network of block strings, from 8 filters and 32 pixels on."""
    chosen = {"stem_filters": 8, **kwargs}
    return variants.Variant("own", 1.0, 1.0, 32, 0.2, blocks=blocks, **chosen)


def rounds_to(macs, gmacs):
    decimals = len(gmacs.split(".")[1])
    return f"{macs / 1e9:.{decimals}f}" == gmacs


def test_every_variant_of_the_reference_is_listed():
    reference = set(NAMES) - NOT_OF_THE_REFERENCE
    assert len(reference) == 29
    assert reference <= set(en.list_variants())


def test_no_listed_variant_goes_untested():
    assert sorted(en.list_variants()) == sorted(NAMES)


def test_variants_are_listed_in_order_of_size():
    listed = en.list_variants()
    assert [n for n in listed if n in V1_NAMES] == V1_NAMES
    assert [n for n in listed if n in OTHERS] == list(OTHERS)


@pytest.mark.parametrize("name", NAMES)
def test_every_listed_name_is_its_variants_own(name):
    assert en.get_variant(name).name == name


@pytest.mark.parametrize("row", TABLE, ids=V1_NAMES)
def test_coefficients_are_the_reference(row):
    name, width, depth, resolution, dropout, *_ = row
    variant = en.get_variant(f"efficientnet-{name}")
    assert variant.name == f"efficientnet-{name}"
    assert (variant.width, variant.depth) == (width, depth)
    assert (variant.resolution, variant.dropout) == (resolution, dropout)
    assert variant.survival_prob == 0.8


@pytest.mark.parametrize("row", TABLE, ids=V1_NAMES)
def test_blocks_and_head_are_the_reference(row):
    expansion = en.expand(f"efficientnet-{row[0]}")
    assert len(expansion) == row[5]
    assert expansion.head_filters == row[6]


@pytest.mark.parametrize("row", TABLE, ids=V1_NAMES)
def test_counts_are_the_reference(row):
    count = en.count(f"efficientnet-{row[0]}")
    params, trainable, gmacs = row[7:]
    assert (count.params, count.trainable_params) == (params, trainable)
    assert count.non_trainable_params == params - trainable
    assert rounds_to(count.macs, gmacs)


@pytest.mark.parametrize("name", OTHERS)
def test_other_families_are_the_reference(name):
    resolution, dropout, blocks, params, trainable, gmacs = OTHERS[name]
    variant, count = en.get_variant(name), en.count(name)
    assert (variant.resolution, variant.dropout) == (resolution, dropout)
    assert len(en.expand(name)) == blocks
    assert params in (None, count.params)
    assert trainable in (None, count.trainable_params)
    assert gmacs is None or rounds_to(count.macs, gmacs)


@pytest.mark.parametrize(
    ("name", "published"), [("4e", 0.402), ("8e", 0.413), ("8e-depth", 0.614)]
)
def test_macs_of_conditional_convolutions_are_near_the_published(name, published):
    # The paper counts 0.391 for B0 where convolutions alone are 0.386.
    macs = en.count(f"efficientnet-condconv-b0-{name}").macs
    assert macs / 1e9 * 0.391 / 0.386 == pytest.approx(published, rel=0.002)


@pytest.mark.parametrize(
    ("name", "activation", "pixels", "resize"),
    [
        ("efficientnet-b0", "swish", (123.675, 58.395), "bicubic"),
        ("efficientnet-lite0", "relu6", (127, 128), "bilinear"),
        ("efficientnet-edgetpu-s", "relu", (127, 128), "bilinear"),
        ("efficientnet-condconv-b0-4e", "swish", (127, 128), "bicubic"),
        ("efficientnetv2-b0", "swish", (123.675, 58.395), "bicubic"),
        ("efficientnetv2-s", "swish", (128, 128), "bicubic"),
        ("mobilenet-v1", "relu6", (127.5, 127.5), "bicubic"),
        ("mobilenet-v2", "relu6", (127.5, 127.5), "bicubic"),
        ("resnet-50", "relu", (123.675, 58.395), "bicubic"),
        ("resnet-50-v1", "relu", (123.68, 1), "bicubic"),
    ],
)
def test_each_family_has_its_activation_and_pixels(name, activation, pixels, resize):
    variant = en.get_variant(name)
    assert variant.activation == activation
    assert (variant.pixels.mean[0], variant.pixels.stddev[0]) == pixels
    assert variant.pixels.resize == resize
    assert {b.activation for b in en.expand(name)} == {activation}


def test_image_size_changes_the_macs_of_convolutions_only():
    small, large = (en.count("efficientnet-b0", image_size=s) for s in (224, 448))
    assert small.params == large.params == 5_330_564
    squeeze = sum(
        2 * block.expanded_filters * block.se_filters
        for block in en.expand("efficientnet-b0")
    )
    fixed = squeeze + 1000 * 1280
    assert large.macs - fixed == 4 * (small.macs - fixed)


@pytest.mark.parametrize("name", NAMES)
def test_rows_and_columns_count_alike(name):
    tall, wide, small, large = (
        en.count(name, image_size=s) for s in ((64, 128), (128, 64), 64, (128, 128))
    )
    assert tall == wide
    assert large == en.count(name, image_size=128)
    # From 64 pixels every size is a multiple of every stride: twice the rows are twice
    # the work of all but the parts that see no pixels.
    assert large.macs - tall.macs == 2 * (tall.macs - small.macs)
    assert tall.params == small.params


def test_odd_rectangular_sizes_round_up_at_each_stride():
    variant = own("r1_k3_s12_e2_i8_o16", head_filters=0)
    # 5x9 pixels: stem 3x5; expand there; the block strides columns: 3x3.
    macs = 9 * 3 * 8 * 15 + 8 * 16 * 15 + 9 * 16 * 9 + 16 * 16 * 9 + 16 * 10
    assert en.count(variant, image_size=(5, 9), classes=10).macs == macs


@pytest.mark.parametrize("channels", [1, 4])
def test_channels_change_the_stem_only(channels):
    rgb = en.count("efficientnet-b0")
    other = en.count("efficientnet-b0", channels=channels)
    assert other.params - rgb.params == (channels - 3) * 9 * 32
    assert other.macs - rgb.macs == (channels - 3) * 9 * 32 * 112 * 112
    assert other.non_trainable_params == rgb.non_trainable_params


def test_classes_and_top_change_the_classifier_only():
    full = en.count("efficientnet-b0")
    ten = en.count("efficientnet-b0", classes=10)
    none = en.count("efficientnet-b0", include_top=False)
    assert full.params - ten.params == 990 * (1280 + 1)
    assert full.params - none.params == 1000 * (1280 + 1)
    assert full.macs - none.macs == 1000 * 1280
    assert ten.non_trainable_params == none.non_trainable_params == 42_016


@pytest.mark.parametrize("image_size", [0, -1, (32, 0), (32,), (32, 32, 3)])
def test_image_size_that_is_none_is_refused(image_size):
    with pytest.raises(ValueError, match="image_size="):
        en.count("efficientnet-b0", image_size=image_size)


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


def test_width_rounding_never_goes_below_90_percent():
    for filters in range(1, 2049):
        for width in WIDTHS:
            rounded = expansion_lib.round_filters(filters, width)
            assert rounded % 8 == 0
            assert rounded >= 0.9 * filters * width
            nearest = max(8, 8 * int(filters * width / 8 + 0.5))
            assert rounded in (nearest, nearest + 8)
            assert rounded == nearest or nearest < 0.9 * filters * width


@pytest.mark.parametrize(
    ("filters", "width", "rounded", "nearest"),
    [
        (16, 1.2, 24, 16),  # 19.2: the nearest, 16, is 83% (V2-b3 stops there)
        (32, 1.1, 32, 32),
        (32, 1.2, 40, 40),
        (24, 1.2, 32, 32),
        (80, 1.1, 88, 88),
        (112, 1.2, 136, 136),
        (1280, 4.3, 5504, 5504),
        (3, 1.0, 8, 8),
        (48, 1.1, 56, 56),
        (96, 1.1, 104, 104),
        (10, 1.1, 16, 8),
    ],
)
def test_width_rounding(filters, width, rounded, nearest):
    assert expansion_lib.round_filters(filters, width) == rounded
    assert expansion_lib.round_filters(filters, width, keep_90_percent=False) == nearest


def test_widths_round_to_the_divisor():
    assert expansion_lib.round_filters(30, 1.0, 16) == 32
    assert expansion_lib.round_filters(30, 1.0, 1) == 30
    assert expansion_lib.round_filters(3, 1.0, 16) == 16


@pytest.mark.parametrize(
    ("repeats", "depth", "rounded"),
    [(1, 1.0, 1), (2, 1.1, 3), (4, 3.1, 13), (3, 2.6, 8), (10, 1.1, 11), (5, 0.4, 2)],
)
def test_repeats_round_up_from_the_decimal_written(repeats, depth, rounded):
    assert expansion_lib.round_repeats(repeats, depth) == rounded


def test_v2_b3_rounds_widths_to_the_nearest():
    expansion = en.expand("efficientnetv2-b3")
    assert expansion[0].output_filters == 16  # of 19.2
    kept = dataclasses.replace(
        en.get_variant("efficientnetv2-b3"), keep_90_percent=True
    )
    assert en.expand(kept)[0].output_filters == 24


@pytest.mark.parametrize(
    ("name", "repeats"),
    [
        ("lite1", [1, 3, 3, 4, 4, 5, 1]),
        ("lite2", [1, 3, 3, 4, 4, 5, 1]),
        ("lite3", [1, 3, 3, 5, 5, 6, 1]),
        ("lite4", [1, 4, 4, 6, 6, 8, 1]),
    ],
)
def test_lite_keeps_stem_head_and_the_repeats_of_its_ends(name, repeats):
    expansion = en.expand(f"efficientnet-{name}")
    stages = [block.name[5] for block in expansion]
    assert [stages.count(str(s)) for s in range(1, 8)] == repeats
    assert (expansion.stem_filters, expansion.head_filters) == (32, 1280)
    assert expansion[0].input_filters == 32
    width = en.get_variant(f"efficientnet-{name}").width
    assert expansion[-1].output_filters == {1: 320, 1.1: 352, 1.2: 384, 1.4: 448}[width]
    assert {b.se_filters for b in expansion} == {0}


def test_ends_that_are_not_scaled_stay_though_the_middle_grows():
    strings = [f"r2_k3_s11_e1_i{i}_o{o}" for i, o in ((8, 16), (16, 24), (24, 32))]
    variant = own(*strings, scale_ends=False, head_filters=100)
    variant = dataclasses.replace(variant, width=2.0, depth=1.5)
    expansion = en.expand(variant)
    assert [b.name for b in expansion] == [
        *("block1a", "block1b", "block2a", "block2b", "block2c", "block3a", "block3b"),
    ]
    assert (expansion.stem_filters, expansion.head_filters) == (8, 100)
    assert [b.output_filters for b in expansion] == [32, 32, 48, 48, 48, 64, 64]


@pytest.mark.parametrize(
    ("width", "head"), [(0.35, 1280), (0.5, 1280), (1.0, 1280), (1.4, 1792)]
)
def test_mobilenet_v2_never_shrinks_its_head(width, head):
    variant = expansion_lib.customize("mobilenet-v2", width=width)
    assert en.expand(variant).head_filters == head
    shrinking = dataclasses.replace(variant, head_shrinks=True)
    assert en.expand(shrinking).head_filters == {0.35: 448, 0.5: 640}.get(width, head)


# keras.applications' totals of other widths.
@pytest.mark.parametrize(
    ("name", "width", "params"),
    [
        ("mobilenet-v1", 0.25, 475_544),
        ("mobilenet-v1", 0.5, 1_342_536),
        ("mobilenet-v1", 0.75, 2_601_976),
        ("mobilenet-v2", 0.35, 1_691_208),
        ("mobilenet-v2", 0.5, 1_987_224),
        ("mobilenet-v2", 0.75, 2_663_064),
        ("mobilenet-v2", 1.3, 5_431_048),
        ("mobilenet-v2", 1.4, 6_156_712),
    ],
)
def test_mobilenets_of_other_widths_count_as_published(name, width, params):
    variant = expansion_lib.customize(name, width=width)
    assert en.count(variant).params == params


def test_names_go_on_after_z():
    deep = dataclasses.replace(en.get_variant("efficientnet-b0"), depth=28.0)
    names = [block.name for block in en.expand(deep)[:29]]
    assert names[0] == "block1a"
    assert names[25:] == ["block1z", "block1aa", "block1ab", "block2a"]
    every = [block.name for block in en.expand(deep)]
    assert len(set(every)) == len(every) == 16 * 28


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [
        ("efficientnet-b9", "efficientnet-b8"),
        ("efficientnet_b3", "efficientnet-b3"),
        ("EfficientNetB7", "efficientnet-b7"),
        ("efficientnetb0", "efficientnet-b0"),
        ("efficientnetv2_s", "efficientnetv2-s"),
        ("efficientnet-lite-0", "efficientnet-lite0"),
        ("resnet50", "resnet-50"),
        ("mobilenet_v2", "mobilenet-v2"),
        ("b5", "efficientnet-b5"),
        ("l2", "efficientnet-l2"),
    ],
)
@pytest.mark.parametrize("function", [en.get_variant, en.expand, en.count])
def test_unknown_names_suggest_the_nearest(function, unknown, nearest):
    with pytest.raises(ValueError) as error:
        function(unknown)
    message = str(error.value)
    assert f"{unknown!r}; did you mean {nearest!r}?" in message
    assert all(name in message for name in NAMES)


def test_a_variant_of_ones_own_expands_and_counts():
    variant = dataclasses.replace(own("r2_k3_s22_e2_i8_o16"), dropout=0.0)
    assert en.get_variant(variant) is variant
    first, second = en.expand(variant)
    assert (first.name, first.input_filters, first.output_filters) == ("block1a", 8, 16)
    assert (first.skip, second.skip, second.input_filters) == (False, True, 16)
    assert (first.se_filters, first.expanded_filters) == (0, 16)
    # Stem 3x3x3x8 on 16x16; expand 8x16 there; depthwise and project on 8x8; then the
    # second block, the head 16x1280 and the classifier.
    weights = [216, 8 * 16, 9 * 16, 16 * 16, 16 * 32, 9 * 32, 32 * 16, 16 * 1280]
    pixels = [256, 256, 64, 64, 64, 64, 64, 64]
    macs = sum(w * p for w, p in zip(weights, pixels, strict=True)) + 1280 * 10
    assert en.count(variant, classes=10).macs == macs
    normalised = 8 + 16 + 16 + 16 + 32 + 32 + 16 + 1280
    assert en.count(variant, classes=10).params == (
        sum(weights) + 4 * normalised + 1280 * 10 + 10
    )


# Of one block that takes 8 filters on 16x16 pixels: the block string, then weights of
# each convolution and pixels they see, filters normalised, biases.
COUNTED = {
    "c0": ("r1_k5_s22_e4_i8_o16", [(256, 256), (800, 64), (512, 64)], 80),
    "c1": ("r1_k3_s22_e4_i8_o16_c1", [(2304, 256), (512, 64)], 48),
    "c2": ("r1_k3_s22_e1_i8_o16_c2", [(72, 64), (128, 64)], 24),
    "c3": (
        "r1_k3_s22_e4_i8_o16_c3",
        [(32, 256), (144, 64), (64, 64), (128, 64)],
        4 + 4 + 16 + 16,
    ),
    "c4": (
        "r1_k3_s22_e4_i8_o16_c4",
        [(32, 64), (144, 64), (64, 64), (128, 64)],
        4 + 4 + 16 + 16,
    ),
    "f1": ("r1_k3_s22_e4_i8_o16_f1", [(2304, 64), (512, 64)], 48),
    "f1 without expansion": ("r1_k3_s22_e1_i8_o16_f1", [(1152, 64)], 16),
    "cc": (
        "r1_k3_s22_e4_i8_o16_cc",
        # Three experts each, mixed once an image; the routing.
        [(256, 256), (256, 3), (288, 64), (288, 3), (512, 64), (512, 3), (24, 1)],
        80,
    ),
}


@pytest.mark.parametrize("kind", COUNTED)
def test_every_kind_of_block_counts_as_by_hand(kind):
    string, convolutions, normalised = COUNTED[kind]
    variant = own(string, head_filters=0, experts=3, divisor=4)
    count = en.count(variant, include_top=False)
    assert count.macs == 216 * 256 + sum(w * pixels for w, pixels in convolutions)
    weights = 216 + sum(w for w, _ in convolutions)
    if kind == "cc":
        weights = 216 + 3 * (256 + 288 + 512) + 24 + 3
    assert count.trainable_params == weights + 2 * (8 + normalised)
    assert count.non_trainable_params == 2 * (8 + normalised)


def test_options_of_block_strings_reach_the_blocks():
    kinds = {
        "c0": "mbconv",
        "c1": "edge",
        "c2": "separable",
        "c3": "bottleneck",
        "c4": "bottleneck_v1",
        "f1": "fused",
        "cc": "mbconv",
    }
    strings = [f"r1_k3_s11_e1_i8_o8_{option}" for option in kinds]
    blocks = en.expand(own(*strings, experts=3))
    assert [b.kind for b in blocks] == list(kinds.values())
    assert [b.skip for b in blocks] == [True, True, False, True, True, True, True]
    assert [b.experts for b in blocks] == [0, 0, 0, 0, 0, 0, 3]


def test_noskip_and_activation_reach_the_blocks():
    string = "r2_k3_s11_e1_i8_o8"
    blocks = en.expand(own(string, f"{string}_noskip_a0", f"{string}_a1"))
    assert [block.skip for block in blocks] == [True, True, False, False, True, True]
    assert [b.activation for b in blocks] == ["swish", "swish", "relu", "relu"] + (
        ["swish"] * 2
    )


def test_a_networks_activation_gives_way_to_a_blocks():
    string = "r1_k3_s11_e1_i8_o8"
    expansion = en.expand(own(string, f"{string}_a1", activation="relu6"))
    assert expansion.activation == "relu6"
    assert [b.activation for b in expansion] == ["relu6", "swish"]


@pytest.mark.parametrize(
    ("string", "problem"),
    [
        ("r1_k3_s11_e4_i8_o8_c5", "conv_type: c5 is not c0 to c4"),
        ("r1_k3_s11_e4_i8_o8_f2", "fused_conv: allowed is f1, and only without c"),
        ("r1_k3_s11_e4_i8_o8_c1_f1", "fused_conv: allowed is f1, and only without c"),
        ("r1_k3_s11_e4_i8_o8_d1", "space2depth can be read and written but not built"),
        ("r1_k3_s11_e4_i8_o8_c1_cc", "condconv: cc goes with depthwise blocks alone"),
        ("r1_k3_s11_e4_i8_o8_f1_cc", "condconv: cc goes with depthwise blocks alone"),
        ("r1_k3_s11_e4_i8_o8_cc", "condconv: cc needs a variant with experts"),
        ("r1_k3_s11_e4_i8_o8_c1_se0.25", "se_ratio: c1 blocks have no squeeze-excite"),
        ("r1_k3_s11_e1_i8_o8_c2_se0.25", "se_ratio: c2 blocks have no squeeze-excite"),
        ("r1_k3_s11_e1_i8_o8_c2_noskip", "id_skip: noskip says nothing about c2"),
        ("r1_k3_s11_e4_i8_o8_c4_noskip", "id_skip: noskip says nothing about c4"),
        ("r1_k3_s11_e3_i8_o8_c3", "output_filters: 8 is no multiple of the expansion"),
    ],
)
def test_block_strings_that_cannot_be_built_are_named(string, problem):
    for make in (
        lambda: en.expand(own(string)),
        lambda: en.count(own(string)),
        lambda: expansion_lib.customize("efficientnet-b0", blocks=[string]),
    ):
        with pytest.raises(ValueError) as error:
            make()
        assert str(error.value).startswith(f"block string {string!r}: {problem}")


def test_separable_blocks_expand_nothing():
    string = "r1_k3_s11_e6_i8_o8_c2"
    with pytest.raises(ValueError, match=f"block string '{string}': expand_ratio"):
        en.expand(own(string))


def test_block_strings_that_do_not_fit_together_are_named():
    strings = ["r1_k3_s11_e1_i8_o16", "r1_k3_s11_e1_i24_o32"]
    with pytest.raises(ValueError) as error:
        en.expand(own(*strings))
    assert str(error.value) == (
        "block string 'r1_k3_s11_e1_i24_o32': input_filters: takes 24, but the block "
        "string before it gives 16"
    )


def test_customize_replaces_what_is_given_and_keeps_the_rest():
    b2 = en.get_variant("efficientnet-b2")
    assert expansion_lib.customize("efficientnet-b2") == b2
    assert expansion_lib.customize(b2, width=0.5) == dataclasses.replace(b2, width=0.5)
    assert expansion_lib.customize(b2, depth=2) == dataclasses.replace(b2, depth=2)
    assert expansion_lib.customize(b2, activation="relu") == (
        dataclasses.replace(b2, activation="relu")
    )


def test_customize_starts_with_the_filters_of_the_first_block_string():
    strings = ["r1_k3_s11_e1_i16_o24", "r2_k3_s22_e4_i24_o40_se0.25"]
    variant = expansion_lib.customize("efficientnet-b0", blocks=iter(strings))
    assert variant.blocks == tuple(strings)
    assert variant.stem_filters == 16
    assert (variant.resolution, variant.head_filters) == (224, 1280)
    assert [b.name for b in en.expand(variant)] == ["block1a", "block2a", "block2b"]


def test_customize_takes_conditional_blocks_where_there_are_experts():
    string = "r1_k3_s11_e1_i16_o24_cc"
    variant = expansion_lib.customize("efficientnet-condconv-b0-8e", blocks=[string])
    assert en.expand(variant)[0].experts == 8


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"width": 0}, "width=0: allowed is more than 0"),
        ({"width": -1.0}, "width=-1.0: allowed is more than 0"),
        ({"width": float("nan")}, "width=nan: allowed is more than 0"),
        ({"depth": 0.0}, "depth=0.0: allowed is more than 0"),
        ({"blocks": []}, "blocks=[]: allowed is one block string or more"),
        (
            {"blocks": "r1_k3_s11_e1_i8_o8"},
            "blocks='r1_k3_s11_e1_i8_o8': allowed is a list of block strings",
        ),
        ({"blocks": ["r1_k3_s11_e1_i8"]}, "block string 'r1_k3_s11_e1_i8': option 'o'"),
    ],
)
def test_customize_names_what_is_wrong(kwargs, message):
    with pytest.raises(ValueError) as error:
        expansion_lib.customize("efficientnet-b0", **kwargs)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("name", ["width", "depth"])
def test_customize_refuses_infinite_coefficients(name):
    with pytest.raises(ValueError, match=f"{name}=inf"):
        expansion_lib.customize("efficientnet-b0", **{name: float("inf")})


def test_a_network_without_blocks_is_refused():
    with pytest.raises(ValueError, match=r"blocks=\[\]: allowed is one block string"):
        en.expand(own())


def test_a_first_block_that_strides_leaves_the_stem_as_a_reduction():
    variant = expansion_lib.customize(
        "efficientnet-b0", blocks=["r1_k3_s22_e1_i8_o8", "r2_k3_s22_e2_i8_o16"]
    )
    assert expansion_lib.expand(variant).reductions() == {
        "reduction_1": "stem",
        "reduction_2": "block1a",
        "reduction_3": "block2b",
    }


def test_sizes_may_be_numpys():
    assert en.count("efficientnet-b0", image_size=np.int64(224)) == en.count(
        "efficientnet-b0", image_size=(224, 224)
    )
