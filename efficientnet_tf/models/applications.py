"""EfficientNetB0 ... EfficientNetB7 with the signature of keras.applications."""

from efficientnet_tf.models import efficientnet


def _application(letter_and_number: str):
    """Makes the builder of one variant, `_application("b0")` that of B0."""
    default_name = f"efficientnet{letter_and_number}"

    def build(
        include_top=True,
        weights="imagenet",
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=1000,
        classifier_activation="softmax",
        name=default_name,
    ):
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

    build.__name__ = build.__qualname__ = f"EfficientNet{letter_and_number.upper()}"
    build.__doc__ = f"""Builds EfficientNet-{letter_and_number.upper()}; takes what
    `keras.applications.{build.__name__}` takes. See `EfficientNet` for the arguments.

    Raises:
        ValueError: for `weights="imagenet"`, the default there, until released weights
            can be fetched; pass None or a path.
    """
    return build


EfficientNetB0 = _application("b0")
EfficientNetB1 = _application("b1")
EfficientNetB2 = _application("b2")
EfficientNetB3 = _application("b3")
EfficientNetB4 = _application("b4")
EfficientNetB5 = _application("b5")
EfficientNetB6 = _application("b6")
EfficientNetB7 = _application("b7")
