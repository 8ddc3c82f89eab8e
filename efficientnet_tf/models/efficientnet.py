"""EfficientNet as a functional keras.Model, built from its expanded block list.

Layer names and layer semantics are those of keras.applications, so that its weights fit
and serve as an oracle. Two things differ on purpose: strided convolutions pad SAME
themselves (there are no ZeroPadding2D layers, and odd or unknown image sizes come out
as in the TF1 original), and one stateless Rescaling layer holds all preprocessing.
"""

import keras

from efficientnet_tf import variants

# ImageNet statistics in [0, 255], RGB; tensorflow/tpu efficientnet preprocessing.
MEAN_RGB = (123.675, 116.28, 103.53)
STDDEV_RGB = (58.395, 57.12, 57.375)


def EfficientNet(
    variant: str | variants.Variant,
    *,
    weights: str | None = None,
    include_top: bool = True,
    include_preprocessing: bool = True,
    input_tensor=None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    survival_prob: float | None = None,
    dropout_rate: float | None = None,
    synchronized: bool = False,
    name: str | None = None,
) -> keras.Model:
    """Builds a variant as a functional model of built-in Keras layers.

    Args:
        variant: a name of `list_variants()` or a `Variant`.
        weights: None for random ones, or the path of a `.weights.h5` or `.keras` file.
        include_top: whether the model ends in the classifier.
        include_preprocessing: whether the model takes RGB pixels in [0, 255], float or
            uint8, and normalises them itself; False takes normalised floats.
        input_tensor: optional `keras.Input` to build on.
        input_shape: (height, width, channels), with preprocessing 3 channels; None
            takes the variant's resolution with the classifier, any size without.
        pooling: without the classifier, None (a feature map), "avg" or "max".
        classes: number of classes.
        classifier_activation: None returns logits.
        survival_prob: of the last block; None takes the variant's 0.8, 1 turns
            stochastic depth off. Acts in training only.
        dropout_rate: before the classifier; None takes the variant's.
        synchronized: whether batch statistics are taken over all replicas of a
            `tf.distribute` strategy (TensorFlow backend only).
        name: of the model; None makes "efficientnetb0" of "efficientnet-b0".

    Returns:
        A model from float or uint8 [batch, height, width, 3] to float32
        [batch, classes], or to features without the top.

    Raises:
        ValueError: naming the argument that is wrong and what is allowed.
    """
    variant = variants.get_variant(variant)
    dropout_rate = variant.dropout if dropout_rate is None else dropout_rate
    _check_arguments(weights, pooling, classes, dropout_rate)
    network = variants.expand(variant, survival_prob=survival_prob)
    inputs = _inputs(input_tensor, input_shape, variant.resolution, include_top)
    if include_preprocessing:
        _check_rgb(inputs)
    layers = _Layers(synchronized)

    x = _preprocess(inputs) if include_preprocessing else inputs
    x = layers.conv(x, network.stem_filters, 3, strides=2, name="stem_conv")
    x = layers.norm(x, "stem_bn")
    x = layers.activation(x, network.activation, "stem_activation")
    for block in network.blocks:
        x = _inverted_residual(layers, x, block)
    x = layers.conv(x, network.head_filters, 1, name="top_conv")
    x = layers.norm(x, "top_bn")
    x = layers.activation(x, network.activation, "top_activation")
    if include_top:
        x = _classifier(x, classes, classifier_activation, dropout_rate)
    elif pooling == "avg":
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling2D(name="max_pool")(x)

    if input_tensor is not None:
        sources = keras.utils.get_source_inputs(input_tensor)
        inputs = sources[0] if len(sources) == 1 else sources
    model = keras.Model(inputs, x, name=name or variant.name.replace("-", ""))
    if weights is not None:
        _load(model, weights)
    return model


def _load(model, weights):
    try:
        model.load_weights(weights)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"weights={weights}: cannot be loaded into {model.name} ({error})"
        ) from None


def _check_arguments(weights, pooling, classes, dropout_rate):
    if weights == "imagenet":
        raise ValueError(
            'weights="imagenet": released weights cannot be fetched yet; pass '
            "weights=None for random ones or the path of a weights file"
        )
    if pooling not in (None, "avg", "max"):
        raise ValueError(f'pooling={pooling!r}: allowed are None, "avg" and "max"')
    if classes < 1:
        raise ValueError(f"classes={classes}: allowed are 1 and more")
    if not 0 <= dropout_rate < 1:
        raise ValueError(f"dropout_rate={dropout_rate}: allowed are 0 to below 1")


def _inputs(input_tensor, input_shape, resolution, include_top):
    if input_tensor is not None:
        return input_tensor
    channels_first = keras.config.image_data_format() == "channels_first"
    if input_shape is None:
        size = resolution if include_top else None
        input_shape = (3, size, size) if channels_first else (size, size, 3)
    if len(input_shape) != 3:
        raise ValueError(
            f"input_shape={input_shape}: allowed is (height, width, channels)"
        )
    return keras.Input(input_shape, name="image")


