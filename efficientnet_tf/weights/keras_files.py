"""Keras weights: `.h5` (legacy), `.weights.h5` and `.keras`; keras.applications' names.

Layers are found by name, never by position.
"""

import contextlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator

import h5py
import keras
import numpy as np

from efficientnet_tf import expansion, variants
from efficientnet_tf.weights import layout as layouts

# Which network of keras.applications each variant is, and the names its layers have.
APPLICATIONS = {
    **{f"efficientnet-b{i}": f"EfficientNetB{i}" for i in range(8)},
    **{f"efficientnetv2-b{i}": f"EfficientNetV2B{i}" for i in range(4)},
    **{f"efficientnetv2-{i}": f"EfficientNetV2{i.upper()}" for i in "sml"},
    "mobilenet-v1": "MobileNet",
    "mobilenet-v2": "MobileNetV2",
    "resnet-50-v1": "ResNet50",
    "resnet-152-v1": "ResNet152",
}
# Those whose normalization layer holds its statistics as weights.
WITH_STATISTICS = tuple(f"efficientnet-b{i}" for i in range(8))


def read(path: str) -> tuple[dict[str, np.ndarray], str | None]:
    """A file's weights by "layer/variable", and the passport, if it has one.

    Raises:
        ValueError: if the file is none of these, or does not name its layers.
    """
    with _open(path) as file:
        if "layers" in file:
            tensors = dict(_keras3(file, path))
        else:
            tensors = dict(_legacy(file.get("model_weights", file)))
        # Keras numbers the one layer without a name through the process.
        tensors = {
            re.sub(r"^normalization_\d+/", "normalization/", name): value
            for name, value in tensors.items()
        }
        if not tensors:
            raise ValueError(f"{path}: names no layers, as files of tf.keras do not")
        return tensors, file.attrs.get("passport")


# What h5py and zipfile raise for files that are damaged.
_DAMAGED = (
    *(OSError, EOFError, KeyError, AttributeError, TypeError, RuntimeError),
    *(UnicodeDecodeError, MemoryError, zipfile.BadZipFile, zlib.error),
)


@contextlib.contextmanager
def _open(path: str) -> Iterator[h5py.File]:
    try:
        content = path
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(content, "r") as file:
            yield file
    except _DAMAGED as error:
        raise ValueError(f"{path}: is no Keras weights file ({error})") from None


def _keras3(file: h5py.File, path: str):
    for name, group in file["layers"].items():
        variables = group.get("vars", {})
        if not len(variables):
            continue
        layer = variables.attrs.get("name")
        if layer is None:
            raise ValueError(
                f"{path}: does not say which layer {name} is; load it with the Keras "
                "that wrote it and save it again with Keras 3.10 or later"
            )
        names = _variable_names(len(variables))
        for index, variable in enumerate(names):
            yield f"{layer}/{variable}", _array(variables[str(index)])


def _array(dataset: h5py.Dataset) -> np.ndarray:
    if dataset.attrs.get("dtype") != "bfloat16":
        return np.asarray(dataset)
    # Raw bytes to HDF5; the upper half of a float32.
    halves = np.asarray(dataset).view(np.uint16)
    return (halves.astype(np.uint32) << 16).view(np.float32)


def _variable_names(count: int) -> tuple[str, ...]:
    """Keras 3 numbers a layer's variables; how many there are tells the layer."""
    if count == 4:
        return layouts.BATCH_NORM_VARIABLES
    return ("mean", "variance", "count") if count == 3 else ("kernel", "bias")[:count]


def _legacy(file: h5py.Group):
    for layer, group in file.items():
        for name in group.attrs.get("weight_names", ()):
            name = name.decode() if isinstance(name, bytes) else name
            variable = name.rpartition("/")[2].removesuffix(":0")
            variable = variable.removeprefix("depthwise_")
            yield f"{layer}/{variable}", np.asarray(group[name])


def detect(names) -> str:
    """The family of keras.applications whose layer names these are."""
    marks = {"conv_dw_1/kernel": "mobilenet-v1", "Conv1/kernel": "mobilenet-v2"}
    marks["conv1_conv/kernel"] = "resnet"
    return next((f for mark, f in marks.items() if mark in names), "efficientnet")


def names(model: layouts.Layout, family: str, known=()) -> dict[str, str]:
    """The file's name of each path; `known` are the names it has, if it is there.

    V2 says dwconv2, and qubvel's files call the classifier probs.
    """
    layers = {
        "mobilenet-v1": _mobilenet_v1,
        "mobilenet-v2": _mobilenet_v2,
        "resnet": _resnet,
    }.get(family, lambda model: {})(model)
    names = {}
    for tensor in model.tensors:
        name = f"{layers.get(tensor.layer, tensor.layer)}/{tensor.variable}"
        aliases = {
            name.replace("_dwconv/", "_dwconv2/"),
            name.replace("predictions/", "probs/"),
        }
        other = next((alias for alias in aliases - {name} if alias in known), None)
        names[tensor.path] = other if other and name not in known else name
    return names


def encode(tensor: layouts.Tensor, value: np.ndarray, family: str) -> np.ndarray:
    """Our value as keras.applications holds it."""
    if family == "resnet" and tensor.path == "stem_conv/kernel":
        return value[:, :, ::-1]  # its images are BGR
    if family == "mobilenet-v1" and tensor.path == "predictions/kernel":
        return value[np.newaxis, np.newaxis]  # its classifier is a convolution
    return value


def decode(tensor: layouts.Tensor, value: np.ndarray, family: str) -> np.ndarray:
    """Its value as we hold it."""
    if family == "resnet" and tensor.path == "stem_conv/kernel":
        return value[:, :, ::-1]
    if family == "mobilenet-v1" and tensor.path == "predictions/kernel":
        return value[0, 0] if value.ndim == 4 else value
    return value


