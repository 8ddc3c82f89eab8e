"""Names of PyTorch projects' weights, by this package's paths.

For each project, a function maps our layers to the project's modules. Sources: timm
_efficientnet_blocks.py and resnet.py, torchvision models/efficientnet.py and
mobilenetv2.py, efficientnet_pytorch model.py.
"""

from collections.abc import Collection

from efficientnet_tf.weights import model_layout

_VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


# A name that only this project's networks have.
MARKS = {
    "_conv_stem.weight": "lukemelas",
    "conv_stem.weight": "timm",
    "layer1.0.conv1.weight": "torch_resnet",
    "features.1.0.block.0.0.weight": "torchvision",
    "features.1.conv.0.0.weight": "torchvision_mobilenet_v2",
}


def detect(names: Collection[str]) -> str | None:
    """Returns the project that has these names; None if it is not known."""
    return next((project for mark, project in MARKS.items() if mark in names), None)


def names(model: model_layout.Layout, project: str) -> dict[str, str]:
    """Returns the project's name for each path.

    Args:
        model: the model's tensors.
        project: the project that `detect` returned.

    Raises:
        ValueError: if the project has no such network.
    """
    modules = _PROJECTS[project](model)
    missing = [t.layer for t in model.tensors if t.layer not in modules]
    if missing:
        raise ValueError(f"{project} has no name for layer {missing[0]!r}")
    return {
        tensor.path: f"{modules[tensor.layer]}.{_VARIABLES[tensor.variable]}"
        for tensor in model.tensors
    }


def _ends(*names: str) -> dict[str, str]:
    """Maps the layers before and after the blocks to names in the order of `ENDS`."""
    return dict(zip(model_layout.ENDS, names, strict=True))


def _timm(model: model_layout.Layout) -> dict[str, str]:
    modules = _ends("conv_stem", "bn1", "conv_head", "bn2", "classifier")
    squeeze = {"se_reduce": "se.conv_reduce", "se_expand": "se.conv_expand"}
    for block in model.blocks:
        prefix = f"blocks.{block.stage}.{block.repeat}"
        roles = _timm_convolutions(block) | squeeze | {"routing": "routing_fn"}
        for role in block.roles:
            if role in roles:
                modules[block.layer(role)] = f"{prefix}.{roles[role]}"
    return modules


def _timm_convolutions(block: model_layout.Block) -> dict[str, str]:
    """Returns timm's names of a block's layers, which depend on the kind of block."""
    if "dwconv" in block.roles and "expand_conv" in block.roles:
        convolutions = {"expand": "conv_pw", "dw": "conv_dw", "project": "conv_pwl"}
    elif "dwconv" in block.roles:
        convolutions = {"dw": "conv_dw", "project": "conv_pw"}
    elif "expand_conv" in block.roles:
        convolutions = {"expand": "conv_exp", "project": "conv_pwl"}
    else:
        convolutions = {"project": "conv"}
    names = {}
    for number, (role, module) in enumerate(convolutions.items(), 1):
        names["dwconv" if role == "dw" else f"{role}_conv"] = module
        names["bn" if role == "dw" else f"{role}_bn"] = f"bn{number}"
    return names


def _lukemelas(model: model_layout.Layout) -> dict[str, str]:
    modules = _ends("_conv_stem", "_bn0", "_conv_head", "_bn1", "_fc")
    roles = {
        "expand_conv": "_expand_conv",
        "expand_bn": "_bn0",
        "dwconv": "_depthwise_conv",
        "bn": "_bn1",
        "se_reduce": "_se_reduce",
        "se_expand": "_se_expand",
        "project_conv": "_project_conv",
        "project_bn": "_bn2",
    }
    for block in model.blocks:
        for role in block.roles:
            if role in roles and "dwconv" in block.roles:
                modules[block.layer(role)] = f"_blocks.{block.index}.{roles[role]}"
    return modules


def _torchvision_ends(head: int) -> dict[str, str]:
    stem, top = "features.0", f"features.{head}"
    return _ends(f"{stem}.0", f"{stem}.1", f"{top}.0", f"{top}.1", "classifier.1")


def _torchvision(model: model_layout.Layout) -> dict[str, str]:
    modules = _torchvision_ends(model.blocks[-1].stage + 2)
    for block in model.blocks:
        prefix = f"features.{block.stage + 1}.{block.repeat}.block"
        # A block is a sequence of (convolution, norm) pairs and the squeeze-excite.
        place = -1
        for role in block.roles:
            if role in ("expand_conv", "dwconv", "se_reduce", "project_conv"):
                place += 1
            part = {"se_reduce": "fc1", "se_expand": "fc2"}.get(role)
            part = part or ("1" if role.endswith("bn") else "0")
            modules[block.layer(role)] = f"{prefix}.{place}.{part}"
    return modules


def _torchvision_mobilenet_v2(model: model_layout.Layout) -> dict[str, str]:
    modules = _torchvision_ends(len(model.blocks) + 1)
    for block in model.blocks:
        prefix = f"features.{block.index + 1}.conv"
        # Each pair (convolution, norm) is one module, but the last pair is two.
        last = 2 if "expand_conv" in block.roles else 1
        modules |= {
            block.layer("expand_conv"): f"{prefix}.0.0",
            block.layer("expand_bn"): f"{prefix}.0.1",
            block.layer("dwconv"): f"{prefix}.{last - 1}.0",
            block.layer("bn"): f"{prefix}.{last - 1}.1",
            block.layer("project_conv"): f"{prefix}.{last}",
            block.layer("project_bn"): f"{prefix}.{last + 1}",
        }
    return modules


def _torch_resnet(model: model_layout.Layout) -> dict[str, str]:
    modules = {"stem_conv": "conv1", "stem_bn": "bn1", "predictions": "fc"}
    roles = {
        "reduce_conv": "conv1",
        "reduce_bn": "bn1",
        "conv": "conv2",
        "bn": "bn2",
        "project_conv": "conv3",
        "project_bn": "bn3",
        "shortcut_conv": "downsample.0",
        "shortcut_bn": "downsample.1",
    }
    for block in model.blocks:
        prefix = f"layer{block.stage + 1}.{block.repeat}"
        for role, module in roles.items():
            if "reduce_conv" in block.roles:
                modules[block.layer(role)] = f"{prefix}.{module}"
    return modules


_PROJECTS = {
    "timm": _timm,
    "lukemelas": _lukemelas,
    "torchvision": _torchvision,
    "torchvision_mobilenet_v2": _torchvision_mobilenet_v2,
    "torch_resnet": _torch_resnet,
}
