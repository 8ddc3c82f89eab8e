"""What a weights file's name, its folders and the config.json beside it say.

timm's files are called by their network and training, and lie on the Hugging Face hub
as `model.safetensors` beside a `config.json`: in its cache in
`models--timm--efficientnet_b0.ra_in1k/snapshots/HASH/`.
"""

import dataclasses
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from efficientnet_tf import model_names, suffixes, variants
from efficientnet_tf.weights import conventions

# timm's conversions of Google's weights begin with tf_.
_TIMM = re.compile(r"(tf_)?(efficientnet(v2)?_|mobilenetv[12]_|(tv_)?resnet\d)\w*")
_HUB = re.compile(r"models--[^/]+?--(.+)")  # a folder of the hub's cache
_LARGEST = 1 << 20  # bytes of a config.json; timm's have some thousand
_INTERPOLATIONS = ("bicubic", "bilinear")
# Of timm's model_args: those of the training, of shapes, and those that are read.
_HARMLESS = ("drop_rate", "drop_path_rate", "bn_momentum", "num_classes", "in_chans")
_READ = ("bn_eps", "pad_type", "act_layer")
_WITH_ADVPROP = ("lukemelas", "tf1", "efficientnet")  # projects with AdvProp's weights
_HALF = conventions.statistics(variants.MOBILENET_PIXELS)
_IMAGENET = conventions.statistics(variants.IMAGENET_PIXELS)


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """What is said beside a file of its network and of its images.

    Args:
        by: who says it, in words; empty: nobody.
        name: timm's name, such as "tf_efficientnet_b0.ap_in1k"; empty: none.
        values: what config.json says of `conventions.KEYS`.
        network: this package's name of the network; None if it is not known.
        image_size: int, height and width in evaluation, in pixels.
        crop: the centre crop, see `Config.eval_crop`.
        notes: sentences about what cannot be followed.
    """

    by: str = ""
    name: str = ""
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    network: str | None = None
    image_size: int | None = None
    crop: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def preparation(self) -> dict[str, Any]:
        """What is said of how images are prepared, by the passport's names."""
        told = {"image_size": self.image_size, "crop": self.crop}
        return {name: value for name, value in told.items() if value is not None}

    def statements(self, variant: variants.Variant) -> list[conventions.Statement]:
        """Returns what is said of a network's conventions.

        Args:
            variant: the network with this package's conventions.
        """
        if not self.by:
            return []
        named = _of_timm(self.name, variant) if self.name else {}
        return [conventions.Statement(self.by, named | dict(self.values))]


NONE = Neighbours()


def find(path: str, project: str) -> Neighbours:
    """Looks at a file's name, its folders and the config.json beside it.

    Args:
        path: path of the file, or prefix of a TF1 checkpoint.
        project: the project whose names the weights have.

    Raises:
        ValueError: naming a config.json that is damaged, describes a network that this
            package has not, or contradicts the file's name.
    """
    path = os.path.abspath(path)
    if project not in ("timm", "torch_resnet"):
        return _of_advprop(path) if project in _WITH_ADVPROP else NONE
    named = next(_timm_names(path), None)
    beside = os.path.join(os.path.dirname(path), "config.json")
    described = _read(beside)
    if described is None:
        return Neighbours(" ".join(named), named[1]) if named else NONE
    try:
        found = _of_config(described)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{beside}: {error}") from None
    if named and _key(named[1]) != _key(found.name):
        raise ValueError(
            f"{beside}: says {found.name}, but {named[0]} is {named[1]}; move the file "
            "away that does not belong there"
        )
    return found


def _timm_names(path: str) -> Iterator[tuple[str, str]]:
    """Yields timm's names on a path, each with where it is found, nearest first."""
    folder, file = os.path.split(path)
    for suffix in suffixes.TORCH:
        file = file.removesuffix(suffix)
    yield from _matching("the file's name", re.sub(r"-[0-9a-f]{8}$", "", file))
    parent = os.path.basename(folder)
    if "." in parent:
        yield from _matching("the folder's name", parent)
    while os.path.basename(folder):
        folder, last = os.path.split(folder)
        if match := _HUB.fullmatch(last):
            yield from _matching("the hub folder's name", match[1])


def _matching(where: str, name: str) -> Iterator[tuple[str, str]]:
    if _TIMM.match(name):
        yield where, name


def _key(name: str) -> tuple[bool, str]:
    """What two names must share to mean one network: who trained it, and which."""
    network = name.partition(".")[0]
    known = model_names.meant(network, variants.list_variants())
    return name.startswith("tf_"), known or network


def _of_timm(name: str, variant: variants.Variant) -> dict[str, Any]:
    """Returns the conventions that timm's name of a network and training means."""
    words = re.split(r"[._-]", name)
    values: dict[str, Any] = {"padding": "symmetric", "batch_norm_epsilon": 1e-5}
    values["pixels"] = _HALF if name.startswith("mobilenetv1") else _IMAGENET
    if words[0] == "tf":
        values = {"padding": "same", "batch_norm_epsilon": 1e-3}
        values["pixels"] = conventions.statistics(variant.pixels)
    is_v2_b3 = name.startswith("tf_efficientnetv2_b3")
    # Trained on pixels in [-1, 1]: AdvProp (eval_ckpt_main.py in tensorflow/tpu),
    # timm's ra4 recipe and V2-B3 from ImageNet-21k (mean 0.5 in timm's
    # models/efficientnet.py).
    if (
        (words[0] == "tf" and "ap" in words)
        or {"ra4", "e3600"} <= set(words)
        or (is_v2_b3 and {"21k", "in21k"} & set(words))
    ):
        values["pixels"] = _HALF
    return values


