"""The families of networks as tables; `expansion.py` makes networks of the rows.

`blocks.py` explains block strings; `expansion.KINDS` says what `c` and `f` build.
"""

import dataclasses
from typing import Any

from efficientnet_tf import model_names
from efficientnet_tf.spelling import did_you_mean


@dataclasses.dataclass(frozen=True)
class Pixels:
    """The normalisation of pixels: (x - mean) / stddev, in units of [0, 255], RGB."""

    mean: tuple[float, float, float]
    stddev: tuple[float, float, float]
    resize: str = "bicubic"  # or bilinear


# ImageNet's statistics; tensorflow/tpu efficientnet_builder.py.
IMAGENET_PIXELS = Pixels((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
# tensorflow/tpu: MEAN_RGB of lite/, edgetpu/ (both bilinear) and condconv/.
_LITE_PIXELS = Pixels((127.0,) * 3, (128.0,) * 3, "bilinear")
_CONDCONV_PIXELS = Pixels((127.0,) * 3, (128.0,) * 3)
_V2_PIXELS = Pixels((128.0,) * 3, (128.0,) * 3)  # keras.applications efficientnet_v2.py
MOBILENET_PIXELS = Pixels((127.5,) * 3, (127.5,) * 3)  # "tf" mode of keras
CAFFE_PIXELS = Pixels((123.68, 116.779, 103.939), (1.0,) * 3)  # "caffe" mode, as RGB


@dataclasses.dataclass(frozen=True)
class Variant:
    """A network before scaling, and its scaling."""

    name: str
    width: float  # multiplies every filter count
    depth: float  # multiplies every repeat count
    resolution: int  # input height and width in pixels
    dropout: float  # before the classifier
    blocks: tuple[str, ...]
    stem_filters: int = 32
    stem_kernel: int = 3
    stem_pool: bool = False  # a 3x3 max pooling of stride 2 behind the stem
    head_filters: int = 1280  # 0: no convolution between blocks and pooling
    head_shrinks: bool = True  # whether a width below 1 scales the head
    scale_ends: bool = True  # stem, head, repeats of first and last stage; not Lite
    survival_prob: float = 0.8  # the last block's, in stochastic depth (section 5.2)
    activation: str = "swish"
    experts: int = 0  # kernels that a `cc` block mixes
    divisor: int = 8
    keep_90_percent: bool = True  # rounding removes a tenth of the filters at most
    # Distribution of initial kernels, of variance 2 / (kernel area * output filters).
    distribution: str = "untruncated_normal"  # or uniform, which is faster to draw
    padding: str = "same"  # or symmetric, as PyTorch pads: both sides alike
    batch_norm_momentum: float = 0.99
    batch_norm_epsilon: float = 1e-3
    pixels: Pixels = IMAGENET_PIXELS


def _rows(prefix: str, table: dict[str, tuple], **common: Any) -> list[Variant]:
    """Makes the variants of one family: name -> (width, depth, resolution, dropout)."""
    return [Variant(f"{prefix}{name}", *row, **common) for name, row in table.items()]


# Paper table 1; the squeeze-excite ratio is of the block's input filters.
B0_BLOCKS = (
    "r1_k3_s11_e1_i32_o16_se0.25",
    "r2_k3_s22_e6_i16_o24_se0.25",
    "r2_k5_s22_e6_i24_o40_se0.25",
    "r3_k3_s22_e6_i40_o80_se0.25",
    "r3_k5_s11_e6_i80_o112_se0.25",
    "r4_k5_s22_e6_i112_o192_se0.25",
    "r1_k3_s11_e6_i192_o320_se0.25",
)

# Paper section 4 and appendix; efficientnet_builder.py in tensorflow/tpu for b8 and l2.
_V1 = _rows(
    "efficientnet-",
    {
        "b0": (1.0, 1.0, 224, 0.2),
        "b1": (1.0, 1.1, 240, 0.2),
        "b2": (1.1, 1.2, 260, 0.3),
        "b3": (1.2, 1.4, 300, 0.3),
        "b4": (1.4, 1.8, 380, 0.4),
        "b5": (1.6, 2.2, 456, 0.4),
        "b6": (1.8, 2.6, 528, 0.5),
        "b7": (2.0, 3.1, 600, 0.5),
        "b8": (2.2, 3.6, 672, 0.5),
        "l2-475": (4.3, 5.3, 475, 0.5),
        "l2": (4.3, 5.3, 800, 0.5),
    },
    blocks=B0_BLOCKS,
)

# lite/efficientnet_lite_builder.py in tensorflow/tpu.
_LITE = _rows(
    "efficientnet-lite",
    {
        "0": (1.0, 1.0, 224, 0.2),
        "1": (1.0, 1.1, 240, 0.2),
        "2": (1.1, 1.2, 260, 0.3),
        "3": (1.2, 1.4, 280, 0.3),
        "4": (1.4, 1.8, 300, 0.3),
    },
    blocks=tuple(block.removesuffix("_se0.25") for block in B0_BLOCKS),
    scale_ends=False,
    activation="relu6",
    pixels=_LITE_PIXELS,
)

# edgetpu/efficientnet_edgetpu_builder.py in tensorflow/tpu.
_EDGETPU = _rows(
    "efficientnet-edgetpu-",
    {
        "s": (1.0, 1.0, 224, 0.2),
        "m": (1.0, 1.1, 240, 0.2),
        "l": (1.2, 1.4, 300, 0.3),
    },
    blocks=(
        "r1_k3_s11_e4_i24_o24_c1_noskip",
        "r2_k3_s22_e8_i24_o32_c1",
        "r4_k3_s22_e8_i32_o48_c1",
        "r5_k5_s22_e8_i48_o96",
        "r4_k5_s11_e8_i96_o144",
        "r2_k5_s22_e8_i144_o192",
    ),
    activation="relu",
    pixels=_LITE_PIXELS,
)

# condconv/efficientnet_condconv_builder.py in tensorflow/tpu.
_CONDCONV_BLOCKS = B0_BLOCKS[:4] + tuple(f"{block}_cc" for block in B0_BLOCKS[4:])
_CONDCONV = [
    Variant(
        *(f"efficientnet-condconv-b0-{name}", 1.0, depth, 224, 0.25),
        _CONDCONV_BLOCKS,
        experts=experts,
        pixels=_CONDCONV_PIXELS,
    )
    for name, depth, experts in (("4e", 1.0, 4), ("8e", 1.0, 8), ("8e-depth", 1.1, 8))
]

# efficientnetv2/effnetv2_configs.py in google/automl, whose c1 is our f1.
_V2_COMMON: dict[str, Any] = {"keep_90_percent": False, "batch_norm_momentum": 0.9}
_V2_BASE = _rows(
    "efficientnetv2-",
    {
        "b0": (1.0, 1.0, 224, 0.2),
        "b1": (1.0, 1.1, 240, 0.2),
        "b2": (1.1, 1.2, 260, 0.3),
        "b3": (1.2, 1.4, 300, 0.3),
    },
    blocks=(
        "r1_k3_s11_e1_i32_o16_f1",
        "r2_k3_s22_e4_i16_o32_f1",
        "r2_k3_s22_e4_i32_o48_f1",
        "r3_k3_s22_e4_i48_o96_se0.25",
        "r5_k3_s11_e6_i96_o112_se0.25",
        "r8_k3_s22_e6_i112_o192_se0.25",
    ),
    **_V2_COMMON,
)


def _v2(
    name: str, resolution: int, dropout: float, repeats: Any, filters: Any
) -> Variant:
    """Makes a larger EfficientNetV2; `filters` lists the stem's before the stages'."""
    layouts = (
        "s11_e1_{}_f1",
        "s22_e4_{}_f1",
        "s22_e4_{}_f1",
        "s22_e4_{}_se0.25",
        "s11_e6_{}_se0.25",
        "s22_e6_{}_se0.25",
        "s11_e6_{}_se0.25",
    )
    stages = zip(layouts, repeats, filters[:-1], filters[1:], strict=False)
    return Variant(
        *(f"efficientnetv2-{name}", 1.0, 1.0, resolution, dropout),
        tuple(f"r{r}_k3_" + layout.format(f"i{i}_o{o}") for layout, r, i, o in stages),
        stem_filters=filters[0],
        pixels=_V2_PIXELS,
        **_V2_COMMON,
    )


_V2_LARGE = [
    _v2("s", 384, 0.2, (2, 4, 4, 6, 9, 15), (24, 24, 48, 64, 128, 160, 256)),
    _v2("m", 480, 0.3, (3, 5, 5, 7, 14, 18, 5), (24, 24, 48, 80, 160, 176, 304, 512)),
    _v2("l", 480, 0.4, (4, 7, 7, 10, 19, 25, 7), (32, 32, 64, 96, 192, 224, 384, 640)),
    _v2("xl", 512, 0.4, (4, 8, 8, 16, 24, 32, 8), (32, 32, 64, 96, 192, 256, 512, 640)),
]

# arXiv 1704.04861 table 1 and arXiv 1801.04381 table 2; dropout and pixels as in
# tensorflow/models research/slim; batch norm and uniform kernels as in
# keras.applications.
_MOBILENETS = [
    Variant(
        *("mobilenet-v1", 1.0, 1.0, 224, 0.001),
        (
            "r1_k3_s11_e1_i32_o64_c2",
            "r2_k3_s22_e1_i64_o128_c2",
            "r2_k3_s22_e1_i128_o256_c2",
            "r6_k3_s22_e1_i256_o512_c2",
            "r2_k3_s22_e1_i512_o1024_c2",
        ),
        head_filters=0,
        survival_prob=1.0,
        activation="relu6",
        distribution="uniform",
        pixels=MOBILENET_PIXELS,
    ),
    Variant(
        *("mobilenet-v2", 1.0, 1.0, 224, 0.2),
        (
            "r1_k3_s11_e1_i32_o16",
            "r2_k3_s22_e6_i16_o24",
            "r3_k3_s22_e6_i24_o32",
            "r4_k3_s22_e6_i32_o64",
            "r3_k3_s11_e6_i64_o96",
            "r3_k3_s22_e6_i96_o160",
            "r1_k3_s11_e6_i160_o320",
        ),
        head_shrinks=False,
        survival_prob=1.0,
        activation="relu6",
        distribution="uniform",
        batch_norm_momentum=0.999,
        pixels=MOBILENET_PIXELS,
    ),
]


def _resnet(name: str, repeats: Any, *, conv_type: int, **kwargs: Any) -> Variant:
    """Makes a ResNet of arXiv 1512.03385 table 1."""
    stages = zip(repeats, ("11", "22", "22", "22"), (64, 256, 512, 1024), strict=True)
    outputs = (256, 512, 1024, 2048)
    return Variant(
        *(name, 1.0, 1.0, 224, 0.0),
        tuple(
            f"r{r}_k3_s{s}_e4_i{i}_o{o}_c{conv_type}"
            for (r, s, i), o in zip(stages, outputs, strict=True)
        ),
        stem_filters=64,
        stem_kernel=7,
        stem_pool=True,
        head_filters=0,
        survival_prob=1.0,
        activation="relu",
        distribution="uniform",
        padding="symmetric",
        batch_norm_momentum=0.9,
        **kwargs,
    )


_RESNET_DEPTHS = {"resnet-50": (3, 4, 6, 3), "resnet-152": (3, 8, 36, 3)}
_RESNETS = [
    # v1.5 strides in the 3x3 convolution; epsilon as in PyTorch, whose weights fit.
    *(
        _resnet(name, repeats, conv_type=3, batch_norm_epsilon=1e-5)
        for name, repeats in _RESNET_DEPTHS.items()
    ),
    # v1: keras.applications has weights of it.
    *(
        _resnet(
            f"{name}-v1",
            repeats,
            conv_type=4,
            batch_norm_epsilon=1.001e-5,
            pixels=CAFFE_PIXELS,
        )
        for name, repeats in _RESNET_DEPTHS.items()
    ),
]

# Every kind of MBConv in 0.2 million parameters, for tests and CI.
_TEST = Variant(
    *("efficientnet-test", 1.0, 1.0, 32, 0.2),
    (
        "r1_k3_s11_e1_i8_o8_se0.25",
        "r2_k3_s22_e4_i8_o16_se0.25",
        "r1_k5_s22_e4_i16_o24_se0.25",
        "r1_k3_s22_e6_i24_o32_se0.25",
        "r2_k5_s22_e6_i32_o40_se0.25",
    ),
    stem_filters=8,
    head_filters=128,
)

_VARIANTS = {
    variant.name: variant
    for variant in (
        *(*_V1, *_LITE, *_EDGETPU, *_CONDCONV, *_V2_BASE, *_V2_LARGE),
        *(*_MOBILENETS, *_RESNETS, _TEST),
    )
}


def list_variants() -> list[str]:
    """Lists every name that `get_variant` knows, family by family, in order of size."""
    return list(_VARIANTS)


def get_variant(variant: str | Variant) -> Variant:
    """Looks a variant up by name; a `Variant` is returned as it is.

    Raises:
        ValueError: if the name is unknown; names the nearest one.
    """
    if isinstance(variant, Variant):
        return variant
    if variant in _VARIANTS:
        return _VARIANTS[variant]
    name = str(variant)[:100]
    meant = model_names.meant(name, _VARIANTS)
    hint = f"; did you mean {meant}?" if meant else did_you_mean(name, _VARIANTS)
    known = f"{'' if hint else ';'} Known: {', '.join(_VARIANTS)}"
    raise ValueError(f"unknown model {name!r}{hint}{known}")
