"""Networks of one's own: block strings and counts by hand."""

import dataclasses

import numpy as np
import pytest
from variants_support import own

import efficientnet_tf as en
from efficientnet_tf import expansion as expansion_lib

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
        ("r1_k3_s11_e1_i8_o8_c2_noskip", "id_skip: noskip has no effect on c2"),
        ("r1_k3_s11_e4_i8_o8_c4_noskip", "id_skip: noskip has no effect on c4"),
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
