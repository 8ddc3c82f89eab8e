"""The augmentation policies as data; no TensorFlow.

Sources: autoaugment.py of tensorflow/tpu models/official/efficientnet ("the original")
for AutoAugment v0 and RandAugment; AutoAugment (arXiv 1805.09501), tables 7 and 8, for
the policies of reduced CIFAR-10 and SVHN; TrivialAugment (arXiv 2103.10158), "wide".
"""

SubPolicy = tuple[tuple[str, float, float], ...]  # (operator, probability, level) each

_V0 = """
Equalize 0.8 1, ShearY 0.8 4
Color 0.4 9, Equalize 0.6 3
Color 0.4 1, Rotate 0.6 8
Solarize 0.8 3, Equalize 0.4 7
Solarize 0.4 2, Solarize 0.6 2
Color 0.2 0, Equalize 0.8 8
Equalize 0.4 8, SolarizeAdd 0.8 3
ShearX 0.2 9, Rotate 0.6 8
Color 0.6 1, Equalize 1.0 2
Invert 0.4 9, Rotate 0.6 0
Equalize 1.0 9, ShearY 0.6 3
Color 0.4 7, Equalize 0.6 0
Posterize 0.4 6, AutoContrast 0.4 7
Solarize 0.6 8, Color 0.6 9
Solarize 0.2 4, Rotate 0.8 9
Rotate 1.0 7, TranslateY 0.8 9
ShearX 0.0 0, Solarize 0.8 4
ShearY 0.8 0, Color 0.6 4
Color 1.0 0, Rotate 0.6 2
Equalize 0.8 4, Equalize 0.0 8
Equalize 1.0 4, AutoContrast 0.6 2
ShearY 0.4 7, SolarizeAdd 0.6 7
Posterize 0.8 2, Solarize 0.6 10
Solarize 0.6 8, Equalize 0.6 1
Color 0.8 6, Rotate 0.4 5
"""
_REDUCED_CIFAR10 = """
Invert 0.1 7, Contrast 0.2 6
Rotate 0.7 2, TranslateX 0.3 9
Sharpness 0.8 1, Sharpness 0.9 3
ShearY 0.5 8, TranslateY 0.7 9
AutoContrast 0.5 8, Equalize 0.9 2
ShearY 0.2 7, Posterize 0.3 7
Color 0.4 3, Brightness 0.6 7
Sharpness 0.3 9, Brightness 0.7 9
Equalize 0.6 5, Equalize 0.5 1
Contrast 0.6 7, Sharpness 0.6 5
Color 0.7 7, TranslateX 0.5 8
Equalize 0.3 7, AutoContrast 0.4 8
TranslateY 0.4 3, Sharpness 0.2 6
Brightness 0.9 6, Color 0.2 8
Solarize 0.5 2, Invert 0.0 3
Equalize 0.2 0, AutoContrast 0.6 0
Equalize 0.2 8, Equalize 0.6 4
Color 0.9 9, Equalize 0.6 6
AutoContrast 0.8 4, Solarize 0.2 8
Brightness 0.1 3, Color 0.7 0
Solarize 0.4 5, AutoContrast 0.9 3
TranslateY 0.9 9, TranslateY 0.7 9
AutoContrast 0.9 2, Solarize 0.8 3
Equalize 0.8 8, Invert 0.1 3
TranslateY 0.7 9, AutoContrast 0.9 1
"""
_SVHN = """
ShearX 0.9 4, Invert 0.2 3
ShearY 0.9 8, Invert 0.7 5
Equalize 0.6 5, Solarize 0.6 6
Invert 0.9 3, Equalize 0.6 3
Equalize 0.6 1, Rotate 0.9 3
ShearX 0.9 4, AutoContrast 0.8 3
ShearY 0.9 8, Invert 0.4 5
ShearY 0.9 5, Solarize 0.2 6
Invert 0.9 6, AutoContrast 0.8 1
Equalize 0.6 3, Rotate 0.9 3
ShearX 0.9 4, Solarize 0.3 3
ShearY 0.8 8, Invert 0.7 4
Equalize 0.9 5, TranslateY 0.6 6
Invert 0.9 4, Equalize 0.6 7
Contrast 0.3 3, Rotate 0.8 4
Invert 0.8 5, TranslateY 0.0 2
ShearY 0.7 6, Solarize 0.4 8
Invert 0.6 4, Rotate 0.8 4
ShearY 0.3 7, TranslateX 0.9 3
ShearX 0.1 6, Invert 0.6 5
Solarize 0.7 2, TranslateY 0.6 7
ShearY 0.8 4, Invert 0.8 8
ShearX 0.7 9, TranslateY 0.8 3
ShearY 0.8 5, AutoContrast 0.7 3
ShearX 0.7 2, Invert 0.1 5
"""


def _parse(text: str) -> tuple[SubPolicy, ...]:
    """Reads a policy: a sub-policy a line, its operators between commas."""

    def operator(part: str) -> tuple[str, float, float]:
        name, probability, level = part.split()
        return name, float(probability), float(level)

    lines = text.strip().splitlines()
    return tuple(tuple(operator(p) for p in line.split(",")) for line in lines)


AUTOAUGMENT = {
    "autoaugment": _parse(_V0),
    "autoaugment-reduced_cifar10": _parse(_REDUCED_CIFAR10),
    "autoaugment-svhn": _parse(_SVHN),
}
# In the original's order, on which the draws depend.
RANDAUGMENT = (
    *("AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize"),
    *("Color", "Contrast", "Brightness", "Sharpness", "ShearX", "ShearY"),
    *("TranslateX", "TranslateY", "Cutout", "SolarizeAdd"),
)
TRIVIALAUGMENT = (
    *("Identity", "AutoContrast", "Equalize", "Rotate", "Solarize", "Color"),
    *("Posterize", "Contrast", "Brightness", "Sharpness"),
    *("ShearX", "ShearY", "TranslateX", "TranslateY"),
)
TRIVIAL_LEVELS = 31  # 0 to 30, drawn alike


def original_magnitude(
    name: str, level: float, *, translate: float, cutout: float
) -> float:
    """Returns an operator's argument at a level, as the original's `level_to_arg`.

    Args:
        name: name of an operator.
        level: float from 0, the strength; 10 is the scale's end.
        translate: float, the shift at level 10 in pixels.
        cutout: float, half the side of Cutout's square at level 10 in pixels.
    """
    share = level / 10
    enhance = share * 1.8 + 0.1  # 1 leaves the image as it is
    return {
        "Rotate": share * 30.0,  # degrees
        "ShearX": share * 0.3,
        "ShearY": share * 0.3,
        "TranslateX": share * translate,  # pixels
        "TranslateY": share * translate,
        "Posterize": int(share * 4),  # bits that stay
        # The threshold is a uint8: from level 10 on it starts over at 0.
        "Solarize": int(share * 256) % 256,
        "SolarizeAdd": int(share * 110),
        "Cutout": int(share * cutout),
    }.get(name, enhance)


def trivial_magnitude(name: str, level: int) -> float:
    """Returns an operator's argument at a level, as TrivialAugment's aug_lib.py, wide.

    Args:
        name: name of an operator.
        level: int from 0 to 30, the strength.
    """
    share = level / (TRIVIAL_LEVELS - 1)
    enhance = share * 1.99 + 0.01
    return {
        "Rotate": int(share * 135),
        "ShearX": share * 0.99,
        "ShearY": share * 0.99,
        "TranslateX": int(share * 32),
        "TranslateY": int(share * 32),
        "Posterize": 8 - int(share * 6),
        "Solarize": 256 - int(share * 256),
    }.get(name, enhance)
