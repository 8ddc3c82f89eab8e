"""Loads weights of files and releases into models, or builds models for them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from efficientnet_tf import expansion, variants
from efficientnet_tf.models import efficientnet
from efficientnet_tf.weights import conventions, evidence, reading
from efficientnet_tf.weights import passport as passports
from efficientnet_tf.weights.weights_file import WeightsFile


def load_weights(
    model: keras.Model | str, source: str, *, ema: bool = True, skip: Sequence[str] = ()
) -> keras.Model:
    """Loads a file or a release into a model.

    Reads this package's `.weights.h5`; keras.applications' and qubvel's `.h5`,
    `.weights.h5` and `.keras`; timm's, torchvision's and lukemelas' `.safetensors` and
    `.pth`; TF1 checkpoints of tensorflow/tpu and google/automl.

    Args:
        model: built by `EfficientNet`, or a variant's name, to build it with as many
            classes as the weights have.
        source: path of a file or TF1 checkpoint, or the name of a release, such as
            "imagenet" or "autoaugment".
        ema: True takes moving averages, False raw weights, if the file has both.
        skip: layers ("predictions"), blocks ("block7a") or paths ("stem_bn/gamma") to
            leave as they are. Names that only the file has ("my_head") are not loaded.

    Returns:
        The model. Its `load_report` says what became of every tensor, its `passport`
        how images are to be prepared.

    Raises:
        ValueError: naming every tensor that does not fit, with both shapes, or the
            convention in which model and weights differ. The model stays unchanged.
    """
    if isinstance(model, str):
        return from_weights(source, model, ema=ema, skip=skip)
    variant = passports.of(model).variant
    found = reading.read_weights(source, variant, ema=ema)
    want = _check_conventions(found, model)
    found.assign(model, skip=skip)
    if variant:  # resizing, outside of the network, is as the weights need it
        model.passport = dataclasses.replace(model.passport, variant=want)
    return model


def from_weights(
    source: str,
    variant: str | variants.Variant | None = None,
    *,
    ema: bool = True,
    skip: Sequence[str] = (),
    **kwargs: Any,
) -> keras.Model:
    """Builds the network that a file's weights belong to, and loads them.

    Args:
        source: as in `load_weights`.
        variant: a name or a `Variant`; None goes by what the file says of itself.
        ema: as in `load_weights`.
        skip: as in `load_weights`.
        **kwargs: keyword arguments of `EfficientNet`; `classes` defaults to the file's.

    Raises:
        ValueError: if the file does not say what it holds, or as `load_weights`.
    """
    given = None if variant is None else variants.get_variant(variant)
    found = reading.read_weights(source, given, ema=ema)
    network = given or found.variant
    if network is None:
        raise ValueError(
            f"{source} ({found.project}): does not say which model it holds; name it"
        )
    kwargs.setdefault("include_top", found.classes is not None)
    if kwargs["include_top"]:
        kwargs.setdefault("classes", found.classes or 1000)
    if found.multi_label:
        kwargs.setdefault("classifier_activation", "sigmoid")
    kwargs.setdefault("include_preprocessing", found.evidence.normalises is not False)
    named = ("blocks", "width", "depth", "activation")
    changes = {name: kwargs.pop(name, None) for name in named}
    # The file is compared with the network that is wanted, not with its family's.
    variant = found.adapt(expansion.customize(network, **changes))
    model = efficientnet.EfficientNet(variant, **kwargs)
    is_part = kwargs.get("endpoints") is not None
    if is_part or not kwargs["include_top"]:
        skip = (*skip, "predictions")
    found.assign(model, skip=skip, part=is_part)
    return model


def _check_conventions(found: WeightsFile, model: keras.Model) -> variants.Variant:
    """Returns the network that the weights need.

    Raises:
        ValueError: if the model is another one.
    """
    have = passports.of(model).variant or evidence.of_layers(model)
    want = found.adapt(have)
    for field in conventions.differences(have, want):
        if field == "pixels" and not evidence.model_normalises(model):
            continue  # the caller normalises them, as it likes
        raise ValueError(
            f"{found.source} ({found.project}): needs {field}="
            f"{getattr(want, field)}, but the model was built with "
            f"{getattr(have, field)}; EfficientNet({have.name!r}, "
            f"weights={found.source!r}) builds it as the weights need it"
        )
    return want
