"""Conventions of other projects that the shapes of weights do not show.

Tensors of equal shapes can belong to different networks: padding, batch-norm epsilon,
the strided convolution of a block and the normalisation of pixels may differ. A network
built with weights (`EfficientNet(name, weights=FILE)`) follows the file's conventions.
"""

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from efficientnet_tf import variants

# Fields of a variant that follow from the weights' origin, not from their shapes.
FIELDS = ("blocks", "padding", "batch_norm_epsilon", "pixels")

# Names of weights that timm trained; conversions of Google's weights begin with tf_.
_TIMM_NATIVE = re.compile(r"efficientnet(v2)?_\w+[-.]")
# Names of weights trained on pixels in [-1, 1]: AdvProp (eval_ckpt_main.py in
# tensorflow/tpu), timm's ra4 recipe and V2-B3 from ImageNet-21k, whose mean is 0.5 in
# timm's models/efficientnet.py.
_TIMM_HALF = re.compile(
    r"tf_efficientnet_\w+[_.]ap[-_]|.*[_.]ra4_e3600|tf_efficientnetv2_b3[._](in)?21k"
)
_MEAN = np.array(variants.IMAGENET_PIXELS.mean) / 255
_STDDEV = np.array(variants.IMAGENET_PIXELS.stddev) / 255


def adapt(
    variant: variants.Variant,
    project: str,
    *,
    path: str = "",
    tensors: Mapping[str, np.ndarray],
) -> variants.Variant:
    """Returns the variant with a project's conventions.

    Args:
        variant: the network with this package's conventions.
        project: the project whose names the weights have, as a format's `detect` says.
        path: path of the file; timm's file names tell its trainings from conversions.
        tensors: the weights by the project's names.
    """
    changes = {}
    # Hugging Face's files are all called model.safetensors; the folder has the name,
    # such as efficientnet_b0.ra_in1k.
    names = [os.path.basename(path)]
    folder = os.path.basename(os.path.dirname(path))
    if "." in folder:
        names.append(folder)
    if project.startswith(("timm", "torch")):
        changes = _pytorch(variant, project, names)
    elif project == "resnet":
        # keras.applications resnet.py: the first 1x1 convolution strides, caffe pixels.
        changes = {
            "blocks": _replace(variant.blocks, "_c3", "_c4"),
            "batch_norm_epsilon": 1.001e-5,
            "pixels": variants.CAFFE_PIXELS,
        }
    elif "normalization/mean" in tensors:
        changes = {"pixels": _normalization(tensors)}
    return dataclasses.replace(variant, **changes)


def differences(have: variants.Variant, want: variants.Variant) -> list[str]:
    """Lists the fields in which a built network and its weights' origin disagree.

    Resizing does not count: it happens outside the network.

    Args:
        have: the network as it was built.
        want: the network with the conventions of the weights' origin.
    """
    pixels = dataclasses.replace(want.pixels, resize=have.pixels.resize)
    want = dataclasses.replace(want, pixels=pixels)
    return [name for name in FIELDS if getattr(have, name) != getattr(want, name)]


def _pytorch(variant: variants.Variant, project: str, names: list[str]) -> dict:
    symmetric = {"padding": "symmetric", "batch_norm_epsilon": 1e-5}
    # timm's EdgeResidual strides in its first convolution, as fused blocks do.
    changes: dict[str, Any] = {"blocks": _replace(variant.blocks, "_c1", "_f1")}
    if project == "torch_resnet":
        return symmetric | {
            "blocks": _replace(variant.blocks, "_c4", "_c3"),
            "pixels": variants.IMAGENET_PIXELS,
        }
    is_timm = project == "timm"
    if is_timm and any(map(_TIMM_NATIVE.match, names)):
        changes |= symmetric | {"pixels": variants.IMAGENET_PIXELS}
    if variant.name.startswith("mobilenet"):
        changes |= symmetric
    if is_timm and variant.name == "mobilenet-v2":
        changes["pixels"] = variants.IMAGENET_PIXELS
    if is_timm and any(map(_TIMM_HALF.match, names)):
        changes["pixels"] = variants.MOBILENET_PIXELS
    if project.startswith("torchvision"):
        # torchvision efficientnet.py: 1e-3 from B5 on and for V2.
        large = variant.width >= 1.6 or variant.name.startswith("efficientnetv2")
        changes |= symmetric | {"batch_norm_epsilon": 1e-3 if large else 1e-5}
        changes["pixels"] = variants.IMAGENET_PIXELS
        if variant.name == "efficientnetv2-l":
            changes["pixels"] = variants.MOBILENET_PIXELS  # mean and stddev 0.5
    return changes


def untold(variant: variants.Variant, *, pixels: bool) -> list[str]:
    """Lists the fields in which a variant differs from the standard one of its name.

    Without a passport, a file of its weights would be read as the standard network.

    Args:
        variant: the network whose weights are to be written.
        pixels: whether the file states the normalisation of pixels.
    """
    if variant.name not in variants.list_variants():
        return []
    theirs = variants.get_variant(variant.name)
    changed = differences(variant, theirs)
    # Custom blocks do not count: their weights fit no other network.
    if common_blocks(variant.blocks) != common_blocks(theirs.blocks):
        changed = [name for name in changed if name != "blocks"]
    return [name for name in changed if not (pixels and name == "pixels")]


def common_blocks(blocks: tuple[str, ...]) -> tuple[str, ...]:
    """Returns block strings without the stride's place, in which projects differ."""
    return _replace(_replace(blocks, "_c1", "_f1"), "_c4", "_c3")


def _replace(blocks: tuple[str, ...], old: str, new: str) -> tuple[str, ...]:
    return tuple(block.replace(old, new) for block in blocks)


def _normalization(tensors: Mapping[str, np.ndarray]) -> variants.Pixels:
    """Reads the normalisation of keras.applications' Normalization layer.

    Its released files hold the standard deviation in place of the variance; one more
    layer corrects this.
    """
    mean = np.asarray(tensors["normalization/mean"], np.float64).reshape(-1)
    variance = np.asarray(tensors["normalization/variance"], np.float64).reshape(-1)
    if mean.shape == (3,) and any(
        np.allclose([mean, variance], [_MEAN, known], atol=1e-4)
        for known in (_STDDEV, _STDDEV**2)
    ):
        return variants.IMAGENET_PIXELS
    if mean.size == 1:
        mean, variance = np.repeat(mean, 3), np.repeat(variance, 3)
    return variants.Pixels(
        tuple((255 * mean).tolist()), tuple((255 * np.sqrt(variance)).tolist())
    )
