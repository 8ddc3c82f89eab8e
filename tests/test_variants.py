import dataclasses

import pytest

import efficientnet_tf as en
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
NAMES = [f"efficientnet-{row[0]}" for row in TABLE]
WIDTHS = [0.35, 0.5, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 4.3]


def test_every_variant_is_listed_in_order_of_size():
    assert en.list_variants() == NAMES


@pytest.mark.parametrize("row", TABLE, ids=NAMES)
def test_coefficients_are_the_reference(row):
    name, width, depth, resolution, dropout, *_ = row
    variant = en.get_variant(f"efficientnet-{name}")
    assert variant.name == f"efficientnet-{name}"
    assert (variant.width, variant.depth) == (width, depth)
    assert (variant.resolution, variant.dropout) == (resolution, dropout)
    assert variant.survival_prob == 0.8


@pytest.mark.parametrize("row", TABLE, ids=NAMES)
def test_blocks_and_head_are_the_reference(row):
    expansion = en.expand(f"efficientnet-{row[0]}")
    assert len(expansion) == row[5]
    assert expansion.head_filters == row[6]


@pytest.mark.parametrize("row", TABLE, ids=NAMES)
def test_counts_are_the_reference(row):
    count = en.count(f"efficientnet-{row[0]}")
    params, trainable, gmacs = row[7:]
    assert (count.params, count.trainable_params) == (params, trainable)
    assert count.non_trainable_params == params - trainable
    decimals = len(gmacs.split(".")[1])
    assert f"{count.macs / 1e9:.{decimals}f}" == gmacs


def test_image_size_changes_the_macs_of_convolutions_only():
    small, large = (en.count("efficientnet-b0", image_size=s) for s in (224, 448))
    assert small.params == large.params == 5_330_564
    squeeze = sum(
        2 * block.expanded_filters * block.se_filters
        for block in en.expand("efficientnet-b0")
    )
    fixed = squeeze + 1000 * 1280
    assert large.macs - fixed == 4 * (small.macs - fixed)


def test_classes_and_top_change_the_classifier_only():
    full = en.count("efficientnet-b0")
    ten = en.count("efficientnet-b0", classes=10)
    none = en.count("efficientnet-b0", include_top=False)
    assert full.params - ten.params == 990 * (1280 + 1)
    assert full.params - none.params == 1000 * (1280 + 1)
    assert full.macs - none.macs == 1000 * 1280
    assert ten.non_trainable_params == none.non_trainable_params == 42_016


def test_image_size_below_one_is_refused():
    with pytest.raises(ValueError, match="image_size=0"):
        en.count("efficientnet-b0", image_size=0)


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


@pytest.mark.parametrize("name", NAMES)
def test_drop_rates_rise_over_the_blocks_counted_after_scaling(name):
    rates = [block.drop_rate for block in en.expand(name)]
    total = {f"efficientnet-{row[0]}": row[5] for row in TABLE}[name]
    assert rates == pytest.approx([0.2 * i / total for i in range(total)], abs=1e-15)


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
            rounded = variants.round_filters(filters, width)
            assert rounded % 8 == 0
            assert rounded >= 0.9 * filters * width
            nearest = max(8, 8 * int(filters * width / 8 + 0.5))
            assert rounded in (nearest, nearest + 8)
            assert rounded == nearest or nearest < 0.9 * filters * width


@pytest.mark.parametrize(
    ("filters", "width", "rounded"),
    [
        (16, 1.2, 24),  # 19.2: the nearest, 16, is 83% (automl's b3 stops there)
        (32, 1.1, 32),
        (32, 1.2, 40),
        (24, 1.2, 32),
        (80, 1.1, 88),
        (112, 1.2, 136),
        (1280, 4.3, 5504),
        (3, 1.0, 8),
    ],
)
def test_width_rounding(filters, width, rounded):
    assert variants.round_filters(filters, width) == rounded


@pytest.mark.parametrize(
    ("repeats", "depth", "rounded"),
    [(1, 1.0, 1), (2, 1.1, 3), (4, 3.1, 13), (3, 2.6, 8), (10, 1.1, 11), (5, 0.4, 2)],
)
def test_repeats_round_up_from_the_decimal_written(repeats, depth, rounded):
    assert variants.round_repeats(repeats, depth) == rounded


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
    own = variants.Variant(
        "own", 1.0, 1.0, 32, 0.0, blocks=("r2_k3_s22_e2_i8_o16",), stem_filters=8
    )
    assert en.get_variant(own) is own
    first, second = en.expand(own)
    assert (first.name, first.input_filters, first.output_filters) == ("block1a", 8, 16)
    assert (first.skip, second.skip, second.input_filters) == (False, True, 16)
    assert (first.se_filters, first.expanded_filters) == (0, 16)
    # Stem 3x3x3x8 on 16x16; expand 8x16 there; depthwise and project on 8x8; then the
    # second block, the head 16x1280 and the classifier.
    weights = [216, 8 * 16, 9 * 16, 16 * 16, 16 * 32, 9 * 32, 32 * 16, 16 * 1280]
    pixels = [256, 256, 64, 64, 64, 64, 64, 64]
    macs = sum(w * p for w, p in zip(weights, pixels, strict=True)) + 1280 * 10
    assert en.count(own, classes=10).macs == macs
    normalised = 8 + 16 + 16 + 16 + 32 + 32 + 16 + 1280
    assert en.count(own, classes=10).params == (
        sum(weights) + 4 * normalised + 1280 * 10 + 10
    )


@pytest.mark.parametrize(
    ("option", "field"),
    [
        ("c1", "conv_type"),
        ("f1", "fused_conv"),
        ("d1", "space2depth"),
        ("cc", "condconv"),
    ],
)
def test_options_that_cannot_be_built_yet_are_refused(option, field):
    string = f"r1_k3_s11_e4_i24_o24_{option}"
    variant = variants.Variant("own", 1.0, 1.0, 224, 0.2, blocks=(string,))
    with pytest.raises(ValueError) as error:
        en.expand(variant)
    assert f"block string {string!r}: {field}" in str(error.value)


def test_noskip_and_activation_reach_the_blocks():
    string = "r2_k3_s11_e1_i8_o8"
    variant = variants.Variant(
        "own", 1.0, 1.0, 32, 0.2, blocks=(string, f"{string}_noskip_a0")
    )
    blocks = en.expand(variant)
    assert [block.skip for block in blocks] == [True, True, False, False]
    assert [b.activation for b in blocks] == ["swish", "swish", "relu", "relu"]
