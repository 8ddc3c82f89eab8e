"""Conventions of networks that the shapes of their weights do not show.

Tensors of equal shapes can belong to different networks: padding, batch-norm epsilon,
activation, the strided convolution of a block and the normalisation of pixels may
differ. Statements about them come from the file, from what lies beside it, from names
and from the project that made it; a network built with weights
(`EfficientNet(name, weights=FILE)`) follows them, and what none of them states is
assumed.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from efficientnet_tf import expansion, variants
from efficientnet_tf.weights import keras_conventions

# Fields of a variant that follow from the weights' origin, not from their shapes.
FIELDS = ("blocks", "padding", "batch_norm_epsilon", "pixels")
# What a statement may say, in the order of messages.
KEYS = ("padding", "batch_norm_epsilon", "activation", "pixels", "resize", "strides")
# In block strings, where blocks stride and where they may stride in another project.
_EITHER = (("_c3", "_c4"), ("_c1", "_f1"))
_SYMMETRIC: dict[str, Any] = {"padding": "symmetric", "batch_norm_epsilon": 1e-5}
_MEAN = np.array(variants.IMAGENET_PIXELS.mean) / 255
_STDDEV = np.array(variants.IMAGENET_PIXELS.stddev) / 255


@dataclasses.dataclass(frozen=True)
class Statement:
    """What one source says of a network.

    Args:
        by: the source in words; empty: the file itself.
        values: what it says of `KEYS`. "pixels" are mean and standard deviation in
            units of [0, 255], "strides" replacements in block strings.
    """

    by: str
    values: Mapping[str, Any]


def statistics(pixels: variants.Pixels) -> tuple[Any, Any]:
    """Returns what a statement says of "pixels": mean and standard deviation."""
    return pixels.mean, pixels.stddev


def settle(
    variant: variants.Variant, statements: Sequence[Statement]
) -> variants.Variant:
    """Returns the variant with the conventions that are stated.

    Args:
        variant: the network with this package's conventions.
        statements: the strongest first.

    Raises:
        ValueError: if the activation is another one: the caller chooses it.
    """
    told: dict[str, Any] = {}
    for statement in reversed(statements):
        told |= statement.values
    check_activation(told.get("activation"), variant)
    epsilon = told.get("batch_norm_epsilon", variant.batch_norm_epsilon)
    if math.isclose(epsilon, variant.batch_norm_epsilon, rel_tol=1e-6):
        epsilon = variant.batch_norm_epsilon
    pixels = _settle_pixels(variant.pixels, told.get("pixels"))
    return dataclasses.replace(
        variant,
        padding=told.get("padding", variant.padding),
        batch_norm_epsilon=epsilon,
        pixels=dataclasses.replace(pixels, resize=told.get("resize", pixels.resize)),
        blocks=functools.reduce(_replace, told.get("strides", ()), variant.blocks),
    )


def check_activation(stated: str | None, variant: variants.Variant) -> None:
    """Raises ValueError if a network's activation is not the stated one."""
    if stated and not keras_conventions.same_activation(stated, variant.activation):
        raise ValueError(
            f"holds a network with activation={stated}, not with activation="
            f"{variant.activation}; activation={stated} builds it"
        )


def _settle_pixels(pixels: variants.Pixels, stated: Any) -> variants.Pixels:
    """Returns stated pixels; `pixels` itself if they are the same."""
    if stated is None:
        return pixels
    wanted = statistics(pixels)
    mean, stddev = stated
    if len(mean) != 3 and len(set(zip(mean, stddev, strict=True))) == 1:
        # One mean and stddev serve all channels, however many the file has.
        mean, stddev = (mean[0],) * 3, (stddev[0],) * 3
        averages = [(sum(values) / 3,) * 3 for values in wanted]
        wanted = wanted if len(set(pixels.mean)) == 1 else (averages[0], averages[1])
    if len(mean) != 3:
        raise ValueError(f"normalises {len(mean)} channels each in its own way")
    if keras_conventions.nearly((mean, stddev), wanted):
        return pixels
    return variants.Pixels(tuple(mean), tuple(stddev), pixels.resize)


def of_tensors(tensors: Mapping[str, np.ndarray]) -> list[Statement]:
    """Returns what a file's tensors say: the normalisation of pixels among them.

    Args:
        tensors: the weights by the project's names.
    """
    if "normalization/mean" not in tensors:
        return []
    return [Statement("", {"pixels": _normalization(tensors)})]


def of_project(variant: variants.Variant, project: str) -> list[Statement]:
    """Returns what a project's networks have in common.

    Args:
        variant: the network with this package's conventions.
        project: the project whose names the weights have, as a format's `detect` says.
    """
    if project == "resnet":
        # keras.applications resnet.py: the first 1x1 convolution strides, caffe pixels.
        values = {
            "strides": (("_c3", "_c4"),),
            "batch_norm_epsilon": 1.001e-5,
            "pixels": statistics(variants.CAFFE_PIXELS),
        }
        return [Statement("keras.applications' ResNets", values)]
    if project.startswith(("timm", "torch")):
        return [Statement(_PROJECTS[project], _pytorch(variant, project))]
    return []


