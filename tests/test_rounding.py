"""Rounding of filters and repeats, and names."""

import dataclasses
import re

import pytest
from variants_support import NAMES, own

import efficientnet_tf as en
from efficientnet_tf import expansion as expansion_lib

WIDTHS = [0.35, 0.5, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 4.3]


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
    hint = re.search(f"{re.escape(repr(unknown))}; did you mean (.*)\\? Known", message)
    assert hint[1].split(" or ")[0] == nearest
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