def _check_rgb(inputs):
    channels_first = keras.config.image_data_format() == "channels_first"
    if inputs.shape[1 if channels_first else -1] != 3:
        raise ValueError(
            f"input_shape={tuple(inputs.shape[1:])}: allowed is (height, width, 3), "
            "RGB; include_preprocessing=False takes any number of channels"
        )


def _full_precision():
    """A dtype for layers that half precision would harm, None to keep the policy's."""
    policy = keras.config.dtype_policy()
    return "float32" if policy.compute_dtype in ("float16", "bfloat16") else None


def _preprocess(x):
    """[0, 255] RGB to zero mean and unit variance, in full precision."""
    return keras.layers.Rescaling(
        scale=[1 / stddev for stddev in STDDEV_RGB],
        offset=[
            -mean / stddev for mean, stddev in zip(MEAN_RGB, STDDEV_RGB, strict=True)
        ],
        dtype=_full_precision(),
        name="preprocessing",
    )(x)


def _classifier(x, classes, activation, dropout_rate):
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if dropout_rate > 0:
        x = keras.layers.Dropout(dropout_rate, name="top_dropout")(x)
    return keras.layers.Dense(
        classes,
        activation=activation,
        # Uniform within 1/sqrt(classes), as in the original.
        kernel_initializer=keras.initializers.VarianceScaling(
            1 / 3, mode="fan_out", distribution="uniform"
        ),
        dtype=_full_precision(),
        name="predictions",
    )(x)


def _inverted_residual(layers, inputs, block: variants.Block):
    """MBConv: expand, depthwise, squeeze-excite, project, and add the input."""
    x = inputs
    if block.expand_ratio != 1:
        x = layers.conv(x, block.expanded_filters, 1, name=f"{block.name}_expand_conv")
        x = layers.norm(x, f"{block.name}_expand_bn")
        x = layers.activation(x, block.activation, f"{block.name}_expand_activation")
    x = layers.depthwise(
        x, block.kernel_size, strides=block.strides, name=f"{block.name}_dwconv"
    )
    x = layers.norm(x, f"{block.name}_bn")
    x = layers.activation(x, block.activation, f"{block.name}_activation")
    if block.se_filters:
        x = _squeeze_excite(layers, x, block)
    x = layers.conv(x, block.output_filters, 1, name=f"{block.name}_project_conv")
    x = layers.norm(x, f"{block.name}_project_bn")
    if not block.skip:
        return x
    if block.drop_rate > 0:
        x = keras.layers.Dropout(
            block.drop_rate, noise_shape=(None, 1, 1, 1), name=f"{block.name}_drop"
        )(x)
    return keras.layers.Add(name=f"{block.name}_add")([x, inputs])


def _squeeze_excite(layers, x, block: variants.Block):
    """Scales each channel by a gate computed from all channels' means."""
    gate = keras.layers.GlobalAveragePooling2D(name=f"{block.name}_se_squeeze")(x)
    gate = layers.reshape(gate, block.expanded_filters, f"{block.name}_se_reshape")
    gate = layers.conv(
        gate,
        block.se_filters,
        1,
        activation=block.activation,
        use_bias=True,
        name=f"{block.name}_se_reduce",
    )
    gate = layers.conv(
        gate,
        block.expanded_filters,
        1,
        activation="sigmoid",
        use_bias=True,
        name=f"{block.name}_se_expand",
    )
    return keras.layers.Multiply(name=f"{block.name}_se_excite")([x, gate])


class _Layers:
    """The layers the network repeats, with what all of them share."""

    def __init__(self, synchronized: bool):
        self._synchronized = synchronized
        self._channels_first = keras.config.image_data_format() == "channels_first"
        # Normal with variance 2 / (kernel area * output filters), not truncated, as
        # in the original (keras.applications truncates).
        # A config: each layer makes an initializer of it, with a seed of its own.
        self._initializer = {
            "class_name": "VarianceScaling",
            "config": {
                "scale": 2.0,
                "mode": "fan_out",
                "distribution": "untruncated_normal",
            },
        }

    def conv(self, x, filters, kernel_size, *, name, use_bias=False, **kwargs):
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            use_bias=use_bias,
            kernel_initializer=self._initializer,
            name=name,
            **kwargs,
        )(x)

    def depthwise(self, x, kernel_size, *, strides, name):
        return keras.layers.DepthwiseConv2D(
            kernel_size,
            strides=strides,
            padding="same",
            use_bias=False,
            depthwise_initializer=self._initializer,
            name=name,
        )(x)

    def norm(self, x, name):
        return keras.layers.BatchNormalization(
            axis=1 if self._channels_first else -1,
            momentum=0.99,
            epsilon=1e-3,
            synchronized=self._synchronized,
            name=name,
        )(x)

    def reshape(self, x, filters, name):
        """[batch, filters] to a feature map of one pixel."""
        shape = (filters, 1, 1) if self._channels_first else (1, 1, filters)
        return keras.layers.Reshape(shape, name=name)(x)

    def activation(self, x, activation, name):
        return keras.layers.Activation(activation, name=name)(x)
