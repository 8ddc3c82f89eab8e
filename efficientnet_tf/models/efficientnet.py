"""Every variant as a functional keras.Model, built from its expanded block list.

Layer names and layer semantics are those of keras.applications, so that its weights fit
and its outputs check ours. Two things differ on purpose: strided convolutions pad SAME
themselves (there are no ZeroPadding2D layers, and odd or unknown image sizes give the
results of the TF1 original), and one stateless Rescaling layer does all preprocessing.
"""

import contextlib
import dataclasses
import numbers
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from efficientnet_tf import counting, expansion, variants
from efficientnet_tf.models import blocks as block_builders
from efficientnet_tf.models.layer_builder import LayerBuilder
from efficientnet_tf.models.layers import BATCH_NORMS, Layers, full_precision
from efficientnet_tf.weights import keras_passport, passport, reading


def EfficientNet(
    variant: str | variants.Variant = "efficientnet-b0",
    *,
    blocks: Sequence[str] | None = None,
    width: float | None = None,
    depth: float | None = None,
    weights: str | None = None,
    include_top: bool = True,
    include_preprocessing: bool = True,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    endpoints: Sequence[str] | None = None,
    activation: str | None = None,
    survival_prob: float | None = None,
    dropout_rate: float | None = None,
    batch_norm: str = "local",
    name: str | None = None,
) -> keras.Model:
    """Builds a variant as a functional model of built-in Keras layers.

    Conditional convolutions (`cc` blocks) and grouped batch norm are layers of this
    package; everything else is Keras's own.

    Args:
        variant: a name of `list_variants()` or a `Variant`.
        blocks: block strings of a network of your own, in place of the variant's.
        width: float, filter multiplier; None takes the variant's.
        depth: float, repeat multiplier; None takes the variant's.
        weights: None for random ones, or a file or release, see `load_weights`. The
            model then has the preprocessing, padding and epsilon that the file states.
        include_top: whether the model ends in the classifier.
        include_preprocessing: whether the model takes pixels in [0, 255], float or
            uint8, and normalises them itself; False takes normalised floats.
        input_tensor: optional `keras.Input` to build on.
        input_shape: (height, width, channels); None takes the variant's resolution
            with the classifier, any size without, and RGB. If there are not
            3 channels, all are normalised by the mean of the RGB statistics.
        pooling: without the classifier, None (a feature map), "avg" or "max".
        classes: int, number of classes.
        classifier_activation: "softmax", "sigmoid" for several labels an image, None
            for logits. Weights that were trained with several labels an image have
            "sigmoid" in place of "softmax".
        endpoints: feature maps to return by name in place of all else: "stem",
            "reduction_1" ... "reduction_5" (the last map before each stride, and the
            last block's), "features" (what is pooled), "pooled_features".
        activation: name of the activation, except where a block string names one.
        survival_prob: float in (0, 1], of the last block; None takes the variant's, 1
            turns stochastic depth off. It acts in training only.
        dropout_rate: float, dropout before the classifier; None takes the variant's.
        batch_norm: the statistics in training: over each replica of a `tf.distribute`
            strategy ("local"), over all ("sync"), over groups as in the original on
            large TPU slices ("grouped"), or the moving ones ("frozen"), where neither
            these nor scale and shift are updated.
        name: name of the model; None makes "efficientnetb0" of "efficientnet-b0".

    Returns:
        A model from float or uint8 [batch, height, width, channels] to float32
        [batch, classes], to features without the top, or to a dictionary of feature
        maps.

    Raises:
        ValueError: naming the argument that is wrong and what is allowed.
    """
    variant = expansion.customize(
        variant, blocks=blocks, width=width, depth=depth, activation=activation
    )
    dropout_rate = variant.dropout if dropout_rate is None else dropout_rate
    _check_arguments(pooling, classes, dropout_rate, batch_norm, variant.activation)
    if endpoints is not None:
        _check_endpoints(endpoints, expansion.expand(variant))
    # Last, because a release may have to be fetched.
    found = None if weights is None else reading.read_weights(weights, variant)
    if found:
        found.check_input(include_preprocessing=include_preprocessing)
        variant = found.adapt(variant)
        if found.multi_label and classifier_activation == "softmax":
            classifier_activation = "sigmoid"
    network = expansion.expand(variant, survival_prob=survival_prob)
    has_classifier = include_top and endpoints is None
    inputs = _inputs(input_tensor, input_shape, variant.resolution, has_classifier)
    _check_size(variant, inputs, classes if has_classifier else 0)
    layers = Layers(
        padding=variant.padding,
        batch_norm=batch_norm,
        momentum=variant.batch_norm_momentum,
        epsilon=variant.batch_norm_epsilon,
        distribution=variant.distribution,
    )
    x = _preprocess(inputs, variant.pixels) if include_preprocessing else inputs
    maps = feature_maps(layers, x, cut_behind(endpoints, network))
    if endpoints is not None:
        outputs = _choose(maps, network, endpoints)
    elif has_classifier:
        outputs = _classifier(
            maps["features"], classes, classifier_activation, dropout_rate
        )
    else:
        outputs = _pool(maps["features"], pooling)

    if input_tensor is not None:
        sources = keras.utils.get_source_inputs(input_tensor)
        inputs = sources[0] if len(sources) == 1 else sources
    name = name or variant.name.replace("-", "")
    with deep_graphs():
        model = keras.Model(inputs, outputs, name=name)
    passport.describe(model, variant, include_preprocessing=include_preprocessing)
    keras_passport.attach(model)
    if found:
        skip = () if has_classifier else ("predictions",)
        found.assign(model, skip=skip, part=endpoints is not None)
    return model


