"""Weights of files and releases in models: built already, or built for them."""

from collections.abc import Sequence

import keras

from efficientnet_tf import variants
from efficientnet_tf.models import efficientnet
from efficientnet_tf.weights import checkpoint as checkpoints
from efficientnet_tf.weights import conventions, layout, reading
from efficientnet_tf.weights import passport as passports


def load_weights(
    model: keras.Model | str,
    source: str,
    *,
    ema: bool = True,
    skip: Sequence[str] = (),
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
        ema: of a TF1 checkpoint, whether to take the moving averages.
        skip: layers ("predictions"), blocks ("block7a") or paths ("stem_bn/gamma") to
            leave as they are.

    Returns:
        The model. Its `load_report` says what became of every tensor, its `passport`
        how images are to be prepared.

    Raises:
        ValueError: naming every tensor that does not fit, with both shapes, or the
            convention in which model and weights differ. The model is as it was.
    """
    if isinstance(model, str):
        return from_weights(source, model, ema=ema, skip=skip)
    variant = passports.of(model).variant
    checkpoint = reading.open_source(source, variant, ema=ema)
    if variant is not None:
        _check_conventions(checkpoint, variant)
    checkpoint.assign(model, skip=skip)
    return model


def from_weights(
    source: str,
    variant: str | variants.Variant | None = None,
    *,
    ema: bool = True,
    skip: Sequence[str] = (),
    **kwargs,
) -> keras.Model:
    """Builds the network that weights are of, as they want it, and loads them.

    Args:
        source: see `load_weights`.
        variant: a name or a `Variant`; None goes by what the file says of itself.
        ema: see `load_weights`.
        skip: see `load_weights`.
        **kwargs: see `EfficientNet`; without `classes`, those of the file.

    Raises:
        ValueError: if the file does not say what it holds, or see `load_weights`.
    """
    given = None if variant is None else variants.get_variant(variant)
    checkpoint = reading.open_source(source, given, ema=ema)
    if given is None:
        given = checkpoint.variant
    if given is None:
        raise ValueError(
            f"{source} ({checkpoint.project}): does not say which model it holds; "
            "name it"
        )
    kwargs.setdefault("include_top", checkpoint.classes is not None)
    if kwargs["include_top"]:
        kwargs.setdefault("classes", checkpoint.classes or 1000)
    model = efficientnet.EfficientNet(
        checkpoint.adapt(variants.get_variant(given)), **kwargs
    )
    if not layout.layout(model).has("predictions"):
        skip = (*skip, "predictions")
    checkpoint.assign(model, skip=skip, part=kwargs.get("endpoints") is not None)
    return model


def _check_conventions(checkpoint: checkpoints.Checkpoint, have: variants.Variant):
    """Raises ValueError where the weights mean another network than was built."""
    want = checkpoint.adapt(have)
    for field in conventions.differences(have, want):
        raise ValueError(
            f"{checkpoint.source} ({checkpoint.project}): wants {field}="
            f"{getattr(want, field)}, the model was built with {getattr(have, field)}; "
            f"EfficientNet({have.name!r}, weights={checkpoint.source!r}) builds it as "
            "the weights want it"
        )
