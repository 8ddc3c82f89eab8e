"""Block-argument strings, the notation every EfficientNet is written in.

`r2_k5_s22_e6_i24_o40_se0.25` reads: 2 repeats of a 5x5 kernel, stride 2x2, expansion 6,
24 filters in, 40 out, squeeze-excite ratio 0.25. Notation of `BlockDecoder` in
tensorflow/tpu, models/official/efficientnet/efficientnet_builder.py.
"""

import dataclasses
import decimal
import re
from typing import Any

ACTIVATIONS = ("relu", "swish")  # a0, a1
_MOST_FILTERS = 100_000


@dataclasses.dataclass(frozen=True)
class BlockArgs:
    """One stage of the network, before scaling: `repeats` blocks of one kind.

    Raises:
        ValueError: if a value cannot be written in the notation.
    """

    kernel_size: int
    repeats: int
    input_filters: int
    output_filters: int
    expand_ratio: int
    strides: tuple[int, int]
    se_ratio: float | None = None  # share of the input filters; None: no squeeze-excite
    id_skip: bool = True
    conv_type: int = 0  # index of expansion.KINDS; 0: depthwise
    fused_conv: int = 0  # 1: expansion and depthwise fused into one convolution
    space2depth: int = 0
    condconv: bool = False
    activation: str | None = None  # None: the network's own

    def __post_init__(self) -> None:
        for option in _OPTIONS:
            problem = option.problem(getattr(self, option.field))
            if problem:
                raise ValueError(f"block {option.field}: {problem}")


@dataclasses.dataclass(frozen=True)
class _Option:
    """The notation of one field: `key` and a value, or a bare `key` for a flag."""

    key: str
    field: str
    kind: str = "int"  # int, pair, ratio, activation, set, unset
    minimum: int = 1
    maximum: int = 9
    required: bool = False

    @property
    def is_flag(self) -> bool:
        return self.kind in ("set", "unset")

    @property
    def allowed(self) -> str:
        """Describes what may follow the key, for error messages."""
        return {
            "int": f"a whole number of at least {self.minimum}, at most {self.maximum}",
            "pair": "two digits from 1 to 9, rows then columns",
            "ratio": "a number above 0 and at most 1",
            "activation": "0 (relu) or 1 (swish)",
        }.get(self.kind, "nothing")

    def parse(self, text: str) -> Any:
        """The field's value; raises ValueError on anything the kind does not allow."""
        value: Any = None
        if self.is_flag:
            value = self.kind == "set" if text == "" else None
        elif self.kind == "ratio":
            value = float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else None
        elif not re.fullmatch(r"[0-9]{1,9}", text):
            pass
        elif self.kind == "pair":
            value = tuple(int(digit) for digit in text)
        elif self.kind == "activation":
            value = ACTIVATIONS[int(text)] if text in ("0", "1") else None
        else:
            value = int(text)
        if value is None or self.problem(value):
            raise ValueError(self.allowed)
        return value

    def format(self, value: Any) -> str:
        """Returns the option as it stands in a string, with its key."""
        if self.is_flag:
            return self.key
        if self.kind == "pair":
            return f"{self.key}{value[0]}{value[1]}"
        if self.kind == "activation":
            return f"{self.key}{ACTIVATIONS.index(value)}"
        if self.kind == "ratio":
            # As a decimal, because repr may give an exponent.
            plain = format(decimal.Decimal(repr(float(value))), "f")
            return self.key + plain.removesuffix(".0")
        return f"{self.key}{value}"

    def problem(self, value: Any) -> str | None:
        """Says what is wrong with a field's value, or None."""
        if value is None and self.kind in ("ratio", "activation"):
            return None
        valid = {
            "int": lambda: type(value) is int and self.minimum <= value <= self.maximum,
            "pair": lambda: isinstance(value, tuple) and _is_pair_of_digits(value),
            "ratio": lambda: type(value) in (int, float) and 0 < value <= 1,
            "activation": lambda: value in ACTIVATIONS,
        }.get(self.kind, lambda: isinstance(value, bool))()
        return None if valid else f"{value!r} is not {self.allowed}"


def _is_pair_of_digits(value: tuple) -> bool:
    return len(value) == 2 and all(
        type(digit) is int and 1 <= digit <= 9 for digit in value
    )


# In the order in which the original writes them.
_OPTIONS = (
    _Option("r", "repeats", maximum=1000, required=True),
    _Option("k", "kernel_size", maximum=99, required=True),
    _Option("s", "strides", "pair", required=True),
    _Option("e", "expand_ratio", maximum=1000, required=True),
    _Option("i", "input_filters", maximum=_MOST_FILTERS, required=True),
    _Option("o", "output_filters", maximum=_MOST_FILTERS, required=True),
    _Option("c", "conv_type", minimum=0),
    _Option("f", "fused_conv", minimum=0),
    _Option("d", "space2depth", minimum=0),
    _Option("se", "se_ratio", "ratio"),
    _Option("noskip", "id_skip", "unset"),
    _Option("cc", "condconv", "set"),
    _Option("a", "activation", "activation"),
)
_BY_KEY = {option.key: option for option in _OPTIONS}
_DEFAULTS = {f.name: f.default for f in dataclasses.fields(BlockArgs)}


def decode_block(string: str) -> BlockArgs:
    """Reads one block-argument string.

    Args:
        string: options joined by `_`, in any order: r k s e i o, and optionally
            c f d se noskip cc a.

    Returns:
        The block's arguments; `encode_block` is the exact inverse.

    Raises:
        ValueError: naming the string, the option and its position (from 0).
    """
    values = {}
    position = 0
    for token in string.split("_"):
        key = re.split(r"\d", token, maxsplit=1)[0]
        text = token.removeprefix(key)
        where = f"block string {string!r}: option {token!r} at position {position}"
        option = _BY_KEY.get(key)
        if option is None:
            raise ValueError(f"{where} is unknown; known are {', '.join(_BY_KEY)}")
        if option.field in values:
            raise ValueError(f"{where} gives {key!r} a second time")
        try:
            values[option.field] = option.parse(text)
        except ValueError as error:
            raise ValueError(f"{where}: {key!r} takes {error}") from None
        position += len(token) + 1
    for option in _OPTIONS:
        if option.required and option.field not in values:
            raise ValueError(
                f"block string {string!r}: option {option.key!r} ({option.field}) is "
                f"missing at position {len(string)}; it takes {option.allowed}"
            )
    return BlockArgs(**values)


def encode_block(args: BlockArgs) -> str:
    """Writes a block's arguments as the shortest string that decodes to them."""
    return "_".join(
        option.format(getattr(args, option.field))
        for option in _OPTIONS
        if option.required or getattr(args, option.field) != _DEFAULTS[option.field]
    )
