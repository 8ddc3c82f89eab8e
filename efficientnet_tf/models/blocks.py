"""How a block of each kind is built; see `expansion.KINDS`.

Layer names are those of keras.applications where it has the block.
"""

from efficientnet_tf import expansion
from efficientnet_tf.models.layers import Layers


def build(layers: Layers, x, block: expansion.Block):
    """Adds a block to the graph behind `x`."""
    return _BUILDERS[block.kind](layers, x, block)


def _mbconv(layers, inputs, block):
    """Expand, depthwise, squeeze-excite, project, and add the input."""
    name, x, routing = block.name, inputs, None
    if block.experts:
        routing = layers.routing(x, block.experts, name=f"{name}_routing")
    if block.expand_ratio != 1:
        x = _pointwise(layers, x, routing, block, block.expanded_filters, "expand")
        x = layers.activation(x, block.activation, f"{name}_expand_activation")
    x = _depthwise(layers, x, routing, block)
    x = _squeeze_excite(layers, x, block)
    x = _pointwise(layers, x, routing, block, block.output_filters, "project")
    return _skip(layers, x, inputs, block)


def _edge(layers, x, block):
    """As the original's MBConvBlockWithoutDepthwise: the projection strides."""
    name, inputs = block.name, x
    if block.expand_ratio != 1:
        x = _expand(layers, x, block, strides=(1, 1))
    x = layers.conv(
        x, block.output_filters, 1, strides=block.strides, name=f"{name}_project_conv"
    )
    x = layers.norm(x, f"{name}_project_bn")
    return _skip(layers, x, inputs, block)


def _fused(layers, x, block):
    """Expansion and depthwise in one; without an expansion, one convolution alone."""
    name, inputs = block.name, x
    kernel_size, strides = block.kernel_size, block.strides
    if block.expand_ratio != 1:
        x = _expand(layers, x, block, strides=strides)
        kernel_size, strides = 1, (1, 1)
    x = _squeeze_excite(layers, x, block)
    x = layers.conv(
        x,
        block.output_filters,
        kernel_size,
        strides=strides,
        name=f"{name}_project_conv",
    )
    x = layers.norm(x, f"{name}_project_bn")
    if block.expand_ratio == 1:
        x = layers.activation(x, block.activation, f"{name}_project_activation")
    return _skip(layers, x, inputs, block)


def _separable(layers, x, block):
    """Depthwise, then an activated 1x1 convolution."""
    x = _depthwise(layers, x, None, block)
    x = _pointwise(layers, x, None, block, block.output_filters, "project")
    return layers.activation(x, block.activation, f"{block.name}_project_activation")


def _bottleneck(layers, inputs, block):
    """1x1, full convolution, 1x1, and add the input or its projection."""
    name, filters = block.name, block.expanded_filters
    first = block.strides if block.kind == "bottleneck_v1" else (1, 1)
    second = (1, 1) if block.kind == "bottleneck_v1" else block.strides
    x = layers.conv(inputs, filters, 1, strides=first, name=f"{name}_reduce_conv")
    x = layers.norm(x, f"{name}_reduce_bn")
    x = layers.activation(x, block.activation, f"{name}_reduce_activation")
    x = layers.conv(x, filters, block.kernel_size, strides=second, name=f"{name}_conv")
    x = layers.norm(x, f"{name}_bn")
    x = layers.activation(x, block.activation, f"{name}_activation")
    x = layers.conv(x, block.output_filters, 1, name=f"{name}_project_conv")
    x = layers.norm(x, f"{name}_project_bn")
    shortcut = inputs
    if block.projects_shortcut:
        shortcut = layers.conv(
            inputs,
            block.output_filters,
            1,
            strides=block.strides,
            name=f"{name}_shortcut_conv",
        )
        shortcut = layers.norm(shortcut, f"{name}_shortcut_bn")
    x = layers.add(x, shortcut, drop_rate=block.drop_rate, name=name)
    return layers.activation(x, block.activation, f"{name}_output_activation")


_BUILDERS = {
    "mbconv": _mbconv,
    "edge": _edge,
    "fused": _fused,
    "separable": _separable,
    "bottleneck": _bottleneck,
    "bottleneck_v1": _bottleneck,
}


def _expand(layers, x, block, *, strides):
    name = block.name
    x = layers.conv(
        x,
        block.expanded_filters,
        block.kernel_size,
        strides=strides,
        name=f"{name}_expand_conv",
    )
    x = layers.norm(x, f"{name}_expand_bn")
    return layers.activation(x, block.activation, f"{name}_expand_activation")


def _pointwise(layers, x, routing, block, filters, role):
    """A normalised 1x1 convolution."""
    name = f"{block.name}_{role}_conv"
    if routing is None:
        x = layers.conv(x, filters, 1, name=name)
    else:
        x = layers.conditional_conv(
            x, routing, filters, experts=block.experts, name=name
        )
    return layers.norm(x, f"{block.name}_{role}_bn")


def _depthwise(layers, x, routing, block):
    """A normalised and activated depthwise convolution."""
    name = f"{block.name}_dwconv"
    if routing is None:
        x = layers.depthwise(x, block.kernel_size, strides=block.strides, name=name)
    else:
        x = layers.conditional_depthwise(
            x,
            routing,
            block.kernel_size,
            experts=block.experts,
            strides=block.strides,
            name=name,
        )
    x = layers.norm(x, f"{block.name}_bn")
    return layers.activation(x, block.activation, f"{block.name}_activation")


def _squeeze_excite(layers, x, block):
    if not block.se_filters:
        return x
    return layers.squeeze_excite(
        x,
        block.expanded_filters,
        block.se_filters,
        activation=block.activation,
        name=f"{block.name}_se",
    )


def _skip(layers, x, inputs, block):
    if not block.skip:
        return x
    return layers.add(x, inputs, drop_rate=block.drop_rate, name=block.name)
