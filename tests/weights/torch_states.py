"""State dictionaries of PyTorch's projects, from tables of names of our own."""

import numpy as np
from weight_helpers import values

import efficientnet_tf as en

TEST = "efficientnet-test"
NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def lukemelas(network):
    """(layer, module) after efficientnet_pytorch model.py."""
    yield from [("stem_conv", "_conv_stem"), ("stem_bn", "_bn0")]
    for index, block in enumerate(network):
        module = f"_blocks.{index}."
        if block.expand_ratio != 1:
            yield f"{block.name}_expand_conv", f"{module}_expand_conv"
            yield f"{block.name}_expand_bn", f"{module}_bn0"
        yield f"{block.name}_dwconv", f"{module}_depthwise_conv"
        yield f"{block.name}_bn", f"{module}_bn1"
        yield f"{block.name}_se_reduce", f"{module}_se_reduce"
        yield f"{block.name}_se_expand", f"{module}_se_expand"
        yield f"{block.name}_project_conv", f"{module}_project_conv"
        yield f"{block.name}_project_bn", f"{module}_bn2"
    yield from [("top_conv", "_conv_head"), ("top_bn", "_bn1"), ("predictions", "_fc")]


def torchvision(network):
    """(layer, module) after torchvision models/efficientnet.py."""
    yield from [("stem_conv", "features.0.0"), ("stem_bn", "features.0.1")]
    for block in network:
        stage, repeat = int(block.name[5]), ord(block.name[6]) - ord("a")
        module = f"features.{stage}.{repeat}.block"
        first = 1 if block.expand_ratio != 1 else 0
        if first:
            yield f"{block.name}_expand_conv", f"{module}.0.0"
            yield f"{block.name}_expand_bn", f"{module}.0.1"
        yield f"{block.name}_dwconv", f"{module}.{first}.0"
        yield f"{block.name}_bn", f"{module}.{first}.1"
        yield f"{block.name}_se_reduce", f"{module}.{first + 1}.fc1"
        yield f"{block.name}_se_expand", f"{module}.{first + 1}.fc2"
        yield f"{block.name}_project_conv", f"{module}.{first + 2}.0"
        yield f"{block.name}_project_bn", f"{module}.{first + 2}.1"
    head = f"features.{int(network.blocks[-1].name[5]) + 1}"
    yield from [("top_conv", f"{head}.0"), ("top_bn", f"{head}.1")]
    yield "predictions", "classifier.1"


def state_dict(table, source, variant=TEST):
    """A model's weights as PyTorch has them."""
    modules = dict(table(en.expand(variant)))
    state = {}
    for path, value in values(source).items():
        layer, variable = path.split("/")
        if variable == "kernel" and value.ndim == 4:
            axes = (2, 3, 0, 1) if layer.endswith("dwconv") else (3, 2, 0, 1)
            value = value.transpose(axes)
        elif variable == "kernel":
            value = value.T
        name = {"kernel": "weight", "bias": "bias"}.get(variable) or NORM[variable]
        state[f"{modules[layer]}.{name}"] = np.ascontiguousarray(value)
        if variable == "gamma":
            counter = f"{modules[layer]}.num_batches_tracked"
            state[counter] = np.array(7, np.int64)
    return state


def write(path, state):
    from safetensors import numpy

    numpy.save_file(state, path)
    return str(path)