def feature_maps(
    layers: LayerBuilder,
    x: Any,
    network: expansion.Expansion,
    *,
    build: Callable[..., Any] = block_builders.build,
) -> dict:
    """Adds stem, blocks and head to a graph.

    Args:
        layers: adds or applies each layer, see `LayerBuilder`.
        x: normalised images [batch, height, width, channels].
        network: the blocks to build.
        build: adds a block; takes layers, the block's input and its description.

    Returns:
        Each block's output by its name, "stem" and "features".
    """
    x = layers.conv(
        x, network.stem_filters, network.stem_kernel, strides=(2, 2), name="stem_conv"
    )
    x = layers.norm(x, "stem_bn")
    x = layers.activation(x, network.activation, "stem_activation")
    maps = {"stem": x}
    if network.stem_pool:
        x = layers.max_pool(x, "stem_pool", activation=network.activation)
    for block in network.blocks:
        x = build(layers, x, block)
        maps[block.name] = x
    if network.head_filters:
        x = layers.conv(x, network.head_filters, 1, name="top_conv")
        x = layers.norm(x, "top_bn")
        x = layers.activation(x, network.activation, "top_activation")
    return maps | {"features": x}


def _check_endpoints(endpoints: Sequence[str], network: expansion.Expansion) -> None:
    if not endpoints or isinstance(endpoints, str):
        raise ValueError(f"endpoints={endpoints!r}: allowed is a list of names")
    known = ("stem", *network.reductions(), "features", "pooled_features")
    for name in endpoints:
        if name not in known:
            raise ValueError(
                f"endpoints: {name!r} is unknown; allowed are {', '.join(known)}"
            )


def cut_behind(
    endpoints: Sequence[str] | None, network: expansion.Expansion
) -> expansion.Expansion:
    """Cuts the network behind the last endpoint.

    Args:
        endpoints: names of blocks or reductions, "stem" or "features"; None cuts
            nothing.
        network: the whole network.
    """
    if endpoints is None or {"features", "pooled_features"} & set(endpoints):
        return network
    reductions = network.reductions()
    names = ["stem", *(block.name for block in network.blocks)]
    last = max(names.index(reductions.get(name, name)) for name in endpoints)
    return dataclasses.replace(network, blocks=network.blocks[:last], head_filters=0)


