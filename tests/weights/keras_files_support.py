"""Models of keras.applications and their files."""

import functools

import keras
from keras.src.applications import efficientnet, efficientnet_v2, resnet

import efficientnet_tf as en

SIZE = 64


KWARGS = {"classes": 10, "input_shape": (SIZE, SIZE, 3)}


WHOLE = {
    "efficientnet-b0": keras.applications.EfficientNetB0,
    "efficientnetv2-b0": keras.applications.EfficientNetV2B0,
    "mobilenet-v1": keras.applications.MobileNet,
    "mobilenet-v2": keras.applications.MobileNetV2,
    "resnet-50-v1": keras.applications.ResNet50,
}


# Width and depth of networks that stand for others: every kind of tensor is left.
SCALES = {
    "efficientnet-b0": (0.25, 0.25),
    "efficientnetv2-b0": (0.25, 0.2),
    "resnet-50": (None, 0.25),
    "resnet-50-v1": (None, 0.25),
}


def _resnet(width, depth, size, **kwargs):
    """ResNet-50 of 1, 1, 2 and 1 blocks in place of 3, 4, 6 and 3."""

    def stages(x):
        for number, blocks in enumerate((1, 1, 2, 1)):
            x = resnet.stack_residual_blocks_v1(
                *(x, 64 * 2**number, blocks, 1 if number == 0 else 2),
                name=f"conv{number + 2}",
            )
        return x

    return resnet.ResNet(stages, False, True, **kwargs)


SCALED = {
    "efficientnet-b0": efficientnet.EfficientNet,
    "efficientnetv2-b0": functools.partial(
        efficientnet_v2.EfficientNetV2, name="efficientnetv2-b0"
    ),
    "resnet-50-v1": _resnet,
}


def theirs(name, **kwargs):
    """A network of keras.applications, some scaled down."""
    kwargs = KWARGS | {"weights": None} | kwargs
    if name in SCALES:
        return SCALED[name](*SCALES[name], 224, **kwargs)  # 224: a size it never takes
    return WHOLE[name](**kwargs)


def ours_of(name, **kwargs):
    """The same network of ours."""
    width, depth = SCALES.get(name, (None, None))
    return en.EfficientNet(name, width=width, depth=depth, **KWARGS | kwargs)


def read(name, path, **kwargs):
    return ours_of(name, weights=str(path), **kwargs)
