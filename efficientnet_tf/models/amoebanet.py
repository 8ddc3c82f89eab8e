"""AmoebaNet-B, which the paper's Table 4 times against EfficientNet-B7.

The cells are those of arXiv 1802.01548, as `amoeba_net_b` in tensorflow/tpu
models/official/amoeba_net/model_specs.py; they are joined as in model_builder.py and
network_utils.py there. The size, 18 cells of 512 filters and 480x480 pixels, is that of
"AmoebaNet-B (18, 512)" in GPipe, arXiv 1811.06965, section 4.

The parameters agree with GPipe's 557 million: 557,277,864 are trainable, with 1,000
classes, the 32 stem filters of amoeba_net_model.py and no auxiliary head (whose 1.8
million would make 559), and 487,616 more are moving statistics. So `filters` is
`reduction_size` there, the width of the first normal cells; the two cells of the stem
have a quarter and half of it.
"""

import numbers
from typing import Any

import keras

from efficientnet_tf.models.layers import Layers, full_precision

# A state is the sum of a pair of steps (index of a state, operation on it). States 0
# and 1 are the outputs of the previous cell and of the one before it, each after a 1x1
# convolution. The cell's output joins the states in *_OUTPUTS.
NORMAL = (
    ((1, "conv_1x1"), (1, "max_3x3")),
    ((1, "none"), (0, "separable_3x3")),
    ((1, "conv_1x1"), (0, "separable_3x3")),
    ((2, "conv_1x1"), (2, "none")),
    ((1, "avg_3x3"), (5, "conv_1x1")),
)
NORMAL_OUTPUTS = (0, 3, 4, 6)
# The 5x5 is called dilated in model_specs.py; network_utils.py builds it without
# dilation. Neither parameters nor multiply-accumulates depend on it.
REDUCTION = (
    ((0, "max_2x2"), (0, "max_3x3")),
    ((2, "none"), (1, "bottleneck_3x3")),
    ((2, "separable_5x5"), (2, "max_3x3")),
    ((3, "none"), (1, "separable_3x3")),
    ((4, "avg_3x3"), (3, "conv_1x1")),
)
REDUCTION_OUTPUTS = (5, 6)
STEM_FILTERS = 32  # stem_reduction_size in amoeba_net_model.py


def AmoebaNetB(
    layers: int = 18,
    filters: int = 512,
    *,
    classes: int = 1000,
    input_shape: tuple[int, int, int] = (480, 480, 3),
    name: str = "amoebanet_b",
) -> keras.Model:
    """Builds the network, for inference only.

    The auxiliary head, drop path and dropout act only in training and are left out.

    Args:
        layers: int, normal cells, a multiple of 3; a reduction follows the first and
            the second third.
        filters: int, width of the first third, a multiple of 16; each reduction
            doubles it.
        classes: int, number of classes.
        input_shape: (height, width, channels).
        name: name of the model.

    Returns:
        A model from pixels in [0, 255], float or uint8 [batch, height, width,
        channels], to probabilities, float32 [batch, classes].

    Raises:
        ValueError: naming the argument that is wrong and what is allowed.
    """
    _check_arguments(layers, filters, classes, input_shape)
    builder = Layers(
        padding="same",
        batch_norm="local",
        momentum=0.9997,
        epsilon=0.001,
        distribution="truncated_normal",
    )
    inputs = keras.Input(input_shape, name="image")
    # To [-1, 1], as inception_preprocessing.py does.
    x = keras.layers.Rescaling(1 / 127.5, -1, name="preprocessing")(inputs)
    x = _stem(builder, x)
    before = None
    for cell_name, width, is_reduction in _cells(layers, filters):
        cell = _Cell(builder, cell_name, width, is_reduction=is_reduction)
        x, before = cell(x, before), x
    x = keras.layers.Activation("relu", name="top_activation")(x)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    outputs = keras.layers.Dense(
        classes, activation="softmax", dtype=full_precision(), name="predictions"
    )(x)
    return keras.Model(inputs, outputs, name=name)


def _check_arguments(
    layers: int, filters: int, classes: int, input_shape: tuple[int, int, int]
) -> None:
    for argument, value, step in [
        ("layers", layers, 3),
        ("filters", filters, 16),
        ("classes", classes, 1),
    ]:
        if not isinstance(value, numbers.Integral) or value < 1 or value % step:
            raise ValueError(
                f"{argument}={value}: allowed are whole multiples of {step}"
            )
    if len(input_shape) != 3 or None in input_shape:
        raise ValueError(
            f"input_shape={input_shape}: allowed is (height, width, channels)"
        )
    if keras.config.image_data_format() == "channels_first":
        raise ValueError(
            "image_data_format=channels_first: AmoebaNet-B takes channels_last only"
        )


