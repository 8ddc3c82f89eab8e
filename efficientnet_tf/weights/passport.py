"""The passport: facts that a weights file states about itself."""

import dataclasses
import hashlib
import json
from typing import Any

import keras
import numpy as np

from efficientnet_tf import settings, variants
from efficientnet_tf.weights import typed_fields


@dataclasses.dataclass(frozen=True)
class Passport:
    """How a model was built and trained, and how its images are prepared.

    Preprocessing, batch-norm epsilon and padding are fields of the variant.
    """

    variant: variants.Variant | None  # None: not built by this package
    classes: int | None = None  # None: no classifier
    label_set: str | None = None  # "imagenet-1k"; None: not known
    label_offset: int = 0  # classes before the first label; 1: a background class
    class_names: tuple[str, ...] | None = None  # of the labels; None: not known
    multi_label: bool = False  # outputs are independent sigmoids, not one softmax
    # Whether the model normalises pixels in [0, 255] itself; None: not stated.
    include_preprocessing: bool | None = None
    image_size: int | None = None  # height and width in evaluation, in pixels
    crop: str | None = None  # "padded", "fixed", "exact", see `Config.eval_crop`
    exif: bool | None = None  # images are turned by EXIF; None: not stated
    averaged: bool | None = None  # True: moving averages (EMA); False: raw weights
    source: str = "random"  # the weights' file, or variant and release
    skipped: tuple[str, ...] = ()  # paths that the source was not loaded into
    sha256: str | None = None  # of the file's weights, see `digest`

    def dumps(self) -> str:
        """Returns the passport as JSON, with the range of the input pixels."""
        pixels = None if self.include_preprocessing is False else [0, 255]
        return json.dumps({"input_range": pixels} | dataclasses.asdict(self))


def describe(
    model: keras.Model, variant: variants.Variant, *, include_preprocessing: bool
) -> None:
    """Gives a new model its passport.

    Args:
        model: a model that was just built.
        variant: the network that it was built from.
        include_preprocessing: whether the model normalises pixels itself.
    """
    has_classifier = model.layers[-1].name == "predictions"
    # Rectangular and unknown inputs have no single size.
    sides = set(model.inputs[0].shape[1:-1])
    if keras.config.image_data_format() == "channels_first":
        sides = set(model.inputs[0].shape[2:])
    size = sides.pop() if len(sides) == 1 else None
    activation = getattr(model.layers[-1], "activation", None)
    model.passport = Passport(
        variant,
        classes=model.output_shape[-1] if has_classifier else None,
        multi_label=has_classifier and activation is keras.activations.sigmoid,
        include_preprocessing=include_preprocessing,
        image_size=size or variant.resolution,
    )


def of(model: keras.Model) -> Passport:
    """Returns a model's passport; an empty one if this package did not build it."""
    return getattr(model, "passport", None) or Passport(None)


def loads(text: str) -> Passport:
    """Reads the text of `Passport.dumps`; raises ValueError for another version's."""
    try:
        fields = json.loads(text)
        fields.pop("input_range", None)
        if fields.get("variant"):
            fields["variant"] = _variant(fields["variant"])
        fields["skipped"] = _tuple(fields["skipped"])
        if "multi_label" not in fields and fields.get("crop") == "fixed":
            # Earlier versions, whose passports have no multi_label, took 0.875 itself.
            fields["crop"] = "exact"
        fields.setdefault("exif", False)  # earlier versions turned no image
        if fields.get("class_names") is not None:
            fields["class_names"] = _tuple(fields["class_names"])
        passport = Passport(**fields)
        typed_fields.check(passport)
        return passport
    except RecursionError:
        raise ValueError("its passport is nested too deep: it is damaged") from None
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        reason = settings.shown(" ".join(str(error).split()))
        raise ValueError(
            f"its passport is damaged, or of another version ({reason})"
        ) from None


def checked(
    path: str, text: str | None, tensors: dict[str, np.ndarray]
) -> Passport | None:
    """Reads the passport in a file, and checks the weights by the passport's digest.

    Args:
        path: path of the file, for errors.
        text: the passport's JSON in the file; None if the file has none.
        tensors: the file's weights by its names.

    Raises:
        ValueError: if the passport cannot be read, or the weights were changed.
    """
    passport = unchecked(path, text)
    if passport is None:
        return None
    if passport.sha256 != digest(tensors):
        raise ValueError(
            f"{path}: the weights do not match the SHA-256 in the passport: the file "
            "is damaged or was changed"
        )
    return passport


def unchecked(path: str, text: str | None) -> Passport | None:
    """Reads the passport in a file's config, which has no digest.

    Args:
        path: path of the file, for errors.
        text: the passport's JSON in the file; None if the file has none.

    Raises:
        ValueError: if the passport cannot be read.
    """
    if not text:
        return None
    try:
        return loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _tuple(values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list):  # text has letters, a dictionary keys
        raise TypeError(f"{type(values).__name__} in place of a list")
    return tuple(values)


def _variant(fields: dict) -> variants.Variant:
    pixels = fields["pixels"]
    return variants.Variant(
        **fields
        | {
            "blocks": _tuple(fields["blocks"]),
            "pixels": variants.Pixels(
                _tuple(pixels["mean"]), _tuple(pixels["stddev"]), pixels["resize"]
            ),
        }
    )


def digest(tensors: dict[str, np.ndarray]) -> str:
    """Returns the SHA-256, in hex, over sorted paths, shapes and float32 values."""
    sha = hashlib.sha256()
    for path in sorted(tensors):
        array = np.ascontiguousarray(tensors[path], dtype="<f4")
        sha.update(f"{path}{array.shape}".encode())
        sha.update(array.data)
    return sha.hexdigest()
