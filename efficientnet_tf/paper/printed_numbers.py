"""The numbers that arXiv 1905.11946 (v5) prints.

Multiply-accumulates, which the paper calls FLOPS, are in billions, parameters in
millions, accuracies in percent on ImageNet.
"""

# Table 1: operator, resolution, channels, layers.
TABLE_1 = (
    ("Conv3x3", 224, 32, 1),
    ("MBConv1, k3x3", 112, 16, 1),
    ("MBConv6, k3x3", 112, 24, 2),
    ("MBConv6, k5x5", 56, 40, 2),
    ("MBConv6, k3x3", 28, 80, 3),
    ("MBConv6, k5x5", 14, 112, 3),
    ("MBConv6, k5x5", 14, 192, 4),
    ("MBConv6, k3x3", 7, 320, 1),
    ("Conv1x1 & Pooling & FC", 7, 1280, 1),
)

# Table 2: top-1, top-5, parameters, FLOPS.
TABLE_2 = {
    "efficientnet-b0": ("77.1", "93.3", "5.3", "0.39"),
    "efficientnet-b1": ("79.1", "94.4", "7.8", "0.70"),
    "efficientnet-b2": ("80.1", "94.9", "9.2", "1.0"),
    "efficientnet-b3": ("81.6", "95.7", "12", "1.8"),
    "efficientnet-b4": ("82.9", "96.4", "19", "4.2"),
    "efficientnet-b5": ("83.6", "96.7", "30", "9.9"),
    "efficientnet-b6": ("84.0", "96.8", "43", "19"),
    "efficientnet-b7": ("84.3", "97.0", "66", "37"),
}

# Table 2, the other projects' networks: top-1, parameters, FLOPS.
TABLE_2_OTHERS: dict[str, tuple[str, str, str | None]] = {
    "ResNet-50": ("76.0", "26", "4.1"),
    "DenseNet-169": ("76.2", "14", "3.5"),
    "ResNet-152": ("77.8", "60", "11"),
    "DenseNet-264": ("77.9", "34", "6.0"),
    "Inception-v3": ("78.8", "24", "5.7"),
    "Xception": ("79.0", "23", "8.4"),
    "Inception-v4": ("80.0", "48", "13"),
    "Inception-ResNet-v2": ("80.1", "56", "13"),
    "ResNeXt-101": ("80.9", "84", "32"),
    "PolyNet": ("81.3", "92", "35"),
    "SENet": ("82.7", "146", "42"),
    "NASNet-A": ("82.7", "89", "24"),
    "AmoebaNet-A": ("82.8", "87", "23"),
    "PNASNet": ("82.9", "86", "23"),
    "AmoebaNet-C": ("83.5", "155", "41"),
    "GPipe": ("84.3", "557", None),
}

# Top-1 of the released checkpoints, trained without and with AutoAugment: README of
# tensorflow/tpu models/official/efficientnet.
RELEASED = {
    "efficientnet-b0": ("76.7", "77.1"),
    "efficientnet-b1": ("78.7", "79.1"),
    "efficientnet-b2": ("79.8", "80.1"),
    "efficientnet-b3": ("81.1", "81.6"),
    "efficientnet-b4": ("82.5", "82.9"),
    "efficientnet-b5": ("83.1", "83.6"),
    "efficientnet-b6": (None, "84.0"),
    "efficientnet-b7": (None, "84.3"),
}

# Tables 3 and 7: depth, width and resolution factors (None: not printed), FLOPS, top-1.
TABLE_3 = {
    "mobilenet-v1": (
        ((1, 1, 1), "0.6", "70.6"),
        ((1, 2, 1), "2.2", "74.2"),
        ((1, 1, 2), "2.2", "72.7"),
        ((1.4, 1.2, 1.3), "2.3", "75.6"),
    ),
    "mobilenet-v2": (
        ((1, 1, 1), "0.3", "72.0"),
        ((4, 1, 1), "1.2", "76.8"),
        ((1, 2, 1), "1.1", "76.4"),
        ((1, 1, 2), "1.2", "74.8"),
        (None, "1.3", "77.4"),
    ),
    "resnet-50": (
        ((1, 1, 1), "4.1", "76.0"),
        ((4, 1, 1), "16.2", "78.1"),
        ((1, 2, 1), "14.7", "77.7"),
        ((1, 1, 2), "16.4", "77.5"),
        (None, "16.7", "78.8"),
    ),
}
TABLE_7 = (
    ((1, 1, 1), "0.4", "77.3"),
    ((4, 1, 1), "1.8", "79.0"),
    ((1, 2, 1), "1.8", "78.9"),
    ((1, 1, 2), "1.9", "79.1"),
    ((1.4, 1.2, 1.3), "1.8", "81.1"),
)

# Table 4: seconds of the slow and of the fast network, and their ratio; one image, one
# core of a Xeon E5-2690, mean of 20 calls.
TABLE_4 = {
    ("ResNet-152", "EfficientNet-B1"): ("0.554", "0.098", "5.7"),
    ("GPipe", "EfficientNet-B7"): ("19.0", "3.1", "6.1"),
}

# Table 5: top-1 by model.
TABLE_5 = {
    "CIFAR-10": {"B0": "98.1", "B7": "98.9"},
    "CIFAR-100": {"B0": "88.1", "B7": "91.7"},
    "Birdsnap": {"B5": "82.0", "B7": "84.3"},
    "Stanford Cars": {"B3": "93.6", "B7": "94.7"},
    "Flowers": {"B5": "98.5", "B7": "98.8"},
    "FGVC Aircraft": {"B3": "90.7", "B7": "92.9"},
    "Oxford-IIIT Pets": {"B4": "94.8", "B6": "95.4"},
    "Food-101": {"B4": "91.5", "B7": "93.0"},
}

# Table 6: training images, test images, classes.
TABLE_6 = {
    "CIFAR-10": (50_000, 10_000, 10),
    "CIFAR-100": (50_000, 10_000, 100),
    "Birdsnap": (47_386, 2_443, 500),
    "Stanford Cars": (8_144, 8_041, 196),
    "Flowers": (2_040, 6_149, 102),
    "FGVC Aircraft": (6_667, 3_333, 100),
    "Oxford-IIIT Pets": (3_680, 3_369, 37),
    "Food-101": (75_750, 25_250, 101),
}

# Table 8: top-1 on the validation and the test images, top-5 on the validation images.
TABLE_8 = {
    "efficientnet-b0": ("77.11", "77.23", "93.35"),
    "efficientnet-b1": ("79.13", "79.17", "94.47"),
    "efficientnet-b2": ("80.07", "80.16", "94.9"),
    "efficientnet-b3": ("81.59", "81.72", "95.67"),
    "efficientnet-b4": ("82.89", "82.94", "96.37"),
    "efficientnet-b5": ("83.6", "83.69", "96.71"),
    "efficientnet-b6": ("83.95", "84.04", "96.76"),
    "efficientnet-b7": ("84.26", "84.33", "96.97"),
}

# Figure 3: the scaling factors along each curve.
FIGURE_3 = {
    "width": (1.0, 1.4, 1.8, 2.6, 3.8, 5.0),
    "depth": (1, 2, 3, 4, 6, 8),
    "resolution": (1.0, 1.3, 1.5, 1.7, 1.9, 2.2, 2.5),
}

# Section 3.3: alpha, beta, gamma; the target of alpha * beta**2 * gamma**2.
COEFFICIENTS = ("1.2", "1.1", "1.15")
FLOPS_FACTOR = "2"