def _cells(layers: int, filters: int) -> Any:
    """Yields each cell's name, its width, and whether it reduces."""
    yield "stem_cell1", filters // 4, True
    yield "stem_cell2", filters // 2, True
    for third in range(3):
        width = filters * 2**third
        if third:
            yield f"reduction{third}", width, True
        for repeat in range(layers // 3):
            yield f"cell{third * layers // 3 + repeat + 1}", width, False


def _stem(builder: Layers, x: keras.KerasTensor) -> keras.KerasTensor:
    """Adds the stem, the one convolution that does not pad."""
    x = keras.layers.Conv2D(
        STEM_FILTERS,
        3,
        strides=2,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
        name="stem_conv",
    )(x)
    return builder.norm(x, "stem_bn")


class _Cell:
    """Adds one cell to the graph behind the two cells before it."""

    def __init__(self, builder: Layers, name: str, filters: int, *, is_reduction: bool):
        self._builder = builder
        self._name = name
        self._filters = filters
        self._strides = 2 if is_reduction else 1
        self._steps = REDUCTION if is_reduction else NORMAL
        self._outputs = REDUCTION_OUTPUTS if is_reduction else NORMAL_OUTPUTS

    def __call__(
        self, x: keras.KerasTensor, before: keras.KerasTensor
    ) -> keras.KerasTensor:
        """Adds the cell behind `x`; `before` is None where no cell is before it."""
        states = [self._conv(x, "input"), self._fitted(before, x)]
        for number, pair in enumerate(self._steps):
            sides = [
                self._apply(step, states[index], index, f"state{number + 2}_{side}")
                for (index, step), side in zip(pair, ("left", "right"), strict=True)
            ]
            added = keras.layers.Add(name=f"{self._name}_state{number + 2}")(sides)
            states.append(added)
        outputs = [states[index] for index in self._outputs]
        return keras.layers.Concatenate(name=f"{self._name}_output")(outputs)

    def _fitted(
        self, before: keras.KerasTensor, x: keras.KerasTensor
    ) -> keras.KerasTensor:
        """Brings the cell before last into the shape of this cell's input."""
        if before is None:
            return x
        if before.shape[1:3] != x.shape[1:3]:
            return self._halved(before)
        if before.shape[-1] != self._filters:
            return self._conv(before, "before")
        return before

    def _halved(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Halves the map; half the channels start one row and one column further on."""
        name = f"{self._name}_before"
        x = self._relu(x, "before")
        pad = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")
        shift = keras.layers.Cropping2D(((1, 0), (1, 0)), name=f"{name}_shift")
        conv = self._builder.conv
        filters = self._filters // 2
        halves = [
            conv(half, filters, 1, strides=(2, 2), name=f"{name}_conv{number}")
            for number, half in ((1, x), (2, shift(pad(x))))
        ]
        x = keras.layers.Concatenate(name=f"{name}_halves")(halves)
        return self._builder.norm(x, f"{name}_bn")

    def _apply(
        self, step: str, x: keras.KerasTensor, index: int, role: str
    ) -> keras.KerasTensor:
        """Applies one step; only steps on the cell's inputs stride."""
        strides = self._strides if index < 2 else 1
        kind, _, kernel = step.partition("_")
        size = int(kernel[:1] or 1)
        if kind in ("max", "avg"):
            x = self._pool(x, kind, size, strides, role)
            return (
                x if x.shape[-1] == self._filters else self._conv(x, role, relu=False)
            )
        if kind == "separable":
            x = self._separable(x, size, strides, f"{role}_1")
            return self._separable(x, size, 1, f"{role}_2")
        if kind == "bottleneck":
            inner = self._filters // 4
            x = self._conv(x, f"{role}_reduce", filters=inner)
            x = self._conv(x, role, size, strides=strides, filters=inner)
            return self._conv(x, f"{role}_expand")
        if kind == "conv" or strides > 1 or x.shape[-1] != self._filters:
            return self._conv(x, role, size, strides=strides)
        return x

    def _relu(self, x: keras.KerasTensor, role: str) -> keras.KerasTensor:
        return self._builder.activation(x, "relu", f"{self._name}_{role}_activation")

    def _conv(
        self,
        x: keras.KerasTensor,
        role: str,
        size: int = 1,
        *,
        strides: int = 1,
        filters: int | None = None,
        relu: bool = True,
    ) -> keras.KerasTensor:
        """Rectifies, convolves and normalises."""
        x = self._relu(x, role) if relu else x
        filters = filters or self._filters
        name = f"{self._name}_{role}"
        x = self._builder.conv(
            x, filters, size, strides=(strides, strides), name=f"{name}_conv"
        )
        return self._builder.norm(x, f"{name}_bn")

    def _separable(
        self, x: keras.KerasTensor, size: int, strides: int, role: str
    ) -> keras.KerasTensor:
        x = self._relu(x, role)
        name = f"{self._name}_{role}"
        x = self._builder.depthwise(
            x, size, strides=(strides, strides), name=f"{name}_dwconv"
        )
        x = self._builder.conv(x, self._filters, 1, name=f"{name}_conv")
        return self._builder.norm(x, f"{name}_bn")

    def _pool(
        self, x: keras.KerasTensor, kind: str, size: int, strides: int, role: str
    ) -> keras.KerasTensor:
        name = f"{self._name}_{role}_pool"
        layers = keras.layers
        layer = layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D
        return layer(size, strides=strides, padding="same", name=name)(x)
