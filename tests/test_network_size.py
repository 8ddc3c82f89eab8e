"""Networks that no machine has room for, found by arithmetic."""

import time

import pytest
from variants_support import NAMES, own

import efficientnet_tf as en
from efficientnet_tf import counting, expansion

B0_BODY = 5_330_564 - 1281 * 1000  # parameters without the classifier's


@pytest.mark.parametrize("name", NAMES)
def test_no_network_of_the_tables_is_too_large(name):
    size = en.get_variant(name).resolution
    assert counting.too_large(name, image_size=size, classes=30_000) is None


@pytest.mark.parametrize(
    ("variant", "size", "where", "values"),
    [
        ("efficientnet-b0", 224, "block2a", 112 * 112 * 16 * 6),
        ("efficientnet-b0", (100, 51), "block2a", 50 * 26 * 16 * 6),
        ("mobilenet-v1", 224, "block1a", 112 * 112 * 64),
        ("resnet-50", 224, "stem", 112 * 112 * 64),
        # An edge block expands before it strides, a fused one strides first.
        (own("r1_k3_s22_e8_i8_o8_c1", head_filters=0), 32, "block1a", 16 * 16 * 64),
        (own("r1_k3_s22_e8_i8_o8_f1", head_filters=0), 32, "block1a", 8 * 8 * 64),
        (own("r1_k3_s22_e4_i8_o64_c3", head_filters=0), 32, "block1a", 16 * 16 * 16),
        (own("r1_k3_s22_e1_i8_o64_c4", head_filters=0), 32, "block1a", 8 * 8 * 64),
        (own("r1_k3_s99_e1_i8_o8", head_filters=9999), 9, "top", 10_000),
    ],
)
def test_the_largest_map_is_found(variant, size, where, values):
    assert counting.largest_map(variant, image_size=size) == (where, values)


def test_a_map_has_as_many_values_as_32_bits_number():
    # 96 * 4729**2 < 2**31 <= 96 * 4730**2
    def found(size):
        return counting.too_large("efficientnet-b0", image_size=size, classes=10)

    assert found(2 * 4729) is None
    cause, words = found(2 * 4729 + 1)
    assert cause == "image_size"
    assert words.startswith(f"makes a feature map of {96 * 4730**2} values in block2a")


def test_classes_or_network_are_named_for_too_many_parameters():
    most = (counting.MOST_PARAMS - B0_BODY) // 1281
    sizes = {"image_size": 224}
    assert counting.too_large("efficientnet-b0", classes=most, **sizes) is None
    cause, words = counting.too_large("efficientnet-b0", classes=most + 1, **sizes)
    assert (cause, words.split()[1]) == ("classes", str(B0_BODY + 1281 * (most + 1)))
    wide = expansion.customize("efficientnet-l2", width=30)
    assert counting.too_large(wide, classes=0, **sizes)[0] == "network"


def test_a_network_has_a_thousand_blocks_at_most():
    block = "r{}_k3_s11_e1_i8_o8"
    assert len(en.expand(own(block.format(1000)))) == 1000
    with pytest.raises(ValueError, match="own: 1001 blocks; allowed are 1000"):
        en.expand(own(block.format(1000), block.format(1)))


@pytest.mark.parametrize("value", [100.5, 1e9, 1e308, "2"])
@pytest.mark.parametrize("name", ["width", "depth"])
def test_coefficients_have_an_upper_limit(name, value):
    variant = own("r1_k3_s11_e1_i8_o8", stem_filters=8)
    with pytest.raises(ValueError) as error:
        expansion.customize(variant, **{name: value})
    assert str(error.value) == f"{name}={value}: allowed is more than 0, at most 100"


def test_to_refuse_takes_no_time():
    begin = time.process_time()
    for depth in (62.5, 100):  # 1,000 blocks and more
        try:
            variant = expansion.customize("efficientnet-b0", depth=depth)
            counting.too_large(variant, image_size=8192, classes=1000)
        except ValueError:
            pass
    assert time.process_time() - begin < 1
