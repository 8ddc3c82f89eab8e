"""Class activation maps: where in an image a classifier finds a class.

Source: Zhou et al., arXiv 1512.04150, section 2; figure 7 of the EfficientNet paper
compares scaled models by them.
"""

import contextlib
import dataclasses
import io
import itertools
import math
import os
import textwrap
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from efficientnet_tf import files
from efficientnet_tf.export import predict
from efficientnet_tf.models import efficientnet

_BATCH = 16  # images at a time
_CELL = 3  # inches a picture in a grid
_LARGEST = 65_000  # pixels a side; Agg draws less than 2^16
_ACTIVATIONS = (keras.layers.Activation, keras.layers.Softmax)


@dataclasses.dataclass(frozen=True)
class CAM:
    """The maps of a batch of images, each for one class."""

    maps: np.ndarray  # float32 [batch, height, width], the raw ones at the images' size
    raw: np.ndarray  # float32 [batch, rows, columns]; mean + bias is the class's logit
    classes: np.ndarray  # int64 [batch], from 0 as the model counts
    scores: np.ndarray  # float32 [batch], probabilities


def cam(model: keras.Model, images, classes: int | Sequence[int] | None = None) -> CAM:
    """Maps a class's evidence in each image.

    A raw map is the last feature map, its channels added up with the class's weights in
    the classifier. It is upsampled bilinearly.

    Args:
        model: ends in GlobalAveragePooling2D and Dense, with or without Dropout between
            them and an activation after them.
        images: uint8 or float [batch, height, width, channels] as the model takes them,
            of this package's pixels in [0, 255]; channels first if the model is so.
        classes: one for all images or one for each; None takes the most likely.

    Returns:
        The maps, in logits, and the classes' probabilities: the model's own, or the
        softmax of logits if it ends in them, the sigmoid if there is but one.

    Raises:
        ValueError: naming the end of a model that is another, or images or classes that
            do not fit it.
    """
    head = _find_head(model)
    images = keras.ops.convert_to_numpy(images)
    _check_images(images, model.inputs[0].shape)
    _check_classes(classes, images=len(images), known=head.dense.units)
    features, outputs = _run(model, head, images)
    chosen = outputs.argmax(1) if classes is None else np.asarray(classes, "int64")
    chosen = np.broadcast_to(chosen, len(images)).copy()
    if head.gives_logits:
        to_scores = keras.ops.softmax if outputs.shape[1] > 1 else keras.ops.sigmoid
        outputs = _float32(to_scores(outputs))
    raw = np.einsum("bhwc,cb->bhw", features, _float32(head.dense.kernel)[:, chosen])
    maps = keras.ops.image.resize(
        raw[..., None],
        images.shape[2:] if head.channels_first else images.shape[1:3],
        interpolation="bilinear",
        data_format="channels_last",
    )
    return CAM(
        maps=_float32(maps)[..., 0],
        raw=raw,
        classes=chosen,
        scores=outputs[np.arange(len(images)), chosen],
    )


def normalize(cam_map: np.ndarray) -> np.ndarray:
    """Stretches one map from its least to its greatest value, for display.

    Negative evidence stays in and is the low end, as in the code released with
    arXiv 1512.04150; so colours compare places in one map, not maps.

    Args:
        cam_map: float [height, width].

    Returns:
        float32 [height, width] in [0, 1]; zeros if the map is level.
    """
    lifted = np.asarray(cam_map, "float32") - np.min(cam_map)
    return lifted / (lifted.max() or 1)


def overlay(image, cam_map: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """Colours an image by a map, from blue over green to red.

    Args:
        image: uint8 or float [height, width, 3] in [0, 255], RGB.
        cam_map: float [height, width], normalised here.
        alpha: the colours' share, 0 to 1.

    Returns:
        uint8 [height, width, 3].

    Raises:
        ValueError: if the sizes differ or alpha is out of range.
    """
    import matplotlib

    image = np.asarray(image, "float32")
    if image.shape != (*np.shape(cam_map), 3):
        raise ValueError(
            f"image of shape {image.shape}: allowed is {(*np.shape(cam_map), 3)}"
        )
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha}: allowed is 0 to 1")
    # Jet's order of colours without its bands.
    colours = matplotlib.colormaps["turbo"](normalize(cam_map))[..., :3] * 255
    return np.rint((1 - alpha) * image + alpha * colours).astype("uint8")


