"""Builders of the blocks of each kind; see `expansion.KINDS`.

Layer names are those of keras.applications where it has the block.
"""

from efficientnet_tf import expansion
from efficientnet_tf.models.layer_builder import LayerBuilder, Strides, Value


def build(layers: LayerBuilder, x: Value, block: expansion.Block) -> Value:
    """Puts a block behind `x`.

    Args:
        layers: builds or applies the block's layers.
        x: feature map [batch, height, width, block.input_filters].
        block: description of the block.

    Returns:
        [batch, height / strides, width / strides, block.output_filters], rounded up.
    """
    return _BUILDERS[block.kind](layers, x, block)


def _mbconv(layers: LayerBuilder, inputs: Value, block: expansion.Block) -> Value:
    """Expands, convolves depthwise, squeezes, projects, and adds the input."""
    x, routing = inputs, None
    if block.experts:
        routing = layers.routing(x, block.experts, name=f"{block.name}_routing")
    if block.expand_ratio != 1:
        x = _conv(layers, x, block, "expand_", routing=routing)
    x = _depthwise(layers, x, routing, block)
    x = _squeeze_excite(layers, x, block)
    x = _conv(layers, x, block, "project_", routing=routing)
    return _skip(layers, x, inputs, block)


def _edge(layers: LayerBuilder, inputs: Value, block: expansion.Block) -> Value:
    """Builds the original's MBConvBlockWithoutDepthwise: the projection strides."""
    x = inputs
    if block.expand_ratio != 1:
        x = _conv(layers, x, block, "expand_", size=block.kernel_size)
    x = _conv(layers, x, block, "project_", strides=block.strides)
    return _skip(layers, x, inputs, block)


def _fused(layers: LayerBuilder, inputs: Value, block: expansion.Block) -> Value:
    """Expands with a full convolution, which is the only one without an expansion."""
    x, size, strides = inputs, block.kernel_size, block.strides
    is_only = block.expand_ratio == 1
    if not is_only:
        x = _conv(layers, x, block, "expand_", size=size, strides=strides)
        size, strides = 1, (1, 1)
    x = _squeeze_excite(layers, x, block)
    x = _conv(
        layers, x, block, "project_", size=size, strides=strides, activated=is_only
    )
    return _skip(layers, x, inputs, block)


def _separable(layers: LayerBuilder, x: Value, block: expansion.Block) -> Value:
    """Convolves depthwise, then with an activated 1x1 kernel."""
    x = _depthwise(layers, x, None, block)
    return _conv(layers, x, block, "project_", activated=True)


def _bottleneck(layers: LayerBuilder, inputs: Value, block: expansion.Block) -> Value:
    """Reduces, convolves, projects, and adds the input or its projection."""
    first, second = (1, 1), block.strides
    if block.kind == "bottleneck_v1":
        first, second = second, first
    x = _conv(layers, inputs, block, "reduce_", strides=first)
    x = _conv(layers, x, block, "", size=block.kernel_size, strides=second)
    x = _conv(layers, x, block, "project_")
    shortcut = inputs
    if block.projects_shortcut:
        shortcut = _conv(layers, inputs, block, "shortcut_", strides=block.strides)
    x = layers.add(x, shortcut, drop_rate=block.drop_rate, name=block.name)
    return layers.activation(x, block.activation, f"{block.name}_output_activation")


_BUILDERS = {
    "mbconv": _mbconv,
    "edge": _edge,
    "fused": _fused,
    "separable": _separable,
    "bottleneck": _bottleneck,
    "bottleneck_v1": _bottleneck,
}


def _conv(
    layers: LayerBuilder,
    x: Value,
    block: expansion.Block,
    role: str,
    *,
    size: int = 1,
    strides: Strides = (1, 1),
    routing: Value | None = None,
    activated: bool = False,
) -> Value:
    """Adds a normalised convolution, whose layers are named by its role in the block.

    A convolution to the block's output filters is activated only if `activated`; all
    others are activated.
    `routing` mixes the kernels of a 1x1 convolution.
    """
    name = f"{block.name}_{role}"
    to_output = role in ("project_", "shortcut_")
    filters = block.output_filters if to_output else block.expanded_filters
    if routing is None:
        x = layers.conv(x, filters, size, strides=strides, name=f"{name}conv")
    else:
        x = layers.conditional_conv(x, routing, filters, name=f"{name}conv")
    x = layers.norm(x, f"{name}bn")
    if activated or not to_output:
        x = layers.activation(x, block.activation, f"{name}activation")
    return x


def _depthwise(
    layers: LayerBuilder, x: Value, routing: Value | None, block: expansion.Block
) -> Value:
    """Adds a normalised and activated depthwise convolution."""
    name = f"{block.name}_dwconv"
    if routing is None:
        x = layers.depthwise(x, block.kernel_size, strides=block.strides, name=name)
    else:
        x = layers.conditional_depthwise(
            x, routing, block.kernel_size, strides=block.strides, name=name
        )
    x = layers.norm(x, f"{block.name}_bn")
    return layers.activation(x, block.activation, f"{block.name}_activation")


def _squeeze_excite(layers: LayerBuilder, x: Value, block: expansion.Block) -> Value:
    if not block.se_filters:
        return x
    return layers.squeeze_excite(
        x,
        block.expanded_filters,
        block.se_filters,
        activation=block.activation,
        name=f"{block.name}_se",
    )


def _skip(
    layers: LayerBuilder, x: Value, inputs: Value, block: expansion.Block
) -> Value:
    if not block.skip:
        return x
    return layers.add(x, inputs, drop_rate=block.drop_rate, name=block.name)