def fold_biases(
    tensors: dict[str, np.ndarray], model: layouts.Layout, names: dict[str, str]
) -> list[str]:
    """Takes biases in front of batch norms off the moving means.

    keras.applications' ResNets have such biases; the network stays the same function.

    Returns:
        The names of the biases, which `tensors` holds no longer.
    """
    folded = []
    for tensor in model.tensors:
        bias = names[tensor.path].replace("/kernel", "/bias")
        mean = f"{tensor.layer.removesuffix('conv')}bn/moving_mean"
        if tensor.kind == "conv" and bias in tensors and mean in names:
            if tensor.path.replace("/kernel", "/bias") in names:
                continue
            if tensors[bias].shape != getattr(tensors.get(names[mean]), "shape", None):
                continue  # reported with the tensors that do not fit
            tensors[names[mean]] = tensors[names[mean]] - tensors.pop(bias)
            folded.append(bias)
    return folded


def write(path, model, layout, values, stated) -> None:
    """Writes what keras.applications would, in the layout that the suffix asks for.

    A network that it has not is written under our names.

    Args:
        path: `.weights.h5` or `.h5` (legacy).
        model: whose weights.
        layout: the model's.
        values: by path.
        stated: the model's passport.
    """
    if stated.variant and _is_application(stated.variant):
        model = _application(stated.variant, model, layout, values)
    if path.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        with h5py.File(path, "w") as file:
            _write_legacy(file, model)


def _is_application(variant: variants.Variant) -> bool:
    """Whether keras.applications has the network, and not another of the name."""
    if variant.name not in APPLICATIONS:
        return False
    theirs = variants.get_variant(variant.name)
    return expansion.expand(variant, survival_prob=1) == expansion.expand(
        theirs, survival_prob=1
    )


def _application(variant: variants.Variant, model, layout, values) -> keras.Model:
    """The network of keras.applications with a model's weights, or a part's model."""
    build = getattr(keras.applications, APPLICATIONS[variant.name])
    top = {"include_top": False}
    if layout.has("predictions"):
        top = {"classes": values["predictions/bias"].size}
    theirs = build(weights=None, input_shape=model.input_shape[1:], **top)
    variables = layouts.variables(theirs)
    family = detect(variables)
    ours = names(layout, family, variables)
    for tensor in layout.tensors:
        value = encode(tensor, values[tensor.path], family)
        variables.pop(ours[tensor.path]).assign(value)
    if any(path.endswith(("/kernel", "/gamma")) for path in variables):
        return model  # only a part of the network
    # What it has beside ours: statistics, and biases in front of batch norms.
    for path, variable in variables.items():
        extra = _extra(path.rpartition("/")[2], variant.pixels, variable.shape)
        variable.assign(np.broadcast_to(extra, variable.shape))
    return theirs


def _extra(name: str, pixels: variants.Pixels, shape: tuple[int, ...]):
    statistics = {"mean": pixels.mean, "variance": pixels.stddev}
    if name not in statistics:
        return 0
    value = np.array(statistics[name]) / 255
    if shape != value.shape:
        value = value.mean()  # as models of other than 3 channels are built
    return value if name == "mean" else value**2


def _write_legacy(file: h5py.File, model: keras.Model):
    layers = [layer for layer in model.layers if layer.weights]
    file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
    for layer in layers:
        group = file.create_group(layer.name)
        names = [f"{layer.name}/{variable.name}:0" for variable in layer.weights]
        group.attrs["weight_names"] = [name.encode() for name in names]
        for name, variable in zip(names, layer.weights, strict=True):
            group[name] = keras.ops.convert_to_numpy(variable)


def _mobilenet_v1(model: layouts.Layout) -> dict[str, str]:
    layers = {"stem_conv": "conv1", "stem_bn": "conv1_bn", "predictions": "conv_preds"}
    for block in model.blocks:
        number = block.index + 1
        layers |= {
            block.layer("dwconv"): f"conv_dw_{number}",
            block.layer("bn"): f"conv_dw_{number}_bn",
            block.layer("project_conv"): f"conv_pw_{number}",
            block.layer("project_bn"): f"conv_pw_{number}_bn",
        }
    return layers


def _mobilenet_v2(model: layouts.Layout) -> dict[str, str]:
    layers = {
        "stem_conv": "Conv1",
        "stem_bn": "bn_Conv1",
        "top_conv": "Conv_1",
        "top_bn": "Conv_1_bn",
    }
    roles = {"expand": "expand", "dw": "depthwise", "project": "project"}
    for block in model.blocks:
        prefix = f"block_{block.index}" if block.index else "expanded_conv"
        for role, name in roles.items():
            norm = "bn" if role == "dw" else f"{role}_bn"
            conv = "dwconv" if role == "dw" else f"{role}_conv"
            layers[block.layer(conv)] = f"{prefix}_{name}"
            layers[block.layer(norm)] = f"{prefix}_{name}_BN"
    return layers


def _resnet(model: layouts.Layout) -> dict[str, str]:
    layers = {"stem_conv": "conv1_conv", "stem_bn": "conv1_bn"}
    numbers = {"shortcut_": 0, "reduce_": 1, "": 2, "project_": 3}
    for block in model.blocks:
        prefix = f"conv{block.stage + 2}_block{block.repeat + 1}"
        for role, number in numbers.items():
            layers[block.layer(f"{role}conv")] = f"{prefix}_{number}_conv"
            layers[block.layer(f"{role}bn")] = f"{prefix}_{number}_bn"
    return layers
