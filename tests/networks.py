"""Small networks: the least there is, and one with every kind of block."""

from efficientnet_tf import variants

# For what depends on no block: to trace one takes seconds.
ONE = "r1_k3_s22_e4_i8_o16_se0.25"
# One MBConv that strides and one that is skipped at times.
TINY = "r2_k3_s22_e4_i8_o16_se0.25"
# The same without expansions, which take a third of the tracing.
PLAIN = "r2_k3_s22_e1_i8_o8_se0.25"
# Three strides, so that 8 pixels end in a feature map of one place.
STRIDED = "r1_k3_s22_e1_i8_o8_se0.25,r1_k3_s22_e1_i8_o16_se0.25"
# Every kind of block in one network.
KINDS = (
    "r2_k3_s11_e1_i8_o8_se0.25",
    "r2_k5_s22_e4_i8_o16_se0.25_a0",
    "r2_k3_s22_e4_i16_o16_c1",
    "r2_k3_s11_e1_i16_o24_c2",
    "r2_k3_s22_e4_i24_o32_c3",
    "r2_k3_s11_e4_i32_o64_c4",
    "r1_k3_s11_e1_i64_o32_f1",
    "r2_k3_s22_e2_i32_o24_f1_se0.5",
    "r2_k3_s11_e2_i24_o24_se0.25_cc_noskip",
)
# The first of each kind, which alone may stride, for what depends on no skipped block.
FIRSTS = tuple(block.replace("r2_", "r1_") for block in KINDS)


def own(*blocks, **kwargs):
    """A small network of block strings, 3 experts where they ask for them."""
    chosen = {"stem_filters": 8, "head_filters": 32, "experts": 3, **kwargs}
    return variants.Variant("own", 1.0, 1.0, 32, 0.2, blocks=blocks, **chosen)
