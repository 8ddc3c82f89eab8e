import pytest
from variants_support import NAMES, OTHERS, TABLE, V1_NAMES, own

import efficientnet_tf as en

# Ours alone: another size of L2, the baselines, and the one for tests.
NOT_OF_THE_REFERENCE = {
    *("efficientnet-l2-475", "mobilenet-v1", "mobilenet-v2", "efficientnet-test"),
    *("resnet-50", "resnet-152", "resnet-50-v1", "resnet-152-v1"),
}


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