def _choose(maps: dict, network: expansion.Expansion, endpoints: Sequence[str]) -> dict:
    """Picks the endpoints that are asked for."""
    chosen = {name: network.reductions().get(name, name) for name in endpoints}
    if "pooled_features" in chosen:
        maps = maps | {"pooled_features": _pool(maps["features"], "avg")}
    return {name: maps[of] for name, of in chosen.items()}


def _pool(x: Any, pooling: str | None) -> Any:
    if pooling is None:
        return x
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.layers.GlobalMaxPooling2D(name="max_pool")(x)


def _classifier(x: Any, classes: int, activation: Any, dropout_rate: float) -> Any:
    x = _pool(x, "avg")
    if dropout_rate > 0:
        x = keras.layers.Dropout(dropout_rate, name="top_dropout")(x)
    return keras.layers.Dense(
        classes,
        activation=activation,
        # Uniform within 1/sqrt(classes), as in the original.
        kernel_initializer=keras.initializers.VarianceScaling(
            1 / 3, mode="fan_out", distribution="uniform"
        ),
        dtype=full_precision(),
        name="predictions",
    )(x)


@contextlib.contextmanager
def deep_graphs() -> Iterator[None]:
    """Lets Keras recurse from layer to layer: EfficientNetV2-XL has over 1,000."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 20_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _check_arguments(
    pooling: str | None,
    classes: int,
    dropout_rate: float,
    batch_norm: str,
    activation: Any,
) -> None:
    if pooling not in (None, "avg", "max"):
        raise ValueError(f'pooling={pooling!r}: allowed are None, "avg" and "max"')
    if not isinstance(classes, numbers.Integral) or classes < 1:
        raise ValueError(f"classes={classes}: allowed are whole numbers from 1")
    try:
        keras.activations.get(activation)
    except ValueError:
        raise ValueError(
            f"activation={activation!r}: allowed are the names of Keras's activations"
        ) from None
    if not isinstance(dropout_rate, numbers.Real) or not 0 <= dropout_rate < 1:
        raise ValueError(f"dropout_rate={dropout_rate}: allowed are 0 to below 1")
    if batch_norm not in BATCH_NORMS:
        raise ValueError(
            f"batch_norm={batch_norm!r}: allowed are {', '.join(BATCH_NORMS)}"
        )


def _check_size(variant: variants.Variant, inputs: Any, classes: int) -> None:
    """Raises ValueError for a network that no machine has room for."""
    channels_first = keras.config.image_data_format() == "channels_first"
    sides = inputs.shape[2:4] if channels_first else inputs.shape[1:3]
    rows, columns = (side or variant.resolution for side in sides)
    counting.check_size(
        variant,
        image_size=(rows, columns),
        classes=classes,
        named={
            "network": variant.name,
            "classes": f"classes={classes}",
            "image_size": f"input_shape={inputs.shape[1:]}",
        },
    )


def _inputs(
    input_tensor: Any, input_shape: Any, resolution: int, has_classifier: bool
) -> Any:
    if input_tensor is not None:
        return input_tensor
    channels_first = keras.config.image_data_format() == "channels_first"
    if input_shape is None:
        size = resolution if has_classifier else None
        input_shape = (3, size, size) if channels_first else (size, size, 3)
    if len(input_shape) != 3 or not input_shape[0 if channels_first else 2]:
        raise ValueError(
            f"input_shape={input_shape}: allowed is (height, width, channels)"
        )
    return keras.Input(input_shape, name="image")


def _preprocess(x: Any, pixels: variants.Pixels) -> Any:
    """Normalises pixels in [0, 255] to zero mean and unit variance, in float32."""
    channels_first = keras.config.image_data_format() == "channels_first"
    channels = x.shape[1 if channels_first else -1]
    mean: Sequence[float] = pixels.mean
    stddev: Sequence[float] = pixels.stddev
    if channels != 3:
        mean, stddev = ([sum(values) / 3] * channels for values in (mean, stddev))
    return keras.layers.Rescaling(
        scale=[1 / value for value in stddev],
        offset=[-m / s for m, s in zip(mean, stddev, strict=True)],
        dtype=full_precision(),
        name="preprocessing",
    )(x)
