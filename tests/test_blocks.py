import random

import pytest

from efficientnet_tf import blocks

PLAIN = "r1_k3_s11_e1_i32_o16"
B0 = (
    "r1_k3_s11_e1_i32_o16_se0.25",
    "r2_k3_s22_e6_i16_o24_se0.25",
    "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25",
    "r3_k5_s11_e6_i80_o112_se0.25",
    "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
)
EDGETPU = (
    "r1_k3_s11_e4_i24_o24_c1_noskip",
    "r2_k3_s22_e8_i24_o32_c1",
    "r4_k3_s22_e8_i32_o48_c1",
    "r5_k5_s22_e8_i48_o96",
    "r4_k5_s11_e8_i96_o144",
    "r2_k5_s22_e8_i144_o192",
)


def _args(**changed) -> blocks.BlockArgs:
    """PLAIN's arguments with some changed."""
    plain = {
        "kernel_size": 3,
        "repeats": 1,
        "input_filters": 32,
        "output_filters": 16,
        "expand_ratio": 1,
        "strides": (1, 1),
    }
    return blocks.BlockArgs(**(plain | changed))


def _random_args(rng: random.Random) -> blocks.BlockArgs:
    return blocks.BlockArgs(
        kernel_size=rng.randint(1, 15),
        repeats=rng.randint(1, 120),
        input_filters=rng.randint(1, 5000),
        output_filters=rng.randint(1, 5000),
        expand_ratio=rng.randint(1, 12),
        strides=(rng.randint(1, 9), rng.randint(1, 9)),
        se_ratio=rng.choice([None, 0.25, 1.0, 1 - rng.random(), rng.random() * 1e-7]),
        id_skip=rng.random() < 0.5,
        conv_type=rng.randint(0, 3),
        fused_conv=rng.randint(0, 2),
        space2depth=rng.randint(0, 2),
        condconv=rng.random() < 0.5,
        activation=rng.choice([None, "relu", "swish"]),
    )


def _swept() -> list[blocks.BlockArgs]:
    rng = random.Random(0)
    return [_random_args(rng) for _ in range(500)]


def test_a_full_string_decodes_to_every_field():
    args = blocks.decode_block(
        "r2_k5_s12_e6_i24_o40_c1_f2_d3_se0.25_noskip_cc_a0",
    )
    assert args == blocks.BlockArgs(
        kernel_size=5,
        repeats=2,
        input_filters=24,
        output_filters=40,
        expand_ratio=6,
        strides=(1, 2),
        se_ratio=0.25,
        id_skip=False,
        conv_type=1,
        fused_conv=2,
        space2depth=3,
        condconv=True,
        activation="relu",
    )


def test_options_left_out_take_the_original_defaults():
    args = blocks.decode_block(PLAIN)
    assert (args.se_ratio, args.id_skip, args.activation) == (None, True, None)
    assert (args.conv_type, args.fused_conv, args.space2depth) == (0, 0, 0)
    assert args.condconv is False


@pytest.mark.parametrize("string", [*B0, *EDGETPU])
def test_reference_strings_survive_decode_and_encode(string):
    assert blocks.encode_block(blocks.decode_block(string)) == string


@pytest.mark.parametrize(
    ("string", "changed"),
    [
        (PLAIN, {}),
        (PLAIN.replace("r1", "r12"), {"repeats": 12}),
        (PLAIN.replace("k3", "k7"), {"kernel_size": 7}),
        (PLAIN.replace("s11", "s12"), {"strides": (1, 2)}),
        (PLAIN.replace("s11", "s91"), {"strides": (9, 1)}),
        (PLAIN.replace("e1", "e6"), {"expand_ratio": 6}),
        (PLAIN.replace("i32", "i1"), {"input_filters": 1}),
        (PLAIN.replace("o16", "o1280"), {"output_filters": 1280}),
        (PLAIN + "_c1", {"conv_type": 1}),
        (PLAIN + "_f1", {"fused_conv": 1}),
        (PLAIN + "_d2", {"space2depth": 2}),
        (PLAIN + "_se0.25", {"se_ratio": 0.25}),
        (PLAIN + "_se0.0625", {"se_ratio": 0.0625}),
        (PLAIN + "_se1", {"se_ratio": 1.0}),
        (PLAIN + "_noskip", {"id_skip": False}),
        (PLAIN + "_cc", {"condconv": True}),
        (PLAIN + "_a0", {"activation": "relu"}),
        (PLAIN + "_a1", {"activation": "swish"}),
    ],
)
def test_each_option_is_read_and_written(string, changed):
    assert blocks.decode_block(string) == _args(**changed)
    assert blocks.encode_block(_args(**changed)) == string


def test_random_arguments_survive_encode_and_decode():
    for args in _swept():
        assert blocks.decode_block(blocks.encode_block(args)) == args


def test_the_order_of_options_does_not_matter():
    rng = random.Random(1)
    for args in _swept():
        options = blocks.encode_block(args).split("_")
        rng.shuffle(options)
        assert blocks.decode_block("_".join(options)) == args


def test_no_option_can_be_left_out_of_an_encoded_string():
    for args in _swept():
        options = blocks.encode_block(args).split("_")
        for index in range(len(options)):
            shorter = "_".join(options[:index] + options[index + 1 :])
            try:
                assert blocks.decode_block(shorter) != args
            except ValueError as error:
                assert "missing" in str(error)


