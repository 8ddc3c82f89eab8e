"""The builders of keras.applications by their names and with their signatures."""

from collections.abc import Callable
from typing import Any

import keras

from efficientnet_tf.models import efficientnet

Builder = Callable[..., keras.Model]


def _v2(letter_and_number: str) -> Builder:
    """Makes the builder of one EfficientNetV2, such as that of S by `_v2("s")`."""
    variant = f"efficientnetv2-{letter_and_number}"

    def build(
        include_top: bool = True,
        weights: str | None = "imagenet",
        input_tensor: Any = None,
        input_shape: tuple[int | None, int | None, int] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        include_preprocessing: bool = True,
        name: str = variant,
    ) -> keras.Model:
        return efficientnet.EfficientNet(
            variant,
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            include_preprocessing=include_preprocessing,
            name=name,
        )

    return _named(build, f"EfficientNetV2{letter_and_number.upper()}")


def _v1(letter_and_number: str) -> Builder:
    """Makes the builder of one EfficientNet, such as that of B0 by `_v1("b0")`.

    Its signature is V2's without include_preprocessing.
    """
    default_name = f"efficientnet{letter_and_number}"

    def build(
        include_top: bool = True,
        weights: str | None = "imagenet",
        input_tensor: Any = None,
        input_shape: tuple[int | None, int | None, int] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str = default_name,
    ) -> keras.Model:
        return efficientnet.EfficientNet(
            f"efficientnet-{letter_and_number}",
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            name=name,
        )

    return _named(build, f"EfficientNet{letter_and_number.upper()}")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Returns its input, as in keras.applications: the models themselves normalise.

    Args:
        x: images with pixels from 0 to 255, an array or tensor of any shape.
        data_format: "channels_last" or "channels_first"; has no effect.
    """
    del data_format
    return x


def _named(build: Builder, name: str) -> Builder:
    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""Takes what `keras.applications.{name}` takes.

    See `EfficientNet` for the arguments and for the errors.
    """
    return build


EfficientNetB0 = _v1("b0")
EfficientNetB1 = _v1("b1")
EfficientNetB2 = _v1("b2")
EfficientNetB3 = _v1("b3")
EfficientNetB4 = _v1("b4")
EfficientNetB5 = _v1("b5")
EfficientNetB6 = _v1("b6")
EfficientNetB7 = _v1("b7")
EfficientNetV2B0 = _v2("b0")
EfficientNetV2B1 = _v2("b1")
EfficientNetV2B2 = _v2("b2")
EfficientNetV2B3 = _v2("b3")
EfficientNetV2S = _v2("s")
EfficientNetV2M = _v2("m")
EfficientNetV2L = _v2("l")
