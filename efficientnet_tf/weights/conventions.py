"""The conventions in which other projects differ with the same weights.

The tensors of two projects can have equal shapes and mean different networks: padding,
batch-norm epsilon, where a block strides, how pixels are normalised. A network built
with the weights (`EfficientNet(name, weights=FILE)`) takes the file's side.
"""

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from efficientnet_tf import variants

# Fields of a variant that its weights cannot tell but their origin can.
FIELDS = ("blocks", "padding", "batch_norm_epsilon", "pixels")

# timm's own trainings; its conversions of Google's weights are called tf_...
_TIMM_NATIVE = re.compile(r"efficientnet(v2)?_\w+[-.]")
# Trained on pixels in [-1, 1]: AdvProp (eval_ckpt_main.py in tensorflow/tpu), timm's
# ra4 recipe, V2-B3 from ImageNet-21k; mean 0.5 in timm's models/efficientnet.py.
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
    """Returns the variant as a project means it.

    Args:
        variant: the network as this package means it.
        project: whose names the weights have.
        path: path of the file; timm's names tell its own trainings from conversions.
        tensors: the weights by the project's names.
    """
    changes = {}
    # Hugging Face's files are all called model.safetensors; their folders tell, as
    # efficientnet_b0.ra_in1k.
    names = [os.path.basename(path)]
    folder = os.path.basename(os.path.dirname(path))
    if "." in folder:
        names.append(folder)
    if project.startswith(("timm", "torch")):
        changes = _pytorch(variant, project, names)
    elif project == "resnet":
        # keras.applications resnet.py: strides in the first 1x1, "caffe" pixels.
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

    How images are resized is not the network's affair.

    Args:
        have: the network as it was built.
        want: the network as the weights' origin means it.
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
    """Lists the fields in which a variant differs from the one of its name.

    A file that holds nothing but weights would be read as another network.

    Args:
        variant: the network whose weights are to be written.
        pixels: whether the file tells how pixels are normalised.
    """
    if variant.name not in variants.list_variants():
        return []
    theirs = variants.get_variant(variant.name)
    changed = differences(variant, theirs)
    # Custom blocks are left out: a file without them fits no other network.
    if common_blocks(variant.blocks) != common_blocks(theirs.blocks):
        changed = [name for name in changed if name != "blocks"]
    return [name for name in changed if not (pixels and name == "pixels")]


def common_blocks(blocks: tuple[str, ...]) -> tuple[str, ...]:
    """Returns block strings that do not tell where they stride, as projects differ."""
    return _replace(_replace(blocks, "_c1", "_f1"), "_c4", "_c3")


def _replace(blocks: tuple[str, ...], old: str, new: str) -> tuple[str, ...]:
    return tuple(block.replace(old, new) for block in blocks)


def _normalization(tensors: Mapping[str, np.ndarray]) -> variants.Pixels:
    """Reads the normalisation of keras.applications' Normalization layer.

    Its released files hold the standard deviation in the variance's place and make up
    for it with a layer of their own.
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