_PROJECTS = {
    "timm": "timm's networks",
    "torchvision": "torchvision's networks",
    "torchvision_mobilenet_v2": "torchvision's MobileNetV2",
    "torch_resnet": "PyTorch's ResNets",
}


def _pytorch(variant: variants.Variant, project: str) -> dict[str, Any]:
    imagenet = {"pixels": statistics(variants.IMAGENET_PIXELS)}
    if project == "torch_resnet":
        return _SYMMETRIC | imagenet | {"strides": (("_c4", "_c3"),)}
    # timm's EdgeResidual strides in its first convolution, as fused blocks do.
    values: dict[str, Any] = {"strides": (("_c1", "_f1"),)}
    if variant.name.startswith("mobilenet"):
        values |= _SYMMETRIC
    if project == "timm" and variant.name == "mobilenet-v2":
        values |= imagenet
    if project.startswith("torchvision"):
        # torchvision efficientnet.py: 1e-3 from B5 on and for V2.
        large = variant.width >= 1.6 or variant.name.startswith("efficientnetv2")
        values |= _SYMMETRIC | {"batch_norm_epsilon": 1e-3 if large else 1e-5}
        values |= imagenet
        if variant.name == "efficientnetv2-l":  # mean and stddev 0.5
            values["pixels"] = statistics(variants.MOBILENET_PIXELS)
    return values


def decided(variant: variants.Variant, statements: Sequence[Statement]) -> list[str]:
    """Says for each convention that a file does not state what decided it.

    Args:
        variant: the network that `settle` returned.
        statements: what `settle` got.
    """
    sentences, open_keys = [], [key for key in KEYS if _words(variant, key)]
    for statement in statements:
        keys = [key for key in open_keys if key in statement.values]
        open_keys = [key for key in open_keys if key not in keys]
        if keys and statement.by:
            told = ", ".join(_words(variant, key) for key in keys)
            sentences.append(f"{told}: by {statement.by}")
    if open_keys:
        told = ", ".join(_words(variant, key) for key in open_keys)
        sentences.append(f"{told}: assumed, because nothing states it")
    return sentences


def _words(variant: variants.Variant, key: str) -> str:
    """Returns a convention and its value; no words where blocks leave no choice."""
    if key == "pixels":
        mean, stddev = (
            " ".join(f"{value:g}" for value in values)
            for values in statistics(variant.pixels)
        )
        return f"pixels=(x - {mean}) / {stddev}"
    if key == "strides":
        used = {code for pair in _EITHER for code in pair if code in _codes(variant)}
        return f"strides={'+'.join(sorted(used))}".replace("_", "") if used else ""
    value = variant.pixels.resize if key == "resize" else getattr(variant, key)
    return f"{key}={value}"


def _codes(variant: variants.Variant) -> set[str]:
    """Returns the options of a variant's block strings, such as "_c3"."""
    return {f"_{option}" for block in variant.blocks for option in block.split("_")}


def differences(have: variants.Variant, want: variants.Variant) -> list[str]:
    """Lists the fields in which a built network and its weights' origin disagree.

    Resizing does not count: it happens outside the network.

    Args:
        have: the network as it was built; without blocks if they are not known.
        want: the network with the conventions of the weights' origin.
    """
    pixels = (statistics(variant.pixels) for variant in (have, want))
    if keras_conventions.nearly(*pixels):
        want = dataclasses.replace(want, pixels=have.pixels)
    fields = FIELDS if have.blocks else FIELDS[1:]
    return [name for name in fields if getattr(have, name) != getattr(want, name)]


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
    changed += [
        name
        for name in ("activation", "stem_pool")
        if getattr(variant, name) != getattr(theirs, name)
    ]
    if not _same_shapes(variant, theirs):  # its weights fit no other network
        changed = [name for name in changed if name not in ("blocks", "stem_pool")]
    return [name for name in changed if not (pixels and name == "pixels")]


def _same_shapes(one: variants.Variant, other: variants.Variant) -> bool:
    """Whether the weights of one network's blocks fit the other's."""
    shapes = []
    for variant in (one, other):
        blocks = common_blocks(variant.blocks)
        network = expansion.expand(dataclasses.replace(variant, blocks=blocks))
        same: dict[str, Any] = {
            "strides": (1, 1),
            "skip": True,
            "drop_rate": 0.0,
            "activation": "",
        }
        shapes.append([dataclasses.replace(block, **same) for block in network])
    return shapes[0] == shapes[1]


def common_blocks(blocks: tuple[str, ...]) -> tuple[str, ...]:
    """Returns block strings without the stride's place, in which projects differ."""
    return _replace(_replace(blocks, ("_c1", "_f1")), ("_c4", "_c3"))


def _replace(blocks: tuple[str, ...], change: tuple[str, str]) -> tuple[str, ...]:
    return tuple(block.replace(*change) for block in blocks)


def _normalization(tensors: Mapping[str, np.ndarray]) -> tuple[Any, Any]:
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
        return statistics(variants.IMAGENET_PIXELS)
    return tuple((255 * mean).tolist()), tuple((255 * np.sqrt(variance)).tolist())
