"""PyTorch weights: timm, torchvision and lukemelas EfficientNet-PyTorch.

Each project's names are a table from our layers to its modules. Sources: timm
_efficientnet_blocks.py and resnet.py, torchvision models/efficientnet.py and
mobilenetv2.py, efficientnet_pytorch model.py.
"""

from collections.abc import Mapping

import numpy as np

from efficientnet_tf.weights import layout

_VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# Axes of ours in the order in which PyTorch has them: out, in, rows, columns.
_AXES = {"conv": (3, 2, 0, 1), "depthwise": (2, 3, 0, 1), "dense": (1, 0)}


def read(path: str) -> tuple[dict[str, np.ndarray], list[str], str | None]:
    """The weights of a `.safetensors`, `.pth`, `.pt` or `.bin` file by name.

    Returns:
        The weights, the names of what no model needs, and the passport, if we wrote it.

    Raises:
        ValueError: if the library to read it is missing, or the file is no such file.
    """
    stated = None
    if path.endswith(".safetensors"):
        tensors, stated = _safetensors(path)
    else:
        tensors = _pickle(path)
    tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    unused = [name for name in tensors if name.endswith("num_batches_tracked")]
    for name in unused:
        del tensors[name]
    return tensors, unused, stated


def write(path: str, tensors: Mapping[str, np.ndarray], *, passport: str) -> None:
    """Writes a `.safetensors` file as timm does, counters of batch norms included.

    Args:
        path: of the file.
        tensors: by timm's names.
        passport: goes where PyTorch does not look.
    """
    from safetensors import numpy

    counters = {
        name.replace("running_mean", "num_batches_tracked"): np.array(0, np.int64)
        for name in tensors
        if name.endswith("running_mean")
    }
    contiguous = {name: np.ascontiguousarray(v) for name, v in tensors.items()}
    metadata = {"format": "pt", "passport": passport}
    numpy.save_file(contiguous | counters, path, metadata=metadata)


def _safetensors(path: str) -> tuple[dict[str, np.ndarray], str | None]:
    try:
        import safetensors
    except ImportError:
        raise ValueError(
            f"{path}: needs safetensors to read; pip install safetensors"
        ) from None
    try:
        with safetensors.safe_open(path, framework="np") as file:
            stated = (file.metadata() or {}).get("passport")
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, stated
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: is no safetensors file ({error})") from None


def _pickle(path: str) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"{path}: needs PyTorch to read; pip install torch, or take the same "
            "weights as .safetensors"
        ) from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickles of anything raise anything
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{path}: PyTorch cannot read it as weights ({first_line})"
        ) from None
    for key in ("state_dict_ema", "state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(map(torch.is_tensor, content.values())):
        raise ValueError(f"{path}: is no dictionary of tensors by name")
    return {name: value.float().numpy() for name, value in content.items()}


def detect(names) -> str | None:
    """The project whose names these are."""
    marks = {
        "_conv_stem.weight": "lukemelas",
        "conv_stem.weight": "timm",
        "layer1.0.conv1.weight": "torch_resnet",
        "features.1.0.block.0.0.weight": "torchvision",
        "features.1.conv.0.0.weight": "torchvision_mobilenet_v2",
    }
    return next((project for mark, project in marks.items() if mark in names), None)


def names(model: layout.Layout, project: str) -> dict[str, str]:
    """The project's name of each path.

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


def encode(tensor: layout.Tensor, value: np.ndarray) -> np.ndarray:
    """Our value as PyTorch holds it."""
    if tensor.kind.startswith("experts"):
        experts = len(value)
        axes = _AXES[tensor.kind.removeprefix("experts_")]
        value = value.transpose(0, *(axis + 1 for axis in axes))
        return value.reshape(experts, -1)
    return value.transpose(_AXES[tensor.kind]) if tensor.kind in _AXES else value


def decode(tensor: layout.Tensor, value: np.ndarray) -> np.ndarray:
    """PyTorch's value as we hold it; one of another rank is left as it is."""
    if tensor.kind.startswith("experts") and value.ndim == 2:
        axes = (0, *(a + 1 for a in _AXES[tensor.kind.removeprefix("experts_")]))
        shape = [tensor.shape[axis] for axis in axes]
        if value.shape[1] == np.prod(shape[1:]):
            value = value.reshape(len(value), *shape[1:])
            return value.transpose(np.argsort(axes))
    axes = _AXES.get(tensor.kind)
    if axes and value.ndim == len(axes):
        return value.transpose(np.argsort(axes))
    return value


def _timm(model: layout.Layout) -> dict[str, str]:
    modules = {
        "stem_conv": "conv_stem",
        "stem_bn": "bn1",
        "top_conv": "conv_head",
        "top_bn": "bn2",
        "predictions": "classifier",
    }
    squeeze = {"se_reduce": "se.conv_reduce", "se_expand": "se.conv_expand"}
    for block in model.blocks:
        prefix = f"blocks.{block.stage}.{block.repeat}"
        roles = _timm_convolutions(block) | squeeze | {"routing": "routing_fn"}
        for role in block.roles:
            if role in roles:
                modules[block.layer(role)] = f"{prefix}.{roles[role]}"
    return modules


def _timm_convolutions(block: layout.Block) -> dict[str, str]:
    """Timm names a layer by its place in the block's kind."""
    if "dwconv" in block.roles and "expand_conv" in block.roles:
        convolutions = {
            "expand": "conv_pw",
            "dw": "conv_dw",
            "project": "conv_pwl",
        }
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


def _lukemelas(model: layout.Layout) -> dict[str, str]:
    modules = {
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        "top_conv": "_conv_head",
        "top_bn": "_bn1",
        "predictions": "_fc",
    }
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


def _torchvision(model: layout.Layout) -> dict[str, str]:
    head = model.blocks[-1].stage + 2
    modules = {
        "stem_conv": "features.0.0",
        "stem_bn": "features.0.1",
        "top_conv": f"features.{head}.0",
        "top_bn": f"features.{head}.1",
        "predictions": "classifier.1",
    }
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


def _torchvision_mobilenet_v2(model: layout.Layout) -> dict[str, str]:
    head = len(model.blocks) + 1
    modules = {
        "stem_conv": "features.0.0",
        "stem_bn": "features.0.1",
        "top_conv": f"features.{head}.0",
        "top_bn": f"features.{head}.1",
        "predictions": "classifier.1",
    }
    for block in model.blocks:
        prefix = f"features.{block.index + 1}.conv"
        # Pairs (convolution, norm), but for the last one, which is two modules.
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


def _torch_resnet(model: layout.Layout) -> dict[str, str]:
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
