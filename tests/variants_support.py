"""Reference rows that several test files share."""

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


NAMES = V1_NAMES + list(OTHERS)


def own(*blocks, **kwargs):
    """A network of block strings, from 8 filters and 32 pixels on."""
    chosen = {"stem_filters": 8, **kwargs}
    return variants.Variant("own", 1.0, 1.0, 32, 0.2, blocks=blocks, **chosen)