def _of_advprop(path: str) -> Neighbours:
    """Finds AdvProp's name in those of a file and of two folders above it.

    lukemelas calls its files adv-efficientnet-..., tensorflow/tpu the folder advprop.
    """
    for name in path.split(os.sep)[:-4:-1]:
        if name.startswith("adv-efficientnet") or "advprop" in name.lower():
            return Neighbours(f"the name {name}", values={"pixels": _HALF})
    return NONE


def _read(path: str) -> dict[str, Any] | None:
    """Reads timm's config.json; None if there is none, or another project's."""
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read(_LARGEST))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise ValueError(
            f"{path}: cannot be read ({reason}); it says which network the weights "
            "beside it belong to, so repair it or move it away"
        ) from None
    is_timms = isinstance(content, dict) and isinstance(
        content.get("architecture"), str
    )
    return content if is_timms else None


def _of_config(described: Mapping[str, Any]) -> Neighbours:
    """Reads timm's description of a network."""
    # Until timm 0.8 the preparation was not apart.
    told = described.get("pretrained_cfg") or described
    architecture = described["architecture"]
    variant = _variant(architecture)
    if described.get("global_pool") not in (None, "", "avg"):
        raise ValueError(f"global_pool={described['global_pool']}: allowed is avg")
    tag = told.get("tag")
    name = f"{architecture}.{tag}" if tag else architecture
    values = _arguments(described.get("model_args") or {})
    values = {"activation": variant.activation} | values | _images(told)
    size = _size(told)
    crop, notes = _crop(told.get("crop_pct"), size)
    if told.get("crop_mode") not in (None, "center"):
        notes += (f"crop_mode={told['crop_mode']} of config.json: center is taken",)
    return Neighbours(
        f"the config.json beside it, of {name}",
        name,
        values,
        variant.name,
        size,
        crop,
        notes,
    )


def _variant(architecture: str) -> variants.Variant:
    # A MobileNet's width is a number behind its name.
    network = re.sub(r"(mobilenetv[12])_\d+d?$", r"\1_100", architecture)
    name = model_names.meant(network, variants.list_variants())
    if name is None or not _TIMM.match(architecture):
        raise ValueError(
            f"architecture={architecture}: is no network of this package, so the "
            "weights beside it cannot be loaded"
        )
    return variants.get_variant(name)


def _arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Reads what a network was built with that is not its architecture's."""
    for name, value in arguments.items():
        if name not in _READ + _HARMLESS:
            raise ValueError(f"model_args.{name}={value}: is not known here")
    values: dict[str, Any] = {}
    if "bn_eps" in arguments:
        epsilon = float(arguments["bn_eps"])
        if not 0 <= epsilon < math.inf:
            raise ValueError(f"model_args.bn_eps={epsilon}: allowed are numbers from 0")
        values["batch_norm_epsilon"] = epsilon
    if "act_layer" in arguments:
        values["activation"] = str(arguments["act_layer"])
    if "pad_type" in arguments:
        padding = {"same": "same", "": "symmetric"}.get(arguments["pad_type"])
        if padding is None:
            raise ValueError(f"model_args.pad_type={arguments['pad_type']}: not known")
        values["padding"] = padding
    return values


def _images(told: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the normalisation and resizing of images."""
    values: dict[str, Any] = {}
    if "mean" in told or "std" in told:
        values["pixels"] = (_channels(told, "mean"), _channels(told, "std"))
    if "interpolation" in told:
        if told["interpolation"] not in _INTERPOLATIONS:
            raise ValueError(
                f"interpolation={told['interpolation']}: allowed are "
                f"{' and '.join(_INTERPOLATIONS)}"
            )
        values["resize"] = told["interpolation"]
    return values


def _channels(told: Mapping[str, Any], key: str) -> tuple[float, ...]:
    values = tuple(255 * float(value) for value in told[key])
    if len(values) not in (1, 3):
        raise ValueError(f"{key}={told[key]}: allowed are 3 numbers, or 1")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{key}={told[key]}: allowed are finite numbers")
    if key == "std" and not all(value > 0 for value in values):
        raise ValueError(f"std={told[key]}: allowed are numbers above 0")
    return values


def _size(told: Mapping[str, Any]) -> int | None:
    """Returns the side of a square input; None if the images are not square."""
    sides = set(list(told.get("input_size") or ())[1:])
    side = sides.pop() if len(sides) == 1 else None
    return side if isinstance(side, int) and side > 0 else None


def _crop(share: Any, size: int | None) -> tuple[str | None, tuple[str, ...]]:
    """Returns the rule of `Config.eval_crop` that crops so, and a note if none does."""
    if share is None or size is None:
        return None, ()
    # timm rounds size / (size + 32) to three digits.
    known = {"padded": size / (size + 32), "exact": 0.875}
    for rule, fraction in known.items():
        if abs(float(share) - fraction) < 1e-3:
            return rule, ()
    note = f"crop_pct={share} of config.json is no rule of eval_crop; padded is taken"
    return None, (note,)
