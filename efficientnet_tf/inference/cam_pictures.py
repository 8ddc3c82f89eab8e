"""Pictures of class activation maps: overlays, grids, and a file for each photo."""

import io
import itertools
import math
import os
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf import disk, files, label_sets
from efficientnet_tf.inference import cam
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.spelling import did_you_mean

_CELL = 3  # inches, the side of a picture in a grid
_LARGEST = 65_000  # pixels, the side of a grid; Agg draws less than 2^16


def normalize(cam_map: np.ndarray) -> np.ndarray:
    """Stretches one map from its least to its greatest value, for display.

    Negative evidence is kept as the low end, as in the code released with
    arXiv 1512.04150. So colours compare places in one map, not different maps.

    Args:
        cam_map: float [height, width].

    Returns:
        float32 [height, width] in [0, 1]; zeros if the map is constant.
    """
    lifted = np.asarray(cam_map, "float32") - np.min(cam_map)
    return lifted / (lifted.max() or 1)


def overlay(image: Any, cam_map: np.ndarray, alpha: float = 0.5) -> np.ndarray:
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
        path: path of the PNG; a file there is replaced at once.
        rows: uint8 [height, width, 3] pictures, the same number in each row. Each
            gets 3 by 3 inches at 100 dots per inch, or at more dots to keep all pixels
            of the largest picture.
        titles: titles of the columns.
        labels: labels of the rows.

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
    # Otherwise a dollar sign in a file name would begin a formula.
    for ax, title in zip(axes[0], titles or (), strict=False):
        ax.set_title(textwrap.fill(title, 34), fontsize=10, parse_math=False)
    for ax, label in zip(axes[:, 0], labels or (), strict=False):
        ax.set_ylabel(textwrap.fill(label, 40), fontsize=8, parse_math=False)
    side = max(max(picture.shape[:2]) for picture in pictures)
    dpi = min(max(100, math.ceil(side / _CELL)), _LARGEST / _CELL / max(shape))
    png = io.BytesIO()
    figure.set_dpi(dpi)
    canvas.print_png(png)
    files.write_whole(path, png.getvalue())


def save_maps(
    classifier: Classifier,
    paths: Sequence[str],
    *,
    directory: str,
    cam_class: int | str | None = None,
) -> dict:
    """Draws each image file's map over the pixels that the model sees.

    Args:
        classifier: the classifier, with a model as `cam.cam` takes it.
        paths: JPEG, PNG, GIF, BMP or WebP files.
        directory: gets NAME.cam.png of each file NAME.jpg, NAME-2.cam.png of the next
            of that name, and grid.png of all; such files there are replaced.
        cam_class: the class to map: its number, as `predict_files` counts classes, or
            its name; None maps each image's most likely one.

    Returns:
        {"results": [{"file", "class", "name", "probability", "path"}, ...],
        "grid": path}.
        Classes count from 0 after the label offset, as `predict_files` counts them.

    Raises:
        ValueError: naming the first file that is missing or no image, a directory that
            cannot be written, or a size that leaves one place to map; or as `cam.cam`.
    """
    if cam.find_head(classifier.model).features.shape[1:3] == (1, 1):
        raise ValueError(
            f"image_size={classifier.preparation.image_size}: leaves one place in the "
            "last feature map, so there is nothing to compare; allowed is a size that "
            "leaves more"
        )
    classes = None if cam_class is None else _output(classifier, cam_class)
    images = np.stack([classifier.read_image(path) for path in paths])
    with disk.writing(directory):
        tf.io.gfile.makedirs(directory)
    found = cam.cam(classifier.model, images, classes)
    results, rows, labels = [], [], []
    for i, stem in enumerate(_distinct_names(paths)):
        output = int(found.classes[i])
        name = classifier.class_names[output]
        score = float(found.scores[i])
        out = f"{directory}/{stem}.cam.png"
        rows.append([images[i], overlay(images[i], found.maps[i])])
        files.write_whole(out, tf.io.encode_png(rows[-1][1]).numpy())
        photo = label_sets.printable(os.path.basename(paths[i]))
        labels.append(f"{photo}: {name}, {score:.2%}")
        facts = {"class": output - classifier.label_offset, "name": name}
        facts |= {"probability": score, "path": out}
        results.append({"file": paths[i]} | facts)
    grid = f"{directory}/grid.png"
    save_grid(grid, rows, titles=["photo", classifier.model.name], labels=labels)
    return {"results": results, "grid": grid}


def _output(classifier: Classifier, cam_class: int | str) -> int:
    """Returns the output of a class: counted from 0, with all before the first label.

    A whole number is always a number, even if a class has it for its name.
    """
    first, names = -classifier.label_offset, classifier.class_names
    last = first + len(names) - 1
    if re.fullmatch(r"[+-]?[0-9]+", str(cam_class)):
        if not first <= int(cam_class) <= last:
            raise ValueError(f"cam_class={cam_class}: allowed are {first} to {last}")
        return int(cam_class) - first
    found = _places(str(cam_class), names)
    if len(found) > 1:
        numbers = " and ".join(str(place + first) for place in found)
        raise ValueError(
            f"cam_class={cam_class}: is the name of the classes {numbers}; give one of "
            "these numbers"
        )
    if not found:
        hint = did_you_mean(str(cam_class), names)
        raise ValueError(
            f"cam_class={cam_class}: allowed are names of classes and {first} to "
            f"{last}{hint}"
        )
    return found[0]


def _places(name: str, names: Sequence[str]) -> list[int]:
    """Returns where a name stands; capital letters count if they tell names apart."""
    same = [place for place, known in enumerate(names) if known == name]
    return same or [
        place for place, known in enumerate(names) if known.lower() == name.lower()
    ]


def _check_grid(
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str] | None,
    labels: Sequence[str] | None,
) -> None:
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
    """Returns file names without endings, numbered from the second of a name."""
    names = []
    for path in paths:
        stem = os.path.splitext(os.path.basename(path))[0]
        numbered = (f"{stem}-{number}" for number in itertools.count(2))
        allowed = itertools.chain([stem], numbered)
        names.append(next(name for name in allowed if name not in names))
    return names