@pytest.mark.parametrize(
    ("longer", "canonical"),
    [
        (PLAIN + "_c0_f0_d0", PLAIN),
        ("o16_i32_e1_s11_k3_r1", PLAIN),
        (PLAIN.replace("r1", "r001"), PLAIN),
        (PLAIN + "_se0.250", PLAIN + "_se0.25"),
        (PLAIN + "_se1.0", PLAIN + "_se1"),
        (PLAIN + "_se0.000010", PLAIN + "_se0.00001"),
    ],
)
def test_equal_arguments_have_one_shortest_string(longer, canonical):
    assert blocks.encode_block(blocks.decode_block(longer)) == canonical
    assert blocks.encode_block(blocks.decode_block(canonical)) == canonical


@pytest.mark.parametrize(
    ("string", "option", "position"),
    [
        ("", "", 0),
        (PLAIN + "_", "", 21),
        ("_" + PLAIN, "", 0),
        (PLAIN.replace("_k3", "__k3"), "", 3),
        ("R1" + PLAIN[2:], "R1", 0),
        (" " + PLAIN, " r1", 0),
        (PLAIN + "\n", "o16\n", 17),
        (PLAIN + "_zz3", "zz3", 21),
        (PLAIN + "_skip", "skip", 21),
        (PLAIN + "_c-1", "c-1", 21),
        ("3_" + PLAIN, "3", 0),
        (PLAIN.replace("r1", "r0"), "r0", 0),
        (PLAIN.replace("r1", "r"), "r", 0),
        (PLAIN.replace("k3", "k0"), "k0", 3),
        (PLAIN.replace("k3", "k3x3"), "k3x3", 3),
        (PLAIN.replace("s11", "s1"), "s1", 6),
        (PLAIN.replace("s11", "s10"), "s10", 6),
        (PLAIN.replace("s11", "s111"), "s111", 6),
        (PLAIN.replace("e1", "e0"), "e0", 10),
        (PLAIN.replace("i32", "i3.5"), "i3.5", 13),
        (PLAIN.replace("o16", "o0"), "o0", 17),
        (PLAIN + "_c", "c", 21),
        (PLAIN + "_f1.0", "f1.0", 21),
        (PLAIN + "_d2d", "d2d", 21),
        (PLAIN + "_se", "se", 21),
        (PLAIN + "_se0", "se0", 21),
        (PLAIN + "_se1.5", "se1.5", 21),
        (PLAIN + "_se1e999", "se1e999", 21),
        (PLAIN + "_se0.25x", "se0.25x", 21),
        (PLAIN + "_se0.25_noskip1", "noskip1", 28),
        (PLAIN + "_cc4", "cc4", 21),
        (PLAIN + "_a2", "a2", 21),
        (PLAIN + "_a", "a", 21),
        (PLAIN + "_r2", "r2", 21),
        (PLAIN + "_cc_cc", "cc", 24),
        (PLAIN + "_noskip_se0.25_noskip", "noskip", 35),
    ],
)
def test_errors_name_string_option_and_position(string, option, position):
    with pytest.raises(ValueError) as error:
        blocks.decode_block(string)
    assert f"block string {string!r}: option {option!r} at position {position}" in str(
        error.value
    )


@pytest.mark.parametrize(
    ("option", "field"),
    [
        ("r1", "repeats"),
        ("k3", "kernel_size"),
        ("s11", "strides"),
        ("e1", "expand_ratio"),
        ("i32", "input_filters"),
        ("o16", "output_filters"),
    ],
)
def test_a_missing_option_is_named_with_the_place_it_should_stand(option, field):
    string = "_".join(token for token in PLAIN.split("_") if token != option)
    with pytest.raises(ValueError) as error:
        blocks.decode_block(string)
    assert (
        f"block string {string!r}: option {option[0]!r} ({field}) is missing at "
        f"position {len(string)}" in str(error.value)
    )


@pytest.mark.parametrize(
    ("string", "allowed"),
    [
        (PLAIN.replace("k3", "k0"), "a whole number of at least 1"),
        (PLAIN + "_c", "a whole number of at least 0"),
        (PLAIN.replace("s11", "s1"), "two digits from 1 to 9"),
        (PLAIN + "_se2", "above 0 and at most 1"),
        (PLAIN + "_a2", "0 (relu) or 1 (swish)"),
        (PLAIN + "_cc1", "nothing"),
        (PLAIN + "_zz", "known are r, k, s, e, i, o, c, f, d, se, noskip, cc, a"),
        (PLAIN + "_k3", "a second time"),
    ],
)
def test_errors_say_what_is_allowed(string, allowed):
    with pytest.raises(ValueError) as error:
        blocks.decode_block(string)
    assert allowed in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kernel_size", 0),
        ("kernel_size", 3.0),
        ("kernel_size", True),
        ("repeats", -1),
        ("repeats", "2"),
        ("strides", (1,)),
        ("strides", [1, 1]),
        ("strides", (0, 1)),
        ("strides", (1, 10)),
        ("strides", (1.0, 1.0)),
        ("strides", (True, 1)),
        ("se_ratio", 0),
        ("se_ratio", 1.01),
        ("se_ratio", float("nan")),
        ("se_ratio", True),
        ("se_ratio", "0.25"),
        ("conv_type", -1),
        ("conv_type", None),
        ("id_skip", 1),
        ("condconv", None),
        ("activation", "gelu"),
    ],
)
def test_values_that_no_string_can_hold_are_refused(field, value):
    with pytest.raises(ValueError, match=rf"block {field}: .* is not "):
        _args(**{field: value})