def save_grid(
    path: str,
    rows: Sequence[Sequence[np.ndarray]],
    *,
    titles: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
) -> None:
    """Draws pictures side by side, as figure 7: a photo and its maps in each row.

    Args:
        path: of the PNG; a file there is replaced at once.
        rows: uint8 [height, width, 3] pictures, as many in each row. Each gets 3 by 3
            inches at 100 dots per inch, or at more to keep the largest's pixels.
        titles: of the columns.
        labels: of the rows.

    Raises:
        ValueError: if rows, titles or labels differ in number.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    _check_grid(rows, titles, labels)
    shape = (len(rows), len(rows[0]))
    figure = Figure(figsize=(_CELL * shape[1], _CELL * shape[0]), layout="compressed")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(*shape, squeeze=False)
    pictures = [picture for row in rows for picture in row]
    for ax, picture in zip(axes.flat, pictures, strict=True):
        ax.imshow(picture)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    # File names have dollar signs, which are no formulas here.
    for ax, title in zip(axes[0], titles or (), strict=False):
        ax.set_title(textwrap.fill(title, 34), fontsize=10, parse_math=False)
    for ax, label in zip(axes[:, 0], labels or (), strict=False):
        ax.set_ylabel(textwrap.fill(label, 40), fontsize=8, parse_math=False)
    side = max(max(picture.shape[:2]) for picture in pictures)
    dpi = min(max(100, math.ceil(side / _CELL)), _LARGEST / _CELL / max(shape))
    png = io.BytesIO()
    figure.set_dpi(dpi)
    canvas.print_png(png)
    _write_whole(path, png.getvalue())


def save_maps(
    model: keras.Model,
    paths: Sequence[str],
    *,
    directory: str,
    image_size: int,
    crop_fraction: float,
    resize: str = "bicubic",
    classes: int | Sequence[int] | None = None,
    label_offset: int = 0,
) -> dict:
    """Draws the map of each image file over what the model sees of it.

    Args:
        model: see `cam`.
        paths: JPEG, PNG, GIF or BMP files.
        directory: gets NAME.cam.png of each file NAME.jpg, NAME-2.cam.png of the next
            of that name, and grid.png of all; such files there are replaced.
        image_size: height and width the model takes.
        crop_fraction: see `preprocess.decode_and_center_crop`.
        resize: see `preprocess.decode_and_center_crop`.
        classes: see `cam`.
        label_offset: classes before the first label; they are told as -1 and below.

    Returns:
        {"results": [{"file", "class", "probability", "path"}, ...], "grid": path}

    Raises:
        ValueError: naming the first file that is missing or no image, a directory that
            cannot be written, a size that leaves but one place to map, or as `cam`.
    """
    if _find_head(model).features.shape[1:3] == (1, 1):
        raise ValueError(
            f"image_size={image_size}: leaves one place in the last feature map, so "
            "there is nothing to compare; allowed is a size that leaves more"
        )
    how = {"image_size": image_size, "fraction": crop_fraction, "resize": resize}
    images = np.stack([predict.read_image(path, **how) for path in paths])
    with _blame(directory):
        tf.io.gfile.makedirs(directory)
    found = cam(model, images, classes)
    results, rows, labels = [], [], []
    for i, name in enumerate(_distinct_names(paths)):
        label, score = int(found.classes[i]) - label_offset, float(found.scores[i])
        out = f"{directory}/{name}.cam.png"
        rows.append([images[i], overlay(images[i], found.maps[i])])
        _write_whole(out, tf.io.encode_png(rows[-1][1]).numpy())
        labels.append(f"{os.path.basename(paths[i])}: class {label}, {score:.2%}")
        facts = {"class": label, "probability": score, "path": out}
        results.append({"file": paths[i]} | facts)
    grid = f"{directory}/grid.png"
    save_grid(grid, rows, titles=["photo", model.name], labels=labels)
    return {"results": results, "grid": grid}


@dataclasses.dataclass(frozen=True)
class _Head:
    features: keras.KerasTensor  # what is pooled
    channels_first: bool
    dense: keras.layers.Dense
    gives_logits: bool


def _find_head(model) -> _Head:
    inputs = getattr(model, "inputs", None) or []
    outputs = getattr(model, "outputs", None) or []
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(
            f"model={model.name}: allowed is a functional model of one input and one "
            f"output; found {type(model).__name__} of {len(inputs)} and {len(outputs)}"
        )
    end = list(itertools.islice(_back_from(outputs[0]), 6))
    trail = [step for step in end if not isinstance(step[0], keras.layers.Dropout)]
    last = trail[0][0]
    activated = isinstance(last, _ACTIVATIONS)
    (dense, _), (pool, taken) = (trail[activated:] + [(None, ())] * 2)[:2]
    pooled = isinstance(pool, keras.layers.GlobalAveragePooling2D) and not pool.keepdims
    if not (pooled and isinstance(dense, keras.layers.Dense)):
        names = [f"{type(layer).__name__} {layer.name}" for layer, _ in reversed(end)]
        raise ValueError(
            f"model={model.name}: allowed is one that ends in GlobalAveragePooling2D "
            f"and Dense; found at its end {', '.join(names)}"
        )
    return _Head(
        features=taken[0],
        channels_first=pool.data_format == "channels_first",
        dense=dense,
        gives_logits=all(
            getattr(layer, "activation", None) is keras.activations.linear
            for layer in (dense, last)
        ),
    )


def _back_from(tensor):
    """The operations behind a tensor, last first, each with the tensors it takes."""
    while True:
        operation, node, _ = tensor._keras_history
        # A layer's `input` is that of its first call: Sequential.add calls layers anew.
        taken = operation._inbound_nodes[node].input_tensors
        yield operation, taken
        if len(taken) != 1:
            return
        (tensor,) = taken


def _run(model, head: _Head, images) -> tuple[np.ndarray, np.ndarray]:
    """The features, channels last, and the outputs."""
    with efficientnet.deep_graphs():
        both = keras.Model(model.inputs[0], [head.features, model.outputs[0]])
    batches = [
        [_float32(value) for value in both(images[i : i + _BATCH], training=False)]
        for i in range(0, len(images), _BATCH)
    ]
    features, outputs = (np.concatenate(v) for v in zip(*batches, strict=True))
    return np.moveaxis(features, 1, -1) if head.channels_first else features, outputs


def _float32(tensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def _check_images(images: np.ndarray, wanted: tuple) -> None:
    pairs = zip(wanted[1:], images.shape[1:], strict=False)
    fits = all(want in (None, size) for want, size in pairs)
    if images.ndim != 4 or not images.size or not fits:
        raise ValueError(f"images of shape {images.shape}: allowed is {wanted}")


def _check_classes(classes, *, images: int, known: int) -> None:
    if classes is None:
        return
    given = np.asarray(classes)
    if given.shape not in ((), (images,)):
        raise ValueError(f"classes={classes}: allowed is one, or one for each image")
    if given.dtype.kind not in "iu" or not np.all((given >= 0) & (given < known)):
        raise ValueError(f"classes={classes}: allowed are 0 to {known - 1}")


def _check_grid(rows, titles, labels) -> None:
    widths = sorted({len(row) for row in rows})
    if len(widths) != 1 or widths == [0]:
        raise ValueError(
            f"rows of {widths} pictures: allowed are rows of one length, from 1"
        )
    if titles is not None and len(titles) != widths[0]:
        raise ValueError(f"titles={titles}: allowed are {widths[0]}, one a column")
    if labels is not None and len(labels) != len(rows):
        raise ValueError(f"labels={labels}: allowed are {len(rows)}, one a row")


def _distinct_names(paths: Sequence[str]) -> list[str]:
    """File names without their endings, numbered from the second of a name."""
    names = []
    for path in paths:
        stem = os.path.splitext(os.path.basename(path))[0]
        numbered = (f"{stem}-{number}" for number in itertools.count(2))
        allowed = itertools.chain([stem], numbered)
        names.append(next(name for name in allowed if name not in names))
    return names


def _write_whole(path: str, content: bytes) -> None:
    """Writes beside the file, then takes its place; run folders may be in a bucket."""
    with _blame(path):
        files.write_whole(path, content)


@contextlib.contextmanager
def _blame(path: str):
    """Makes a ValueError of what goes wrong with a file or folder to write."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = files.reason(error)
        raise ValueError(f"{path} cannot be written ({reason})") from None
